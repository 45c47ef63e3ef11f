"""The core in the recorded lab: the one place that knows how the director is driven.

A new ability of the core (a sysctl, another kind of service, a frame of its own) is let in here,
and its entry in ``not_yet.py`` goes.
"""

from __future__ import annotations

import dataclasses
import errno
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from types import TracebackType

from dr_forwarder.config.model import Mark, Tuning
from dr_forwarder.dataplane import Engine, Limits
from dr_forwarder.ipvsadm import listing
from dr_forwarder.table import (
    HOST_MASK,
    Change,
    Connection,
    Key,
    Operation,
    Server,
    Service,
    ServiceFlag,
    ServiceRow,
)

from .ipvsadm_command import Command, ServiceName, parse, refusal
from .ipvsadm_options import UsageError, Verb
from .wire import DIRECTOR_ADDRESS, DIRECTOR_MAC, Outcome, outcome_of, server_mac

SECOND_NS = 10**9
MTU = 9000
TUNING = frozenset(field.name for field in dataclasses.fields(Tuning))
"""The sysctls under net.ipv4.vs that the core has."""

_FLAGS = {
    "ops": ServiceFlag.ONE_PACKET,
    "flag-1": ServiceFlag.SCHEDULER_1,
    "sh-fallback": ServiceFlag.SCHEDULER_1,
    "mh-fallback": ServiceFlag.SCHEDULER_1,
    "flag-2": ServiceFlag.SCHEDULER_2,
    "sh-port": ServiceFlag.SCHEDULER_2,
    "mh-port": ServiceFlag.SCHEDULER_2,
    "flag-3": ServiceFlag.SCHEDULER_3,
}
_VIEWS = {view.value: view for view in listing.View if view is not listing.View.PLAIN}
_MARK = re.compile(r"p (?:ip daddr (\S+)|(tcp|udp) dport (\d+)) meta mark set (\d+)")
_OPERATIONS = {
    Verb.ADD_SERVICE: Operation.ADD_SERVICE,
    Verb.EDIT_SERVICE: Operation.EDIT_SERVICE,
    Verb.DELETE_SERVICE: Operation.DELETE_SERVICE,
    Verb.ADD_SERVER: Operation.ADD_SERVER,
    Verb.EDIT_SERVER: Operation.EDIT_SERVER,
    Verb.DELETE_SERVER: Operation.DELETE_SERVER,
}


@dataclass(frozen=True, slots=True)
class Result:
    """What a command did: exit status and the lines it printed."""

    status: int = 0
    out: tuple[str, ...] = ()
    error: str = ""


def key_of(name: ServiceName) -> Key:
    """How the core names a service."""
    if name.protocol == "fwmark":
        return Key("fwm", (IPv6Address if name.version == 6 else IPv4Address)(name.mark), 0)
    assert name.address is not None
    return Key(name.protocol, name.address, name.port)


def service_of(command: Command) -> Service:
    """The service that ``-A`` or ``-E`` describes."""
    assert command.service is not None
    flags = ServiceFlag(0)
    for flag in command.flags:
        flags |= _FLAGS[flag]
    full = HOST_MASK if command.service.version == 4 else IPv6Address(2**128 - 1)
    # Without persistence ipvsadm takes a mask and nobody uses it.
    given = command.mask if command.persistent_s is not None else None
    return Service(
        key=key_of(command.service),
        scheduler=command.scheduler,
        persistent_s=command.persistent_s,
        mask=given or full,
        flags=flags,
    )


def server_of(command: Command) -> Server:
    """The server that ``-a`` or ``-e`` describes."""
    assert command.real is not None
    real = command.real
    return Server(real.address, real.port, command.weight, command.upper, command.lower)


