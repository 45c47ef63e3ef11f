"""Cluster: what those who look are shown of servers, and why each is as it is. Pure.

The live screen and the page show the same words, because both take them from here.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from .table import NOTHING, Counters, Key, ServerRow, ServiceRow, Stats


class State(enum.Enum):
    """Whether a real server gets connections."""

    UP = "up"
    QUIET = "quiet"
    """Weight 0, or full: what exists goes on, nothing new comes."""
    DOWN = "down"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Line:
    """One real server of one service, in the table or only in the configuration."""

    service: Key | None
    """None for a server that is not in the table."""
    virtual: str
    """The service without its protocol: ``10.10.10.60:80``, or a mark's number."""
    server: str
    """``address:port``."""
    state: State
    weight: int | None
    active: int = 0
    inactive: int = 0
    rates: Counters = NOTHING
    reason: str = ""
    protocol: str | None = None
    """Of the service, where it is known."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What the checks say of a real server of the configuration."""

    virtual: str
    server: str
    """``address:port`` of where the check goes."""
    up: bool | None
    reason: str
    protocol: str | None = None
    """Of the service; None where that is not told, and a name must do."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a director said at one time."""

    at_s: float
    services: tuple[ServiceRow, ...]
    stats: Stats
    health: tuple[Checked, ...] = ()


def lines(look: Look) -> tuple[Line, ...]:
    """Every real server, by service and address; those outside the table too."""
    known = {(each.protocol, each.virtual, _host(each.server)): each for each in look.health}
    found: list[Line] = []
    seen: set[tuple[str | None, str, str]] = set()
    for row in look.services:
        key = row.service.key
        for each in row.servers:
            address = str(each.server.address)
            places = [(protocol, key.name, address) for protocol in (key.protocol, None)]
            health = next((known[place] for place in places if place in known), None)
            found.append(_line(row, each, health))
            seen.update(places)
    found += [_outside(each) for place, each in known.items() if place not in seen]
    return tuple(sorted(found, key=place))


def place(line: Line) -> tuple[object, ...]:
    """By which lines are sorted: service, protocol, server, numbers as numbers."""
    return _natural(line.virtual), line.protocol or "", _natural(line.server)


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    parts = name.replace("[", "").replace("]", "").replace(":", ".").split(".")
    return tuple((int(part), "") if part.isdecimal() else (0, part) for part in parts)


def _line(row: ServiceRow, each: ServerRow, health: Checked | None) -> Line:
    said = "" if health is None else health.reason
    state, reason = State.UP, said
    if health is not None and health.up is False:
        state = State.DOWN
    elif each.server.weight == 0:
        state, reason = State.QUIET, f"weight 0{f'; {said}' if said else ''}"
    elif each.mac is None:
        state, reason = State.DOWN, "its MAC address is not known: does it answer ARP?"
    elif each.overloaded:
        state, reason = State.QUIET, f"full: {each.server.upper} connections"
    return Line(
        row.service.key,
        row.service.key.name,
        each.server.name,
        state,
        each.server.weight,
        each.active,
        each.inactive,
        each.rates,
        reason,
        row.service.key.protocol,
    )


def _outside(checked: Checked) -> Line:
    """Configured, checked, and not in the table."""
    state = State.DOWN if checked.up is False else State.UNKNOWN
    return Line(
        None,
        checked.virtual,
        checked.server,
        state,
        None,
        reason=checked.reason,
        protocol=checked.protocol,
    )


def _host(server: str) -> str:
    """The address alone: a check may go to another port than the frames do."""
    return server.rpartition(":")[0].strip("[]")


def total(rows: Iterable[Line]) -> str:
    """How many servers are in each state."""
    counts = dict.fromkeys(State, 0)
    for row in rows:
        counts[row.state] += 1
    return ", ".join(f"{count} {state.value}" for state, count in counts.items() if count)
