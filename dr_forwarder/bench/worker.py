"""Worker: one forwarder as a program of its own, in the namespace it is started in.

    python -m dr_forwarder.bench.worker NAME INTERFACE CPU[,CPU...] SECONDS SHAPE

NAME is `director`, `xdp` (the same by AF_XDP) or one of `native.BASELINES`, SHAPE a `site.Shape` as
JSON. It says which threads
forward, runs until SIGTERM or the time is over, and says at its end how many frames it forwarded
and how many connections it has; both as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from ipaddress import IPv4Address
from itertools import cycle
from typing import Protocol

from ..addresses import Identity, frame_filter
from ..config.model import Tuning
from ..dataplane import Engine, Limits
from ..realtime import Preference
from ..sockets import Sockets, attach_filter, open_sockets, share
from ..steering import Steering, reason_of
from ..table import Change, Key, Operation, Server, Service
from .model import BY_XDP, SUBJECT
from .native import Baseline, Place
from .site import Shape

MAC = bytes.fromhex("00005e00013c")
VIP = IPv4Address("10.10.10.60")
SERVERS = {11: 5, 12: 3, 13: 2}
"""Last byte of the address, which is that of the MAC address too, and weight."""

_MTU = 1500
_LONGEST = _MTU + 18
_CHUNK = 2048


class _Forwarder(Protocol):
    @property
    def thread_ids(self) -> tuple[int, ...]: ...

    def said(self) -> dict[str, int]: ...


class _Director:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def thread_ids(self) -> tuple[int, ...]:
        return self._engine.thread_ids

    def said(self) -> dict[str, int]:
        stats = self._engine.stats()
        return {"forwarded": stats.verdicts["forwarded"], "connections": stats.connections}


class _Baselines:
    def __init__(self, baselines: Sequence[Baseline]) -> None:
        self._baselines = baselines
        self.thread_ids = tuple(each.thread_id for each in baselines)

    def said(self) -> dict[str, int]:
        return {"forwarded": sum(each.forwarded for each in self._baselines), "connections": 0}


def _filtered_sockets(workers: int) -> Sockets:
    """What the rings are opened on, as the director makes them."""
    sockets = open_sockets(workers)
    identity = Identity(MAC, is_virtual=True)
    for rings in sockets.rings:
        for where, longer in ((rings.small, False), (rings.large, True)):
            attach_filter(where, frame_filter(identity, (), limit=_LONGEST, longer=longer))
    return sockets


def _share(sockets: Sockets) -> None:
    """Clients among several workers, as the director does it."""
    if len(sockets.rings) > 1:
        share([rings.small for rings in sockets.rings])
        share([rings.large for rings in sockets.rings])


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
def engine_of(shape: Shape) -> Iterator[Engine]:
    """One that has its service, and no I/O end yet."""
    with Engine(limits=Limits(connections=shape.connections)) as engine:
        engine.set_tuning(Tuning(busy_poll=shape.busy_poll_us))
        engine.identify(mac=MAC, mtu=_MTU)
        engine.apply(_changes(), now_ns=time.monotonic_ns())
        yield engine


def pin(threads: Sequence[int], cpus: Sequence[int]) -> None:
    """Gives each thread the next of the CPUs; they share them when there are fewer."""
    for thread, cpu in zip(threads, cycle(cpus), strict=False):
        os.sched_setaffinity(thread, {cpu})


@contextmanager
def _director(
    sockets: Sockets, interface: int, shape: Shape, *, is_steered: bool
) -> Iterator[_Forwarder]:
    with ExitStack() as cleanup, engine_of(shape) as engine:
        for rings in sockets.rings:
            engine.open_ring(
                small=rings.small,
                large=rings.large,
                send=rings.send,
                interface_index=interface,
            )
        _share(sockets)
        if is_steered:
            steering = Steering(MAC, interface, cleanup)
            steering.open_sockets(
                engine, 1, workers=shape.workers, chunk=_CHUNK, must_not_copy=False
            )
            steering.attach()
            steering.let_in([VIP])
        engine.start()
        yield _Director(engine)


@contextmanager
def _baselines(name: str, sockets: Sockets, interface: int) -> Iterator[_Forwarder]:
    # The director's own sizes: the bare ring shall differ in nothing but the decision.
    sizes = Engine.open_ring.__kwdefaults__ or {}
    with ExitStack() as stack:
        baselines = []
        for rings in sockets.rings:
            place = Place(
                interface,
                (rings.small.fileno(), rings.large.fileno(), rings.send.fileno()),
                slot_bytes=sizes["slot_bytes"],
                small_slots=sizes["small_slots"],
                large_slots=sizes["large_slots"],
                send_slots=sizes["send_slots"],
            )
            baselines.append(Baseline(name, place))
            stack.callback(baselines[-1].stop)
        _share(sockets)
        yield _Baselines(baselines)


def main(name: str, interface: str, cpus: str, seconds: str, shape_: str) -> None:
    """The program."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    index = socket.if_nametoindex(interface)
    shape = Shape(**json.loads(shape_))
    with ExitStack() as stack:
        sockets = stack.enter_context(closing(_filtered_sockets(shape.workers)))
        running = (
            _director(sockets, index, shape, is_steered=name == BY_XDP)
            if name in (SUBJECT, BY_XDP)
            else _baselines(name, sockets, index)
        )
        try:
            forwarder = stack.enter_context(running)
        except OSError as error:
            if name != BY_XDP:
                raise
            print(json.dumps({"unavailable": reason_of(error)}), flush=True)
            return
        pin(forwarder.thread_ids, list(map(int, cpus.split(","))))
        Preference().give(forwarder.thread_ids, is_wanted=shape.realtime)
        print(json.dumps({"threads": forwarder.thread_ids}), flush=True)
        signal.sigtimedwait({signal.SIGTERM}, float(seconds))
        print(json.dumps(forwarder.said()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
