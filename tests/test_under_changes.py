"""Changes without end under traffic: connections stay where they are, nothing piles up.

The core in memory behind the real socket; ``python -m bench.changes`` does the same for a minute
with a whole director in the lab.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from director import MTU, START_NS, VIP, VIRTUAL_MAC, receiver, server_address, server_mac, tcp

from dr_forwarder.api import serving
from dr_forwarder.client import Client
from dr_forwarder.dataplane import Engine, Limits
from dr_forwarder.events import Bus
from dr_forwarder.table import (
    Applied,
    Change,
    Key,
    Operation,
    Server,
    Service,
    ServiceRow,
    Stats,
)

WEB = Service(Key("tcp", IPv4Address(VIP), 80), "rr")
OTHER = Service(Key("tcp", IPv4Address(VIP), 81), "wlc")
SERVERS = tuple(Server(IPv4Address(server_address(n)), 80) for n in (1, 2))
CONNECTIONS = 100
BATCH = 50


@dataclass
class Director:
    """A core without an interface."""

    engine: Engine
    ready: bool = True
    events: Bus = field(default_factory=lambda: Bus(lambda: 0.0))

    async def apply(self, changes: Sequence[Change], *, stop: bool = False) -> Applied:
        return Applied(tuple(self.engine.apply(changes, stop=stop, now_ns=START_NS)))

    def services(self) -> tuple[ServiceRow, ...]:
        return self.engine.services()

    def stats(self) -> Stats:
        return self.engine.stats()


@pytest.fixture
def engine() -> Iterator[Engine]:
    limits = Limits(services=8, servers=64, connections=1024)
    with Engine(limits=limits, now_ns=START_NS) as engine:
        engine.identify(mac=VIRTUAL_MAC, mtu=MTU)
        engine.apply([Change(Operation.ADD_SERVICE, WEB)], now_ns=START_NS)
        for server in SERVERS:
            mac = server_mac(str(server.address))
            engine.apply([Change(Operation.ADD_SERVER, WEB, server, mac)], now_ns=START_NS)
        yield engine


def frames(flags: str) -> list[bytes]:
    return [tcp(flags, f"10.1.0.1:{2000 + n}", f"{VIP}:80") for n in range(CONNECTIONS)]


def received(engine: Engine, flags: str) -> list[str | int]:
    """Which server each connection's frame goes to."""
    return [receiver(engine.forward(frame, now_ns=START_NS)) for frame in frames(flags)]


def round_of(number: int) -> list[Change]:
    """Weights, another server that comes and goes, another service too; all succeed."""
    third = Server(IPv4Address(server_address(3)), 80)
    changes = [
        Change(Operation.EDIT_SERVER, WEB, Server(SERVERS[n % 2].address, 80, number % 7 + n))
        for n in range(BATCH - 6)
    ]
    return [
        *changes,
        Change(Operation.ADD_SERVER, WEB, third),
        Change(Operation.DELETE_SERVER, WEB, third),
        Change(Operation.ADD_SERVICE, OTHER),
        Change(Operation.ADD_SERVER, OTHER, Server(SERVERS[0].address, 81)),
        Change(Operation.EDIT_SERVICE, WEB),
        Change(Operation.DELETE_SERVICE, OTHER),
    ]


def while_served(directory: Path, engine: Engine, ask: Callable[[], Any]) -> Any:
    async def scenario() -> Any:
        async with serving(Director(engine), directory):  # type: ignore[arg-type]
            return await asyncio.to_thread(ask)

    return asyncio.run(scenario())


def test_changes_under_traffic_break_no_connection_and_leak_nothing(
    tmp_path: Path, engine: Engine
) -> None:
    client = Client(tmp_path)
    begun = received(engine, "S")
    assert set(begun) == {1, 2}
    assert received(engine, "A") == begun

    def changed(rounds: int) -> None:
        for number in range(rounds):
            assert not any(client.apply(round_of(number)))
            assert received(engine, "A") == begun

    def ask() -> int:
        changed(5)  # what is kept for good has been made
        gc.collect()
        tracemalloc.start()
        changed(5)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        changed(15)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return after - before

    assert while_served(tmp_path, engine, ask) < 15 * BATCH * 64, "less than an object a change"
    stats = engine.stats()
    assert (stats.connections, stats.created) == (CONNECTIONS, CONNECTIONS)
    assert (stats.services, stats.servers) == (1, 2)


def test_two_that_change_at_once_never_see_half_of_each_others_changes(
    tmp_path: Path, engine: Engine
) -> None:
    """Each moves a weight of ten from one server to the other and back, in one piece."""

    def moved(first: int) -> list[Change]:
        weights = (first, 10 - first)
        return [
            Change(Operation.EDIT_SERVER, WEB, Server(each.address, 80, weight))
            for each, weight in zip(SERVERS, weights, strict=True)
        ]

    def change(first: int) -> None:
        for _ in range(60):
            assert Client(tmp_path).apply(moved(first)) == (0, 0)

    def ask() -> list[int]:
        Client(tmp_path).apply(moved(0))
        changing = [threading.Thread(target=change, args=(first,)) for first in (2, 9)]
        for each in changing:
            each.start()
        sums = []
        while any(each.is_alive() for each in changing):
            (row,) = Client(tmp_path).services()
            sums.append(sum(each.server.weight for each in row.servers))
        return sums

    sums = while_served(tmp_path, engine, ask)
    assert set(sums) == {10}


def test_a_batch_that_stops_at_a_failure_tells_where(tmp_path: Path, engine: Engine) -> None:
    changes = [
        Change(Operation.EDIT_SERVER, WEB, Server(SERVERS[0].address, 80, 5)),
        Change(Operation.ADD_SERVICE, WEB),
        Change(Operation.EDIT_SERVER, WEB, Server(SERVERS[1].address, 80, 5)),
    ]
    results = while_served(tmp_path, engine, lambda: Client(tmp_path).apply(changes, stop=True))
    assert results == (0, 17, 125)
    (row,) = engine.services()
    assert {str(each.server.address): each.server.weight for each in row.servers} == {
        server_address(1): 5,
        server_address(2): 1,
    }
