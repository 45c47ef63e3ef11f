"""Director: the forwarder under test, as a program of its own.

    python -m bench.director INTERFACE CPU SECONDS

Runs until SIGTERM or the time is over; says "ready", and at its end one line of JSON.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from contextlib import closing
from ipaddress import IPv4Address
from pathlib import Path

from dr_forwarder.addresses import Identity, frame_filter
from dr_forwarder.dataplane import Engine
from dr_forwarder.sockets import Sockets, attach_filter, open_sockets
from dr_forwarder.table import Change, Key, Operation, Server, Service

MAC = bytes.fromhex("00005e00013c")
_MTU = 1500
_LONGEST = _MTU + 18
_SERVERS = {11: 5, 12: 3, 13: 2}
"""Last byte of the address, and weight."""


def filtered_sockets() -> Sockets:
    """What the rings are opened on, as the director makes them."""
    sockets = open_sockets()
    identity = Identity(MAC, is_virtual=True)
    for where, longer in ((sockets.small, False), (sockets.large, True)):
        attach_filter(where, frame_filter(identity, (), limit=_LONGEST, longer=longer))
    return sockets


def _changes() -> list[Change]:
    service = Service(Key("tcp", IPv4Address("10.10.10.60"), 80), "wrr")
    changes = [Change(Operation.ADD_SERVICE, service)]
    for number, weight in _SERVERS.items():
        server = Server(IPv4Address(f"10.10.10.{number}"), 80, weight)
        changes += [
            Change(Operation.ADD_SERVER, service, server),
            Change(Operation.SET_MAC, None, server, bytes([2, 0, 0, 0, 0, number])),
        ]
    return changes


def _times_ns(thread: int) -> tuple[int, int, int]:
    """On the CPU; of that, in user space and in the kernel."""
    task = Path(f"/proc/self/task/{thread}")
    cpu_ns = int(task.joinpath("schedstat").read_text().split()[0])
    user, system = task.joinpath("stat").read_text().rpartition(")")[2].split()[11:13]
    tick_ns = 10**9 // os.sysconf("SC_CLK_TCK")
    return cpu_ns, int(user) * tick_ns, int(system) * tick_ns


def _run(engine: Engine, cpu_number: int, seconds: float) -> dict[str, int]:
    thread = engine.thread_id
    assert thread is not None
    os.sched_setaffinity(thread, {cpu_number})
    before = _times_ns(thread)
    print("ready", flush=True)
    signal.sigtimedwait({signal.SIGTERM}, seconds)
    cpu, user, system = (now - then for now, then in zip(_times_ns(thread), before, strict=True))
    forwarded = engine.stats().verdicts["forwarded"]
    return {"forwarded": forwarded, "cpu_ns": cpu, "user_ns": user, "system_ns": system}


def main(interface: str, cpu: str, seconds: str) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    with closing(filtered_sockets()) as sockets, Engine() as engine:
        engine.identify(mac=MAC, mtu=_MTU)
        engine.apply(_changes(), now_ns=time.monotonic_ns())
        engine.open_ring(
            small=sockets.small,
            large=sockets.large,
            send=sockets.send,
            interface_index=socket.if_nametoindex(interface),
        )
        engine.start()
        print(json.dumps(_run(engine, int(cpu), float(seconds))))


if __name__ == "__main__":
    main(*sys.argv[1:])
