"""Readiness: tells the service manager when the director is up, reloads and ends (sd_notify(3))."""

from __future__ import annotations

import logging
import os
import socket
import time

from ..events import Happening, Reloaded, ReloadFailed, Started, Stopped

_log = logging.getLogger(__name__)

SOCKET_VARIABLE = "NOTIFY_SOCKET"


def tell(happening: Happening) -> None:
    """Listens to the bus; without a service manager nothing happens."""
    match happening.event:
        case Started(virtuals):
            _send(f"READY=1\nSTATUS={virtuals} virtual servers")
        case Reloaded() | ReloadFailed() as event:
            state = "reloaded" if isinstance(event, Reloaded) else "the last reload failed"
            _send(f"READY=1\nSTATUS={state} at {time.asctime()}")
        case Stopped():
            _send("STOPPING=1")


def reloading() -> None:
    """A reload begins; the next event of its kind ends it."""
    _send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def _send(state: str) -> None:
    address = os.environ.get(SOCKET_VARIABLE)
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # in the abstract namespace
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.connect(address)
            manager.send(state.encode())
    except OSError as error:
        _log.warning("The service manager could not be told: %s", error)
