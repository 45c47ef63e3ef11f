"""Records: what the core tells of its decisions, and which of them are asked for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from .endpoints import Address, endpoint
from .table import Key

TYPE_CHECKING = False  # as in typing, whose import would take a quick command's time
if TYPE_CHECKING:
    from typing import TypeVar

    Read = TypeVar("Read")

MAC_BYTES = 6


@dataclass(frozen=True, slots=True)
class Candidate:
    """A real server as the scheduler saw it."""

    address: Address
    weight: int
    active: int
    """Connections."""
    inactive: int
    overloaded: bool


@dataclass(frozen=True, slots=True)
class Record:
    """What became of one frame, and why."""

    frame: int
    """Its number, from 1; 0: it had been held, and was dropped later."""
    at_ns: int
    """Since 1970; in a replay the capture's own time."""
    verdict: str
    why: str
    """A sentence for people."""
    by: str
    """How its real server was found: ``connection``, ``template``, ``scheduler``, ``fragment``,
    ``icmp`` or ``nothing``."""
    length: int
    """Bytes on the wire."""
    head: bytes
    """How it began when it came, at most 256 bytes."""
    before: bytes
    """Destination and source MAC address; shorter than 12 bytes if the frame was."""
    after: bytes | None
    """The same of what was sent: the frame, or an answer to it; None: nothing was."""
    vlan: int
    protocol: str
    """``tcp``, ``udp``, ``sctp``, ``icmp``, ``arp``, another's number; "" if it was not read."""
    client: Address | None
    client_port: int
    address: Address | None
    """Where the client wants to."""
    port: int
    service: Key | None
    scheduler: str | None
    server: Address | None
    server_port: int
    server_mtu: int
    candidates: tuple[Candidate, ...]
    """What the scheduler saw, in the order of its visits, the first sixteen."""
    candidate_count: int
    chosen: int | None
    """Among the candidates."""
    cursor_before: int | None
    """Of round robin, among the candidates."""
    cursor_after: int | None
    state_before: str | None
    """Of its connection; None: there was none."""
    state_after: str | None
    ttl_before: int
    """0 without an IP header."""
    ttl_after: int

    @property
    def sent(self) -> bool:
        """Whether the frame, or an answer to it, left the director."""
        return self.after is not None

    @property
    def ethernet_header(self) -> bytes:
        """Of the frame as it came, tags included."""
        tags = (self.vlan > 0) + (self.vlan > 0xFFF)
        return self.head[: 14 + 4 * tags]

    @property
    def ethernet_header_after(self) -> bytes | None:
        """Of what was sent."""
        if self.after is None:
            return None
        return self.after + self.ethernet_header[2 * MAC_BYTES :]


@dataclass(frozen=True, slots=True)
class Losses:
    """What a reader of records did not get."""

    overwritten: int = 0
    """Records: it was too slow."""
    limited: int = 0
    """Frames that were not looked at, for there is a limit a second."""


@dataclass(frozen=True, slots=True)
class Traced:
    """What one who watches is told: a record, or once a second what is missing so far."""

    record: Record | None = None
    losses: Losses | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which frames are told of: those for which all of this holds."""

    client: IPv4Network | IPv6Network | None = None
    protocol: str | None = None
    address: Address | None = None
    """The VIP."""
    port: int = 0
    """Of the VIP; 0: any."""
    server: Address | None = None
    verdicts: frozenset[str] = field(default_factory=frozenset)
    """Empty: any."""
    first_only: bool = False
    """Only frames that begin a connection, or would have."""
    every: int = 1
    """One frame in so many."""
    per_s: int = 0
    """Records a second, at most; 0: no limit."""


EVERYTHING = Filter()
_PROTOCOLS = ("tcp", "udp", "sctp")
MOST_EVERY = MOST_PER_S = 1 << 30


def network(text: str) -> IPv4Network | IPv6Network:
    """A client, or a network of clients; raises ValueError."""
    return ip_network(text, strict=False)


def service(text: str) -> tuple[str | None, Address, int]:
    """``10.0.0.1``, ``10.0.0.1:80``, ``udp:[fd00::1]:53``: protocol, VIP, port; else ValueError."""
    protocol, _, rest = text.partition(":")
    if protocol not in _PROTOCOLS:
        protocol, rest = "", text
    bare, _, port = rest.rpartition(":")
    if rest.startswith("["):
        bare, port = (rest, "") if rest.endswith("]") else (bare, port)
    elif rest.count(":") != 1:
        bare, port = rest, ""
    try:
        number = int(port) if port else 0
        if not 0 <= number <= 65535:
            raise ValueError
        return protocol or None, ip_address(bare.strip("[]")), number
    except ValueError:
        raise ValueError(
            f"{text[:60]!r} is no service: like 10.0.0.1:80, udp:10.0.0.1:53 or [fd00::1]:80"
        ) from None


def query(asked: Filter) -> dict[str, str]:
    """The filter as the control socket takes it; what is not asked for is left out."""
    said = {
        "client": str(asked.client) if asked.client else "",
        "service": _service_text(asked),
        "server": str(asked.server) if asked.server else "",
        "verdict": ",".join(sorted(asked.verdicts)),
        "first": "1" if asked.first_only else "",
        "every": str(asked.every) if asked.every > 1 else "",
        "per_s": str(asked.per_s) if asked.per_s else "",
    }
    return {name: value for name, value in said.items() if value}


def _service_text(asked: Filter) -> str:
    if asked.address is None:
        return ""
    where = endpoint(asked.address, asked.port)
    return f"{asked.protocol}:{where}" if asked.protocol else where


def from_query(said: Mapping[str, str], *, known: tuple[str, ...]) -> Filter:
    """What ``query`` wrote; raises ValueError that begins with the field's name."""
    for name in said:
        if name not in ("client", "service", "server", "verdict", "first", "every", "per_s"):
            raise ValueError(f"{name}: is not known")
    protocol, address, port = _read(said, "service", service) or (None, None, 0)
    verdicts = frozenset(filter(None, said.get("verdict", "").split(",")))
    if unknown := sorted(verdicts - {*known}):
        raise ValueError(f"verdict: {unknown[0]!r} is none; there are {', '.join(known)}")
    return Filter(
        client=_read(said, "client", network),
        protocol=protocol,
        address=address,
        port=port,
        server=_read(said, "server", ip_address),
        verdicts=verdicts,
        first_only=said.get("first") == "1",
        every=_number(said, "every", 1, MOST_EVERY),
        per_s=_number(said, "per_s", 0, MOST_PER_S),
    )


def _number(said: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = said.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and default <= int(text[:12]) <= most):
        raise ValueError(f"{name}: must be a whole number from {default} to {most}")
    return int(text)


def _read(said: Mapping[str, str], name: str, read: Callable[[str], Read]) -> Read | None:
    if name not in said:
        return None
    try:
        return read(said[name])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
