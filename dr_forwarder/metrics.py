"""Metrics: what Prometheus is told of the director, and where it comes from; see `exposition`.

Names and units follow Prometheus's conventions (base units, ``_total`` for counters). Labels come
only from the table, the configuration and the list of verdicts, never from clients, so no traffic
can make their number grow. Whether the books balance can be asked of any scrape:
``dr_forwarder_received_frames_total == sum(dr_forwarder_frames_total)``.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from .config import table_keys
from .config.model import Config, Real, Virtual
from .health import Health
from .link_state import LinkState
from .table import Counters, Key, ServerRow, ServiceRow, Stats, WorkerStats

PREFIX: Final = "dr_forwarder_"

Labels = tuple[str, ...]


class Looks(Protocol):
    """What is asked of a director; `Director` is one."""

    config: Config

    def services(self) -> tuple[ServiceRow, ...]:
        """The table as it is now."""

    def stats(self) -> Stats:
        """The core's counters."""

    def health(self, virtual: Virtual, real: Real) -> Health:
        """What the checks say of a real server."""

    @property
    def link(self) -> LinkState:
        """How it stands with the interface."""

    @property
    def standby(self) -> bool:
        """Whether the VIPs are another director's."""

    @property
    def vips_on_host(self) -> int:
        """So many VIPs are addresses of this host's kernel, which answers for them too."""

    @property
    def event_loop_stalls(self) -> int:
        """So often the event loop did not turn for seconds."""

    @property
    def checks_not_carried_out(self) -> int:
        """So many checks could not be, for causes on this host."""


@dataclass(frozen=True, slots=True)
class Look:
    """All that a scrape shows, taken at one time."""

    stats: Stats
    services: tuple[ServiceRow, ...]
    health: tuple[tuple[Labels, Health], ...]
    room: int
    standby: bool
    link: LinkState
    not_carried_out: int
    stalls: int
    vips_on_host: int


def look(director: Looks) -> Look:
    """Takes it; the rest may then be done by another thread."""
    return Look(
        director.stats(),
        director.services(),
        tuple(_health(director)),
        director.config.settings.connections,
        director.standby,
        director.link,
        director.checks_not_carried_out,
        director.event_loop_stalls,
        director.vips_on_host,
    )


def _health(director: Looks) -> Iterator[tuple[Labels, Health]]:
    """Of configured real servers, in the table or not; one that is written twice counts once."""
    seen: set[Labels] = set()
    for virtual in director.config.virtuals:
        key = table_keys.service_of(virtual).key
        for real in virtual.real:
            labels = (*_service(key), table_keys.server_of(virtual, real, weight=0).name)
            if labels not in seen:
                seen.add(labels)
                yield labels, director.health(virtual, real)


# ---- The table of all metrics but the histogram ----


class Kind(enum.Enum):
    """Of a metric, in Prometheus's words."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name without `PREFIX` and ``_total``, and where its values come from."""

    name: str
    kind: Kind
    text: str
    labels: Labels
    values: Callable[[Look], Iterable[tuple[Labels, float]]]

    @property
    def whole_name(self) -> str:
        """As queries have it."""
        return f"{PREFIX}{self.name}{'_total' if self.kind is Kind.COUNTER else ''}"


def _one(kind: Kind, name: str, text: str, value: Callable[[Look], float]) -> Family:
    return Family(name, kind, text, (), lambda look: [((), value(look))])


def _of_workers(name: str, text: str, value: Callable[[WorkerStats], float]) -> Family:
    return Family(
        f"worker_{name}",
        Kind.COUNTER,
        text,
        ("worker",),
        lambda look: (
            ((str(number),), value(each)) for number, each in enumerate(look.stats.workers)
        ),
    )


def _of_services(name: str, text: str, value: Callable[[Counters], float]) -> Family:
    return Family(
        f"service_{name}",
        Kind.COUNTER,
        text,
        ("protocol", "service"),
        lambda look: ((_service(row.service.key), value(row.counters)) for row in look.services),
    )


def _of_servers(kind: Kind, name: str, text: str, value: Callable[[ServerRow], float]) -> Family:
    return Family(
        f"server_{name}",
        kind,
        text,
        ("protocol", "service", "server"),
        lambda look: (
            ((*_service(row.service.key), each.server.name), value(each))
            for row in look.services
            for each in row.servers
        ),
    )


def _of_checks(name: str, text: str, value: Callable[[Health], float]) -> Family:
    return Family(
        f"server_{name}",
        Kind.GAUGE,
        text,
        ("protocol", "service", "server"),
        lambda look: (
            (labels, value(health)) for labels, health in look.health if health.up is not None
        ),
    )


def _service(key: Key) -> Labels:
    """IPv4 and IPv6 may have the same mark, and no two services the same labels."""
    marked6 = key.protocol == "fwm" and key.address.version == 6
    return "fwm6" if marked6 else key.protocol, key.name


