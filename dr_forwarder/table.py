"""The director's table as Python sees it: services, servers, connections, counters, changes.

Frozen data only. No I/O, no clock; the C core keeps the real table.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from .daemons import SyncDaemon
from .endpoints import Address, endpoint
from .flags import NO_FLAGS, ServiceFlag

__all__ = [
    "HOST_MASK",
    "NO_FLAGS",
    "Change",
    "Connection",
    "Counters",
    "Drain",
    "Key",
    "Operation",
    "Server",
    "ServerRow",
    "Service",
    "ServiceFlag",
    "ServiceRow",
    "Stats",
    "SyncDaemon",
]

HOST_MASK = IPv4Address("255.255.255.255")


@dataclass(frozen=True, slots=True)
class Key:
    """What names a virtual service."""

    protocol: str = field(metadata={"choices": ("tcp", "udp", "sctp", "fwm")})
    """``tcp``, ``udp``, ``sctp``, or ``fwm`` for a firewall mark."""
    address: Address
    """Of a firewall mark: the mark as an address, 0.0.0.7 or ::7; kernel IPVS lists it so."""
    port: int = field(default=0, metadata={"least": 0, "most": 65535})

    @property
    def name(self) -> str:
        """``10.0.0.1:80``, or a firewall mark's number, as in ldirectord's log."""
        if self.protocol == "fwm":
            return str(int(self.address))
        return endpoint(self.address, self.port)

    def __str__(self) -> str:
        return f"{self.protocol} {self.name}"


@dataclass(frozen=True, slots=True)
class Service:
    """A virtual service as configured."""

    key: Key
    scheduler: str = "wlc"
    persistent_s: int | None = None
    mask: Address = HOST_MASK
    """Which bits of a client's address a persistence template keeps."""
    flags: ServiceFlag = NO_FLAGS
    slow_start_s: int = 0
    """In which a server that comes reaches its share of connections; 0: at once."""


class Drain(enum.Enum):
    """What becomes of the connections of a server that is drained; in the core's order."""

    NONE = "none"
    """It is not drained."""
    KEEP = "keep"
    """They go on; it gets no new ones, not by persistence either."""
    DROP = "drop"
    """They end, and their packets are dropped."""
    RESET = "reset"
    """Each ends with its next packet; the client gets a RST, or ICMP port unreachable."""
    REHASH = "rehash"
    """Each goes to another server with its next packet; a TCP server there answers with a RST."""


@dataclass(frozen=True, slots=True)
class Server:
    """A real server of a service as configured; its port is the service's."""

    address: Address
    port: int
    weight: int = 1
    upper: int = 0
    lower: int = 0
    drain: Drain = Drain.NONE
    """While it is another, the weight is 0."""

    @property
    def name(self) -> str:
        """``address:port`` as ipvsadm writes it."""
        return endpoint(self.address, self.port)


@dataclass(frozen=True, slots=True)
class Counters:
    """What came in: connections, packets, and bytes above Ethernet."""

    connections: int = 0
    packets: int = 0
    bytes: int = 0

    def __add__(self, other: Counters) -> Counters:
        return Counters(
            self.connections + other.connections,
            self.packets + other.packets,
            self.bytes + other.bytes,
        )

    def __sub__(self, other: Counters) -> Counters:
        return Counters(
            self.connections - other.connections,
            self.packets - other.packets,
            self.bytes - other.bytes,
        )


NOTHING = Counters()


@dataclass(frozen=True, slots=True)
class ServerRow:
    """A real server as the core has it now."""

    server: Server
    active: int = 0
    inactive: int = 0
    persistent: int = 0
    """Persistence templates that point here."""
    counters: Counters = NOTHING
    rates: Counters = NOTHING
    """A second, as kernel IPVS estimates them."""
    mac: bytes | None = None
    mtu: int = 0
    """Of the way there, bytes above Ethernet; 0: the interface's."""
    overloaded: bool = False


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """A virtual service as the core has it now, with its servers, the newest first."""

    service: Service
    servers: tuple[ServerRow, ...] = ()
    counters: Counters = NOTHING
    rates: Counters = NOTHING


@dataclass(frozen=True, slots=True)
class Connection:
    """An entry of the connection table."""

    protocol: str
    client: Address
    client_port: int
    address: Address
    port: int
    server: Address
    server_port: int
    state: str
    """ipvsadm's word: ``ESTABLISHED``, ``UDP``, of a template ``NONE`` or ``ASSURED``."""
    left_s: float
    template: bool
    removed: bool
    """Its server has been taken out of the service; its packets are dropped."""
    synced: bool = False
    """Another director told of it."""


@dataclass(frozen=True, slots=True)
class WorkerStats:
    """What one forwarding thread did since the director started."""

    frames: int
    forwarded: int
    """Of them: sent to real servers."""
    ring_dropped: int
    """Frames the kernel had no room for in its rings; not among ``frames``."""
    wakeups: int
    """After it had slept, because there was nothing to do."""


@dataclass(frozen=True, slots=True)
class Stats:
    """A consistent snapshot: ``frames == sum(verdicts.values())``."""

    frames: int
    bytes: int
    verdicts: Mapping[str, int]
    created: int
    expired: int
    connections: int
    services: int
    servers: int
    ring_dropped: int
    """Frames the kernel had no room for; not among ``frames``."""
    displaced: int = 0
    """Of those expired: unproved ones that were ended to make room."""
    unproved: int = 0
    """Of the connections now: the client has not gone on after its first packet."""
    counters: Counters = NOTHING
    """Of all services together, those that are gone included, since they were set to zero."""
    rates: Counters = NOTHING
    workers: tuple[WorkerStats, ...] = ()
    """Their frames together are ``frames``, but for what earlier directors left in the state."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a set of changes."""

    results: tuple[int, ...]
    """0 or an errno for each."""
    warnings: tuple[str, ...] = ()
    """Which addresses the table has now that cannot be served here, and the cures."""


class Operation(enum.Enum):
    """What a change does; the values are the core's."""

    ADD_SERVICE = 0
    EDIT_SERVICE = 1
    DELETE_SERVICE = 2
    ADD_SERVER = 3
    EDIT_SERVER = 4
    DELETE_SERVER = 5
    SET_MAC = 6
    ZERO_SERVICE = 7
    ZERO_ALL = 8
    CLEAR = 9


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the table.

    ``service`` is None for SET_MAC, ZERO_ALL and CLEAR; ``mac`` and ``mtu`` count for SET_MAC, and
    for ADD_SERVER where the MAC is known already.
    """

    operation: Operation
    service: Service | None
    server: Server | None = None
    mac: bytes | None = None
    mtu: int = 0
    """Of the way to the server, bytes above Ethernet; 0: the interface's."""
