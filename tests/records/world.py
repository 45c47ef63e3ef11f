"""The core in the recorded lab: the one place that knows how the director is driven.

A new ability of the core (a sysctl, another kind of service, a frame of its own) is let in here,
and its entry in ``not_yet.py`` goes.
"""

from __future__ import annotations

import dataclasses
import errno
import re
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from types import TracebackType

from dr_forwarder.config.model import Mark, Tuning
from dr_forwarder.dataplane import Engine, Limits
from dr_forwarder.ipvsadm import connections
from dr_forwarder.ipvsadm.command import OPERATIONS
from dr_forwarder.ipvsadm.parse import Command
from dr_forwarder.ipvsadm.proc import Totals
from dr_forwarder.table import (
    Change,
    Connection,
    Key,
    Operation,
    Server,
    Service,
    ServiceRow,
    SyncDaemon,
)

from .wire import DIRECTOR_ADDRESS, DIRECTOR_MAC, Outcome, outcome_of, server_mac

SECOND_NS = 10**9
MTU = 9000
INTERFACES = ("eth0", "lo")
TUNING = frozenset(field.name for field in dataclasses.fields(Tuning))
"""The sysctls under net.ipv4.vs that the core has."""

_SPLIT = {"sync_threshold": ("sync_threshold", "sync_period")}
"""Sysctls with two numbers, and the settings they are here."""
_MARK = re.compile(r"p (?:ip daddr (\S+)|(tcp|udp) dport (\d+)) meta mark set (\d+)")
_SERVER_OPERATIONS = (Operation.ADD_SERVER, Operation.EDIT_SERVER)