FAMILIES: Final[tuple[Family, ...]] = (
    _one(
        Kind.COUNTER,
        "received_frames",
        "Frames taken from the interface.",
        lambda look: look.stats.frames,
    ),
    _one(
        Kind.COUNTER,
        "received_bytes",
        "Bytes of them, Ethernet headers included.",
        lambda look: look.stats.bytes,
    ),
    Family(
        "frames",
        Kind.COUNTER,
        "What became of them; the sum is all of them.",
        ("verdict",),
        lambda look: (((name,), count) for name, count in look.stats.verdicts.items()),
    ),
    _one(
        Kind.COUNTER,
        "ring_dropped_frames",
        "Frames the kernel had no room for; these were not received.",
        lambda look: look.stats.ring_dropped,
    ),
    _of_workers(
        "received_frames",
        "Frames that a forwarding thread took from the interface.",
        lambda worker: worker.frames,
    ),
    _of_workers(
        "forwarded_frames", "Of them: sent to real servers.", lambda worker: worker.forwarded
    ),
    _of_workers(
        "ring_dropped_frames",
        "Frames the kernel had no room for in its rings.",
        lambda worker: worker.ring_dropped,
    ),
    _of_workers(
        "wakeups", "After it had slept, with nothing to do.", lambda worker: worker.wakeups
    ),
    _one(
        Kind.COUNTER,
        "connections_created",
        "Connections and templates made.",
        lambda look: look.stats.created,
    ),
    _one(
        Kind.COUNTER,
        "connections_expired",
        "Connections and templates ended.",
        lambda look: look.stats.expired,
    ),
    _one(
        Kind.COUNTER,
        "connections_displaced",
        "Unproved connections and templates ended to make room.",
        lambda look: look.stats.displaced,
    ),
    _one(
        Kind.GAUGE,
        "connections_unproved",
        "Connections and templates whose client has not gone on yet.",
        lambda look: look.stats.unproved,
    ),
    _one(
        Kind.GAUGE,
        "connections",
        "Connections and templates now.",
        lambda look: look.stats.connections,
    ),
    _one(Kind.GAUGE, "connections_limit", "There is room for so many.", lambda look: look.room),
    _one(
        Kind.GAUGE,
        "vips_on_host",
        "VIPs that are addresses of this host's kernel, which answers for them too.",
        lambda look: look.vips_on_host,
    ),
    _one(
        Kind.GAUGE,
        "standby",
        "1 while the VIPs are left to another director.",
        lambda look: look.standby,
    ),
    _one(
        Kind.GAUGE,
        "interface_up",
        "1 while the interface is there, up and has a carrier.",
        lambda look: look.link.state == "up",
    ),
    _one(
        Kind.COUNTER,
        "interface_changes",
        "What has become of the interface: down, up, gone, another MAC address ...",
        lambda look: look.link.changes,
    ),
    _of_services("connections", "Connections scheduled.", lambda counters: counters.connections),
    _of_services("packets", "Packets forwarded.", lambda counters: counters.packets),
    _of_services("bytes", "Bytes forwarded, IP and above.", lambda counters: counters.bytes),
    _of_servers(
        Kind.COUNTER,
        "connections",
        "Connections scheduled.",
        lambda row: row.counters.connections,
    ),
    _of_servers(Kind.COUNTER, "packets", "Packets forwarded.", lambda row: row.counters.packets),
    _of_servers(
        Kind.COUNTER, "bytes", "Bytes forwarded, IP and above.", lambda row: row.counters.bytes
    ),
    _of_servers(Kind.GAUGE, "weight", "Weight in the table.", lambda row: row.server.weight),
    _of_servers(Kind.GAUGE, "active_connections", "ActiveConn.", lambda row: row.active),
    _of_servers(Kind.GAUGE, "inactive_connections", "InActConn.", lambda row: row.inactive),
    _of_servers(
        Kind.GAUGE, "persistence_templates", "Templates that point to it.", lambda r: r.persistent
    ),
    _of_servers(
        Kind.GAUGE,
        "overloaded",
        "1 from its upper threshold to its lower one.",
        lambda row: row.overloaded,
    ),
    _of_servers(
        Kind.GAUGE,
        "mac_known",
        "1 once its MAC address is known; before, it gets no frames.",
        lambda row: row.mac is not None,
    ),
    _one(
        Kind.COUNTER,
        "checks_not_carried_out",
        "Checks that could not be made for a cause on this host, and so changed no health.",
        lambda look: look.not_carried_out,
    ),
    _one(
        Kind.COUNTER,
        "event_loop_stalls",
        "The event loop did not turn for seconds: nothing was checked, announced or answered.",
        lambda look: look.stalls,
    ),
    _of_checks(
        "up",
        "1 if the checks say that it is up; not there before its first result.",
        lambda health: health.up is True,
    ),
    _of_checks(
        "check_failures", "Checks that failed, in a row, until now.", lambda health: health.failures
    ),
)
