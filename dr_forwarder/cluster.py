"""Cluster: what those who look are shown of servers, and why each is as it is. Pure.

The live screen and the page show the same words, because both take them from here.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .endpoints import split
from .table import NOTHING, Counters, Key, ServerRow, ServiceRow, Stats


class State(enum.Enum):
    """Whether a real server gets connections."""

    UP = "up"
    QUIET = "quiet"
    """Weight 0, taken out by an operator, or full: nothing new comes."""
    DOWN = "down"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Line:
    """One real server of one service, in the table or only in the configuration."""

    service: Key | None
    """None if the table has no such service."""
    virtual: str
    """The service without its protocol: ``10.10.10.60:80``, or a mark's number."""
    server: str
    """``address:port``."""
    state: State
    weight: int | None
    """None: it is not in the table."""
    active: int = 0
    inactive: int = 0
    rates: Counters = NOTHING
    reason: str = ""
    ordered: bool = False
    """An operator has taken it out."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What the checks, and an operator's orders, say of a real server."""

    virtual: str
    server: str
    """``address:port`` of where the check goes, or the address."""
    up: bool | None
    reason: str
    protocol: str
    """Of the service."""
    order: str = ""
    """``draining, 3 connections left, reset in 540 s``."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a director said at one time."""

    at_s: float
    services: tuple[ServiceRow, ...]
    stats: Stats
    health: tuple[Checked, ...] = ()


def checked(raw: Mapping[str, Any]) -> Checked:
    """As the control socket tells it."""
    order = raw["order"]
    return Checked(
        raw["virtual"],
        raw["server"],
        raw["up"],
        said(raw["reason"], raw.get("hindrance")),
        raw["protocol"],
        "" if order is None else order["text"],
    )


def said(reason: str, hindrance: str | None) -> str:
    """What the checks say, and why they say nothing newer."""
    return reason if hindrance is None else f"{reason}; not checked now: {hindrance}"


def lines(look: Look) -> tuple[Line, ...]:
    """Every real server, by service and address; those outside the table too."""
    known = {(each.protocol, each.virtual, host(each.server)): each for each in look.health}
    found: list[Line] = []
    seen: set[tuple[str, str, str]] = set()
    for row in look.services:
        key = row.service.key
        for each in row.servers:
            where = (key.protocol, key.name, str(each.server.address))
            found.append(_line(row, each, known.get(where)))
            seen.add(where)
    named = {_place(row.service.key): row.service.key for row in look.services}
    found += [_outside(each, named) for where, each in known.items() if where not in seen]
    return tuple(sorted(found, key=place))


def place(line: Line) -> tuple[object, ...]:
    """By which lines are sorted: service, protocol, server, numbers as numbers."""
    protocol = "" if line.service is None else line.service.protocol
    return _natural(line.virtual), protocol, _natural(line.server)


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    parts = name.replace("[", "").replace("]", "").replace(":", ".").split(".")
    return tuple((int(part), "") if part.isdecimal() else (0, part) for part in parts)


def _line(row: ServiceRow, each: ServerRow, checked: Checked | None) -> Line:
    state, reason = _state(each, checked)
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
        ordered=checked is not None and bool(checked.order),
    )


def _state(each: ServerRow, checked: Checked | None) -> tuple[State, str]:
    """What counts most comes first: an order, then the checks, then the table."""
    words = "" if checked is None else checked.reason
    if checked is not None and checked.order:
        return State.QUIET, checked.order + (f"; {words}" if checked.up is False else "")
    if checked is not None and checked.up is False:
        return State.DOWN, words
    if each.server.weight == 0:
        return State.QUIET, f"weight 0{f'; {words}' if words else ''}"
    if each.mac is None:
        return State.DOWN, "its MAC address is not known: does it answer ARP?"
    if each.overloaded:
        return State.QUIET, f"full: {each.server.upper} connections"
    return State.UP, words


def _outside(checked: Checked, keys: Mapping[tuple[str, str, int], Key]) -> Line:
    """Configured, checked, and not in the table."""
    version = 6 if ":" in host(checked.server) else 4
    return Line(
        keys.get((checked.protocol, checked.virtual, version)),
        checked.virtual,
        checked.server,
        State.DOWN if checked.up is False else State.UNKNOWN,
        None,
        reason=f"{checked.order}; {checked.reason}" if checked.order else checked.reason,
        ordered=bool(checked.order),
    )


def _place(key: Key) -> tuple[str, str, int]:
    """One mark may be a service of both families."""
    return key.protocol, key.name, key.address.version


def host(server: str) -> str:
    """The address alone: a check may go to another port than the frames do."""
    return split(server)[0]


def total(rows: Iterable[Line]) -> str:
    """How many servers are in each state."""
    counts = dict.fromkeys(State, 0)
    for row in rows:
        counts[row.state] += 1
    return ", ".join(f"{count} {state.value}" for state, count in counts.items() if count)
