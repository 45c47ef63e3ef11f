"""What a configuration says, as frozen data; both file formats end here. No parsing, no I/O."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from ..daemons import SyncDaemon as SyncDaemon
from ..endpoints import Address as Address
from ..endpoints import bracketed as bracketed
from ..endpoints import endpoint as endpoint
from .settings import IoMode as IoMode
from .settings import MacMode as MacMode
from .settings import Settings as Settings
from .settings import Tuning as Tuning

_MOST_ERRORS = 50
"""Told beside the first: a file that is no configuration has one in each line."""


class ConfigError(Exception):
    """A configuration that cannot be used: which file, which line, why, and what would be right."""

    def __init__(
        self, reason: str, *, file: str, line: int = 0, others: tuple[ConfigError, ...] = ()
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.file = file
        self.line = line
        self.others = others
        """Further down in the same file; each gets a line of its own."""

    @classmethod
    def of_all(cls, *kinds: Iterable[ConfigError]) -> ConfigError:
        """Make one of all, kind after kind, each by line; there is at least one."""
        first, *others = (part for errors in kinds for part in _by_line(errors))
        return cls(first.reason, file=first.file, line=first.line, others=tuple(others))

    def __str__(self) -> str:
        told = [each._alone() for each in (self, *self.others[:_MOST_ERRORS])]
        if (left := len(self.others) - _MOST_ERRORS) > 0:
            told.append(f"{self.file}: error: and {left} more errors")
        return "\n".join(told)

    def _alone(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: error: {self.reason}"


def _by_line(errors: Iterable[ConfigError]) -> list[ConfigError]:
    parts = [part for error in errors for part in (error, *error.others)]
    return sorted(parts, key=lambda part: part.line)


@dataclass(frozen=True, slots=True)
class Notice:
    """Something accepted that the reader should know of: a superset, or not done yet."""

    reason: str
    line: int = 0
    strict: bool = False
    """True where stock ldirectord refuses the file or takes it otherwise: ``check --strict`` makes
    it an error."""

    file: str = ""
    """Where it is, if not in the configuration itself but in the rules that come with it."""

    def at(self, path: str) -> str:
        """Write the place that goes in front of it."""
        return f"{self.file or path}:{self.line}" if self.line else self.file or path


class CheckType(enum.Enum):
    """ldirectord's ``checktype``; ``COMBINED`` is its number N (one negotiate, N connects)."""

    NEGOTIATE = "negotiate"
    CONNECT = "connect"
    PING = "ping"
    ON = "on"
    OFF = "off"
    EXTERNAL = "external"
    EXTERNAL_PERL = "external-perl"
    COMBINED = "combined"


@dataclass(frozen=True, slots=True)
class Real:
    """A real server of a virtual service, reached by direct routing (``gate``)."""

    address: Address
    port: int
    """As written; 0 where none was. The *check* goes there, the traffic to the VIP's own port."""
    weight: int = 1
    request: str | None = None
    receive: str | None = None
    lower: int = 0
    upper: int = 0
    """Connection thresholds (ipvsadm -y and -x); 0 is no limit."""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Fallback:
    """The server that is in the table exactly while no real server is up."""

    address: Address
    port: int
    line: int = 0


@dataclass(frozen=True, slots=True)
class Check:
    """How the real servers of a virtual service are checked; all defaults resolved."""

    type: CheckType = CheckType.NEGOTIATE
    connects: int = 0
    """The N of a combined check: so many connects between two negotiates."""
    service: str = "none"
    port: int | None = None
    """``checkport``; None means the real server's port, else the service's usual one."""
    command: str = "/bin/true"
    request: str = "/"
    receive: str = ""
    http_method: str = "GET"
    virtual_host: str | None = None
    login: str = ""
    password: str = ""
    database: str = ""
    secret: str = ""
    check_timeout_s: int = 5
    negotiate_timeout_s: int = 30
    interval_s: int = 10
    ping_count: int = 1
    failure_count: int = 1
    # What follows is not ldirectord's.
    rise_count: int = 1
    flap_count: int = 6
    """A server flaps that goes up and down so often within its last 20 checks; 0: none does."""
    flap_out: bool = False
    """A server that flaps gets no new connections until it does not any more."""
    jitter_percent: int = 0
    """How much earlier or later than its interval a check may begin, by chance."""
    verify_cert: bool = False
    ca_file: str | None = None
    """PEM; None: the system's certificate authorities."""
    sni: str | None = None
    """The name to ask for and verify in TLS; None: the virtual host, else the address."""
    dns_type: str | None = None
    """None: A, and PTR for an address."""
    through_vip: bool = False
    """The check goes to the VIP at the real server's MAC address."""


