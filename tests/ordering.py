"""A director's orders without the director: a table in memory, a clock that stands, a bus."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from types import SimpleNamespace

from dr_forwarder.config.model import Config, Real, Virtual
from dr_forwarder.dataplane import Engine, Limits
from dr_forwarder.draining import Draining
from dr_forwarder.events import Bus
from dr_forwarder.health import Health
from dr_forwarder.order_book import OrderBook
from dr_forwarder.reconciler import Reconciler
from dr_forwarder.table import Change, Drain, Key, Operation, Server, Service

VIP = IPv4Address("10.9.0.100")
FIRST, SECOND, OTHER = (IPv4Address(f"10.9.0.{n}") for n in (11, 12, 13))
WEB, TLS, DNS = Key("tcp", VIP, 80), Key("tcp", VIP, 443), Key("udp", VIP, 53)
"""The first two are a file's, with FIRST and SECOND; the last is somebody else's, with OTHER."""

NOW_S = 1_800_000_000.0


def config(*, weight: int = 1) -> Config:
    virtuals = [
        Virtual("tcp", VIP, key.port, (Real(FIRST, key.port, weight), Real(SECOND, key.port)))
        for key in (WEB, TLS)
    ]
    return Config("test.cf", tuple(virtuals))


class Orders:
    """What a director has for its orders."""

    def __init__(self, path: Path | None = None, now_s: float = NOW_S) -> None:
        self.now_s = now_s
        self.up = {FIRST: True, SECOND: True}
        self.engine = Engine(limits=Limits(services=8, servers=16, connections=64))
        self.bus = Bus(self.clock)
        self.book = OrderBook(path, self.clock)
        self.table = Reconciler(self.engine, self.health, self.bus, self.book.drains)
        self.reload(config())
        other = Service(DNS, "rr")
        self.set(
            Change(Operation.ADD_SERVICE, other),
            Change(Operation.ADD_SERVER, other, Server(OTHER, 53, 5)),
        )
        self.draining = Draining(self.book, self.table, self.bus, self.clock)

    def clock(self) -> float:
        return self.now_s

    def health(self, _: Virtual, real: Real) -> Health:
        return Health(up=self.up[real.address])

    def reload(self, fresh: Config) -> None:
        place = SimpleNamespace(mtus={}, sources={}, local=(), identity=SimpleNamespace(mac=b""))
        self.table.configure(fresh, place)
        self.table.publish()

    def set(self, *changes: Change) -> None:
        """As over the control socket."""
        results = self.table.apply(changes)
        assert results == [0] * len(changes)
        if hasattr(self, "draining"):
            self.draining.note(changes, results)

    def servers(self) -> dict[tuple[int, IPv4Address], tuple[int, Drain]]:
        """By the service's port and the server's address: weight, and what it says besides."""
        return {
            (row.service.key.port, each.server.address): (each.server.weight, each.server.drain)
            for row in self.engine.services()
            for each in row.servers
        }

    def kinds(self) -> list[str]:
        """What was told of orders."""
        return [h.kind for h in self.bus.history() if h.kind.startswith("order_")]
