"""Readiness: tells the service manager when the director is up, reloads and ends (sd_notify(3)).

And, where it asks for that, that the event loop still turns (sd_watchdog_enabled(3)).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import AsyncIterator

from ..events import Happening, Reloaded, ReloadFailed, Started, Stopped

_log = logging.getLogger(__name__)

SOCKET_VARIABLE = "NOTIFY_SOCKET"
WATCHDOG_VARIABLE = "WATCHDOG_USEC"
_WATCHED_VARIABLE = "WATCHDOG_PID"


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


@contextlib.asynccontextmanager
async def turning() -> AsyncIterator[None]:
    """Tells that this event loop turns, twice in each time that the service manager would wait."""
    limit_s = watchdog_s()
    if limit_s is None:
        yield
        return
    telling = asyncio.create_task(_tell_each(limit_s / 2))
    try:
        yield
    finally:
        telling.cancel()


def watchdog_s() -> float | None:
    """How long the service manager waits for a word of this process; None: it does not."""
    written = os.environ.get(WATCHDOG_VARIABLE, "")
    meant = os.environ.get(_WATCHED_VARIABLE, str(os.getpid()))
    if not written.isascii() or not written.isdecimal() or meant != str(os.getpid()):
        return None
    return int(written) / 1e6 or None


async def _tell_each(seconds: float) -> None:
    while True:
        _send("WATCHDOG=1")
        await asyncio.sleep(seconds)


def _send(state: str) -> None:
    address = os.environ.get(SOCKET_VARIABLE)
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # in the abstract namespace
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.setblocking(False)  # one that does not read must not hold up the director
            manager.connect(address)
            manager.send(state.encode())
    except OSError as error:
        _log.warning("The service manager could not be told: %s", error)
