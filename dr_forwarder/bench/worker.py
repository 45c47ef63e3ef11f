"""Worker: one forwarder as a program of its own, in the namespace it is started in.

    python -m dr_forwarder.bench.worker NAME INTERFACE CPU SECONDS CONNECTIONS BUSY_POLL_US

NAME is `director` or one of `native.BASELINES`. It says "ready", runs until SIGTERM or the time is
over, and says at its end, as JSON, how many frames it forwarded and how many connections it has.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from ipaddress import IPv4Address
from typing import Protocol

from ..addresses import Identity, frame_filter
from ..config.model import Tuning
from ..dataplane import Engine, Limits
from ..sockets import Sockets, attach_filter, open_sockets
from ..table import Change, Key, Operation, Server, Service
from .native import Baseline, Place

MAC = bytes.fromhex("00005e00013c")
VIP = IPv4Address("10.10.10.60")
SERVERS = {11: 5, 12: 3, 13: 2}
"""Last byte of the address, which is that of the MAC address too, and weight."""

_MTU = 1500
_LONGEST = _MTU + 18


class _Forwarder(Protocol):
    @property
    def thread_id(self) -> int | None: ...

    def said(self) -> dict[str, int]: ...


class _Director:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def thread_id(self) -> int | None:
        return next(iter(self._engine.thread_ids), None)

    def said(self) -> dict[str, int]:
        stats = self._engine.stats()
        return {"forwarded": stats.verdicts["forwarded"], "connections": stats.connections}


class _Baseline:
    def __init__(self, baseline: Baseline) -> None:
        self._baseline = baseline
        self.thread_id: int | None = baseline.thread_id

    def said(self) -> dict[str, int]:
        return {"forwarded": self._baseline.forwarded, "connections": 0}


def _filtered_sockets() -> Sockets:
    """What the rings are opened on, as the director makes them."""
    sockets = open_sockets()
    identity = Identity(MAC, is_virtual=True)
    (rings,) = sockets.rings
    for where, longer in ((rings.small, False), (rings.large, True)):
        attach_filter(where, frame_filter(identity, (), limit=_LONGEST, longer=longer))
    return sockets


def _changes() -> list[Change]:
    service = Service(Key("tcp", VIP, 80), "wrr")
    changes = [Change(Operation.ADD_SERVICE, service)]
    for number, weight in SERVERS.items():
        server = Server(IPv4Address(f"10.10.10.{number}"), 80, weight)
        changes += [
            Change(Operation.ADD_SERVER, service, server),
            Change(Operation.SET_MAC, None, server, bytes([2, 0, 0, 0, 0, number])),
        ]
    return changes


@contextmanager
def _director(
    sockets: Sockets, interface: int, connections: int, busy_poll_us: int
) -> Iterator[_Forwarder]:
    (rings,) = sockets.rings
    with Engine(limits=Limits(connections=connections)) as engine:
        engine.set_tuning(Tuning(busy_poll=busy_poll_us))
        engine.identify(mac=MAC, mtu=_MTU)
        engine.apply(_changes(), now_ns=time.monotonic_ns())
        engine.open_ring(
            small=rings.small,
            large=rings.large,
            send=rings.send,
            interface_index=interface,
        )
        engine.start()
        yield _Director(engine)


@contextmanager
def _baseline(name: str, sockets: Sockets, interface: int) -> Iterator[_Forwarder]:
    # The director's own sizes: the bare ring shall differ in nothing but the decision.
    (rings,) = sockets.rings
    sizes = Engine.open_ring.__kwdefaults__ or {}
    baseline = Baseline(
        name,
        Place(
            interface,
            (rings.small.fileno(), rings.large.fileno(), rings.send.fileno()),
            slot_bytes=sizes["slot_bytes"],
            small_slots=sizes["small_slots"],
            large_slots=sizes["large_slots"],
            send_slots=sizes["send_slots"],
        ),
    )
    try:
        yield _Baseline(baseline)
    finally:
        baseline.stop()


def main(
    name: str, interface: str, cpu: str, seconds: str, connections: str, busy_poll_us: str
) -> None:
    """The program."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    index = socket.if_nametoindex(interface)
    with closing(_filtered_sockets()) as sockets:
        running = (
            _director(sockets, index, int(connections), int(busy_poll_us))
            if name == "director"
            else _baseline(name, sockets, index)
        )
        with running as forwarder:
            assert forwarder.thread_id is not None
            os.sched_setaffinity(forwarder.thread_id, {int(cpu)})
            print(json.dumps({"thread": forwarder.thread_id}), flush=True)
            signal.sigtimedwait({signal.SIGTERM}, float(seconds))
            print(json.dumps(forwarder.said()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