class World:
    """An engine whose clock is the recording's."""

    def __init__(self, *, mtu: int = MTU) -> None:
        self.now_ns = 0
        limits = Limits(services=256, servers=1024, connections=65536)
        self._engine = Engine(limits=limits, now_ns=0)
        self._engine.identify(mac=DIRECTOR_MAC, mtu=mtu, hosts=[IPv4Address(DIRECTOR_ADDRESS)])
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
        if name in TUNING:
            self._tuning = dataclasses.replace(self._tuning, **{name: int(value)})
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

    # ---- ipvsadm ----

    def ipvsadm(self, words: list[str]) -> Result:
        """Carries out one command line."""
        try:
            command = parse(words)
        except UsageError as error:
            return Result(error.status, error=error.text)
        match command.verb:
            case Verb.LIST:
                return self._list(command)
            case Verb.SAVE:
                return Result(out=tuple(_saved(self.services())))
            case Verb.SET:
                tcp_s, tcp_fin_s, udp_s = command.timeouts
                self._engine.set_timeouts(tcp_s=tcp_s, tcp_fin_s=tcp_fin_s, udp_s=udp_s)
                return Result()
            case Verb.CLEAR:
                for row in self._engine.services():
                    self._apply(Change(Operation.DELETE_SERVICE, row.service))
                return Result()
        return self._change(command)

    def _change(self, command: Command) -> Result:
        server = server_of(command) if command.real else None
        change = Change(_OPERATIONS[command.verb], service_of(command), server)
        number = self._apply(change)
        if number:
            status, text = refusal(command.verb, number)
            return Result(status, error=text)
        if server is not None and (mac := server_mac(server.address)):
            mtu = self._mtus.get(server.address, 0)
            self._apply(Change(Operation.SET_MAC, None, server, mac, mtu))
        return Result()

    def _apply(self, change: Change) -> int:
        return self._engine.apply([change], now_ns=self.now_ns)[0]

    def knows_scheduler(self, name: str) -> bool:
        """Whether the core has it; asked by adding a service nobody else has."""
        service = Service(Key("tcp", IPv4Address("192.0.2.1"), 1), name)
        number = self._apply(Change(Operation.ADD_SERVICE, service))
        self._apply(Change(Operation.DELETE_SERVICE, service))
        return number != errno.ENOENT

    def _list(self, command: Command) -> Result:
        self._let_timers_fire()
        if "connection" in command.details:
            persistent = "persistent-conn" in command.details
            text = listing.connections(self.connections(), persistent=persistent)
            return Result(out=_lines(text))
        if "timeout" in command.details:
            return Result(out=_lines(listing.timeouts(self._engine.timeouts())))
        rows = self.services()
        if command.service is not None:
            key = key_of(command.service)
            rows = tuple(row for row in rows if row.service.key == key)
            if not rows:
                status, error = refusal(Verb.LIST, errno.ESRCH)
                return Result(status, error=error)
        views = (view for name, view in _VIEWS.items() if name in command.details)
        view = next(views, listing.View.PLAIN)
        text = listing.table(rows, view=view, exact="exact" in command.details)
        return Result(out=_lines(text)[1 if command.service is not None else 0 :])

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
        return _lines(listing.connections(self.connections()))[2:]

    def ending_lines(self, seconds: float) -> tuple[str, ...]:
        """Those of entries with no more than this left."""
        rows = [row for row in self.connections() if row.left_s <= seconds]
        return _lines(listing.connections(rows))[2:]

    @property
    def ends_orphans(self) -> bool:
        """Whether the connections of a removed server are ended, sooner or later."""
        return bool(self._tuning.expire_nodest_conn)

    def orphan_lines(self) -> tuple[str, ...]:
        """Those of entries whose server was removed."""
        return _lines(listing.connections(row for row in self.connections() if row.removed))[2:]

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


def _saved(rows: tuple[ServiceRow, ...]) -> Iterator[str]:
    """``ipvsadm -Sn``; not in the product yet."""
    for row in sorted(rows, key=lambda row: (row.service.key.protocol, str(row.service.key))):
        service, key = row.service, row.service.key
        letter = key.protocol[0]
        words = [f"-A -{letter} {_host(key.address)}:{key.port} -s {service.scheduler}"]
        if service.persistent_s is not None:
            words.append(f"-p {service.persistent_s}")
            if service.mask.max_prefixlen != int(service.mask).bit_count():
                words.append(f"-M {_mask(service.mask)}")
        if service.flags & ServiceFlag.ONE_PACKET:
            words.append("-o")
        yield " ".join(words)
        for server in sorted((each.server for each in row.servers), key=lambda each: each.name):
            name = f"{_host(key.address)}:{key.port}"
            yield f"-a -{letter} {name} -r {server.name} -g -w {server.weight}"


def _host(address: IPv4Address | IPv6Address) -> str:
    return f"[{address}]" if address.version == 6 else str(address)


def _mask(mask: IPv4Address | IPv6Address) -> str:
    return str(int(mask).bit_count()) if mask.version == 6 else str(mask)