class World:
    """An engine whose clock is the recording's."""

    def __init__(self, *, mtu: int = MTU) -> None:
        self.now_ns = 0
        limits = Limits(services=256, servers=1024, connections=65536)
        self._engine = Engine(limits=limits, now_ns=0)
        self._engine.identify(mac=DIRECTOR_MAC, mtu=mtu, hosts=[IPv4Address(DIRECTOR_ADDRESS)])
        self._daemons: dict[str, SyncDaemon] = {}
        self._marks: list[Mark] = []
        self._mtus: dict[IPv4Address | IPv6Address, int] = {}
        # As the recorded director: a router, with ICMP rate limits off.
        self._tuning = Tuning(decrement_ttl=1, icmp_ratelimit=0)
        self._engine.set_tuning(self._tuning)

    def __enter__(self) -> World:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._engine.close()

    # ---- The clock ----

    @property
    def seconds(self) -> float:
        """What the clock shows."""
        return self.now_ns / SECOND_NS

    def go_to(self, seconds: float) -> None:
        """Recorded times are rounded, so they may seem to go back by a millisecond."""
        self.now_ns = max(self.now_ns, round(seconds * SECOND_NS))
        self._let_timers_fire()

    def _let_timers_fire(self) -> None:
        """Any frame does; this one is nobody's business."""
        self._engine.forward(bytes(14), now_ns=self.now_ns)

    # ---- Frames ----

    def forward(self, frame: bytes) -> Outcome:
        """What the core does with one frame, and with fragments that waited for it."""
        decision = self._engine.forward(frame, now_ns=self.now_ns)
        held = tuple(self._engine.held(now_ns=self.now_ns))
        sent = (decision.frame, *held) if decision.sent else held
        return outcome_of(sent, decision.verdict)

    # ---- Settings ----

    def set_sysctl(self, name: str, value: str) -> None:
        """``name`` is without ``net.ipv4.vs.``; what the core does not have is no error here."""
        values = dict(zip(_SPLIT.get(name, (name,)), map(int, value.split()), strict=True))
        if values.keys() <= TUNING:
            self._tuning = dataclasses.replace(self._tuning, **values)
            self._engine.set_tuning(self._tuning)

    def add_route(self, address: IPv4Address | IPv6Address, mtu: int) -> None:
        """A route to a real server that takes less than the interface."""
        self._mtus[address] = mtu
        if mac := server_mac(address):
            self._apply(Change(Operation.SET_MAC, None, Server(address, 0), mac, mtu))

    def add_marks(self, line: str) -> None:
        """An nft command line that sets marks; of nft's rules the last that fits counts."""
        for network, protocol, port, mark in _MARK.findall(line):
            if network:
                rule = Mark(int(mark), IPv4Network(network))
            else:
                rule = Mark(int(mark), IPv4Network("0.0.0.0/0"), protocol, int(port), int(port))
            self._marks.insert(0, rule)
        self._engine.set_marks(self._marks)

    # ---- ipvsadm: as dr_forwarder.ipvsadm.ipvs.Ipvs ----

    def apply(self, changes: Sequence[Change]) -> tuple[int, ...]:
        """Every server in the lab answers ARP at once."""
        return tuple(self._apply(change) for change in changes)

    def _apply(self, change: Change) -> int:
        result = self._engine.apply([change], now_ns=self.now_ns)[0]
        server = change.server
        if server and change.operation in _SERVER_OPERATIONS and not result:
            mac = server_mac(server.address)
            if mac is not None:
                mtu = self._mtus.get(server.address, 0)
                self._apply(Change(Operation.SET_MAC, None, server, mac, mtu))
        return result

    def do(self, meant: Command) -> int:
        """A command that the product refuses, for the sake of the others."""
        operation = OPERATIONS[meant.verb]
        return self._apply(Change(operation, meant.service, meant.server))

    def timeouts(self) -> tuple[int, int, int]:
        """Seconds: established TCP, TCP after a FIN, UDP."""
        return self._engine.timeouts()

    def set_timeouts(self, *, tcp_s: int = 0, tcp_fin_s: int = 0, udp_s: int = 0) -> None:
        """0 keeps what is."""
        self._engine.set_timeouts(tcp_s=tcp_s, tcp_fin_s=tcp_fin_s, udp_s=udp_s)

    def zero(self, key: Key | None = None) -> int:
        """Of one service, or all."""
        if key is None:
            return self._apply(Change(Operation.ZERO_ALL, None))
        return self._apply(Change(Operation.ZERO_SERVICE, Service(key)))

    def totals(self) -> Totals:
        """Over all services."""
        stats = self._engine.stats()
        return Totals(stats.counters, stats.rates)

    def daemons(self) -> tuple[SyncDaemon, ...]:
        """The master first."""
        return tuple(self._daemons[role] for role in ("master", "backup") if role in self._daemons)

    def start_daemon(self, daemon: SyncDaemon) -> int:
        """In the lab there is one interface."""
        if daemon.interface not in INTERFACES:
            return errno.ENODEV
        result = self._engine.start_sync(daemon.resolved())
        if result == 0:
            self._daemons[daemon.role] = daemon.resolved()
        return result

    def stop_daemon(self, role: str) -> int:
        """ESRCH when it does not run."""
        self._daemons.pop(role, None)
        return self._engine.stop_sync(role)

    def messages(self) -> Iterator[bytes]:
        """Those of the master that are due."""
        while taken := self._engine.take_sync(now_ns=self.now_ns):
            yield taken[1]

    def hear(self, message: bytes) -> None:
        """One for the backup."""
        self._engine.receive_sync(message, now_ns=self.now_ns)

    def knows_scheduler(self, name: str) -> bool:
        """Whether the core has it; asked by adding a service nobody else has."""
        service = Service(Key("tcp", IPv4Address("192.0.2.1"), 1), name)
        number = self._apply(Change(Operation.ADD_SERVICE, service))
        self._apply(Change(Operation.DELETE_SERVICE, service))
        return number != errno.ENOENT

    # ---- Looks ----

    def services(self) -> tuple[ServiceRow, ...]:
        """Services with their servers and counters, as they are now."""
        self._let_timers_fire()
        return self._engine.services()

    def connections(self) -> list[Connection]:
        """Every entry that has not expired."""
        self._let_timers_fire()
        return list(self._engine.connections(now_ns=self.now_ns))

    def find(self, matches: Callable[[Connection], bool]) -> Connection | None:
        """The first entry, templates aside, that ``matches``."""
        return next((row for row in self.connections() if not row.template and matches(row)), None)

    def connection_lines(self) -> tuple[str, ...]:
        """``ipvsadm -Lnc`` without its head."""
        return _lines(connections.connections(self.connections()))[2:]

    def ending_lines(self, seconds: float) -> tuple[str, ...]:
        """Those of entries with no more than this left."""
        rows = [row for row in self.connections() if row.left_s <= seconds]
        return _lines(connections.connections(rows))[2:]

    @property
    def ends_orphans(self) -> bool:
        """Whether the connections of a removed server are ended, sooner or later."""
        return bool(self._tuning.expire_nodest_conn)

    def orphan_lines(self) -> tuple[str, ...]:
        """Those of entries whose server was removed."""
        return _lines(connections.connections(row for row in self.connections() if row.removed))[2:]

    def target(self) -> str:
        """Address and port of the first service."""
        key = self.services()[0].service.key
        return f"{_host(key.address)}:{key.port}"

    def counts(self) -> tuple[int, int]:
        """Active and inactive connections, over all servers."""
        servers = [server for row in self.services() for server in row.servers]
        return sum(row.active for row in servers), sum(row.inactive for row in servers)

    def counters(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Packets and bytes that came in, by service and server."""
        return {
            (row.service.key.name, each.server.name): (each.counters.packets, each.counters.bytes)
            for row in self.services()
            for each in row.servers
        }


def _lines(text: str) -> tuple[str, ...]:
    return tuple(text.splitlines())


def _host(address: IPv4Address | IPv6Address) -> str:
    return f"[{address}]" if address.version == 6 else str(address)