@dataclass(frozen=True, slots=True)
class Alert:
    """E-mail alerts of a virtual service (``emailalert*``, ``smtp``)."""

    to: tuple[str, ...] = ()
    frequency_s: int = 0
    status: frozenset[str] = frozenset({"all"})
    sender: str | None = None
    smtp: str | None = None


@dataclass(frozen=True, slots=True)
class Virtual:
    """A virtual service: what clients connect to, and the real servers behind it."""

    protocol: str
    """``tcp``, ``udp``, ``sctp`` or ``fwm``."""
    address: Address | None
    """The VIP; None for a firewall mark."""
    port: int
    real: tuple[Real, ...] = ()
    fwmark: int = 0
    ipv6: bool = False
    scheduler: str = "wrr"
    scheduler_flags: str | None = None
    persistent_s: int | None = None
    netmask: str | None = None
    """As written: a dotted quad, or an IPv6 prefix length."""
    one_packet: bool = False
    slow_start_s: int = 0
    """In which a server that comes reaches its share, where load decides; 0: at once."""
    check: Check = field(default_factory=Check)
    fallback: Fallback | None = None
    fallback_command: str | None = None
    fallback_at_stop: bool = False
    """Not ldirectord's: the end of the director is a reason to run it, too."""
    quiescent: bool = False
    clean_stop: bool = True
    monitor_file: str | None = None
    service_name: str | None = None
    comment: str | None = None
    alert: Alert = field(default_factory=Alert)
    line: int = 0
    lines: tuple[tuple[str, int], ...] = field(default=(), compare=False)
    """Where each of its directives was written."""

    def line_of(self, directive: str) -> int:
        """Give the line of a directive, or the service's own where it was left out."""
        return dict(self.lines).get(directive, self.line)

    @property
    def name(self) -> str:
        """The service as ipvsadm writes it: ``10.0.0.1:80``, ``[::1]:80``, ``7``."""
        if self.address is None:
            return str(self.fwmark)
        return endpoint(self.address, self.port)


@dataclass(frozen=True, slots=True)
class Mark:
    """What a firewall would mark: destinations, protocol and ports."""

    mark: int
    network: IPv4Network | IPv6Network
    protocol: str | None = None
    """None: any."""
    first_port: int = 0
    last_port: int = 65535

    @property
    def single(self) -> Address | None:
        """The one address it is about, if it is about one."""
        return self.network.network_address if self.network.num_addresses == 1 else None


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration file, validated."""

    path: str
    virtuals: tuple[Virtual, ...] = ()
    marks: tuple[Mark, ...] = ()
    """What firewall marks stand for; the first that fits a packet counts."""
    settings: Settings = field(default_factory=Settings)
    readd_quiescent: bool = False
    auto_reload: bool = False
    callback: str | None = None
    log_file: str = "/var/log/ldirectord.log"
    execute: tuple[str, ...] = ()
    supervised: bool = False
    fork: bool = False
    maintenance_dir: str | None = None
    notices: tuple[Notice, ...] = ()
    lines: tuple[tuple[str, int], ...] = field(default=(), compare=False)
    """Where each global directive and setting was written."""
    shared: tuple[tuple[str, object], ...] = field(default=(), compare=False)
    """The global directives and their values, defaults resolved; a fallback is a Fallback."""

    @property
    def vips(self) -> tuple[Address, ...]:
        """Those of services, and those that a mark names one by one."""
        found = [virtual.address for virtual in self.virtuals]
        found += [mark.single for mark in self.marks]
        return tuple(dict.fromkeys(address for address in found if address is not None))

    @property
    def servers(self) -> tuple[Address, ...]:
        """Real servers and fallbacks, each once."""
        reals = (real.address for virtual in self.virtuals for real in virtual.real)
        fallbacks = (each.fallback.address for each in self.virtuals if each.fallback)
        return tuple(dict.fromkeys([*reals, *fallbacks]))

    def line_of(self, directive: str) -> int:
        """Give the line of a global directive or setting, 0 where it was left out."""
        return dict(self.lines).get(directive, 0)
