"""Telling: which events the changes of the table are. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .config.model import Address, Config
from .config.table_keys import service_of
from .events import ChangeRefused, Event, FallbackEvent, ServerEvent, ServiceEvent, Step
from .plan import Wanted
from .table import Change, Drain, Key, Operation, ServiceRow


class Role(enum.Enum):
    """What a server is to its service."""

    REAL = "real"
    SPARE = "spare"
    """Configured with weight 0."""
    FALLBACK = "fallback"


@dataclass(frozen=True, slots=True)
class Cast:
    """The servers that the configuration knows, and for a reload those of the one before."""

    now: Mapping[tuple[Key, Address], Role] = field(default_factory=dict)
    before: Mapping[tuple[Key, Address], Role] = field(default_factory=dict)

    def after(self, config: Config) -> Cast:
        """With another configuration; this one's is then the one before."""
        return Cast(roles(config), self.now)


def roles(config: Config) -> dict[tuple[Key, Address], Role]:
    """Every server of every service; one that is real and fallback is real."""
    found: dict[tuple[Key, Address], Role] = {}
    for virtual in config.virtuals:
        key = service_of(virtual).key
        if virtual.fallback is not None:
            found[key, virtual.fallback.address] = Role.FALLBACK
        for real in virtual.real:
            weighed = real.weight > 0 or found.get((key, real.address)) is Role.REAL
            found[key, real.address] = Role.REAL if weighed else Role.SPARE
    return found


def event(change: Change, cast: Cast, errno: int = 0) -> Event | None:
    """What a change is, or that it was refused; None for a MAC address, of which others tell."""
    happened = _event(change, cast)
    if errno:
        server = "" if change.server is None else f" {change.server.name}"
        service = "" if change.service is None else f" ({change.service.key.name})"
        return ChangeRefused(f"{change.operation.name}{server}{service}", errno)
    return happened


def _event(change: Change, cast: Cast) -> Event | None:
    if change.service is None:
        return None
    key = change.service.key
    match change.operation:
        case Operation.ADD_SERVICE:
            return ServiceEvent(Step.ADDED, key)
        case Operation.EDIT_SERVICE:
            return ServiceEvent(Step.CHANGED, key)
        case Operation.DELETE_SERVICE:
            return ServiceEvent(Step.PURGED, key)
    if change.server is None:
        return None
    if change.server.drain is not Drain.NONE and change.operation is not Operation.DELETE_SERVER:
        return None  # the order has been told of
    role = cast.now.get((key, change.server.address))
    known = role or cast.before.get((key, change.server.address))
    step = _step(change, role)
    fallback = known is Role.FALLBACK
    if step is Step.PURGED and fallback:
        step = Step.DELETED
    return ServerEvent(step, key, change.server, fallback)


def _step(change: Change, role: Role | None) -> Step:
    quiet = change.server is not None and change.server.weight == 0
    match change.operation:
        case Operation.ADD_SERVER:
            return Step.READDED if quiet and role is Role.REAL else Step.ADDED
        case Operation.DELETE_SERVER:
            return Step.PURGED if role is None else Step.DELETED
    return Step.QUIESCENT if quiet else Step.RESTORED


def bereft(current: Sequence[ServiceRow], cast: Cast) -> frozenset[Key]:
    """Services of a table that an earlier run left, in which no real server gets traffic."""
    return frozenset(
        row.service.key
        for row in current
        if not any(
            each.server.weight
            and cast.now.get((row.service.key, each.server.address)) is not Role.FALLBACK
            for each in row.servers
        )
    )


def turns(before: frozenset[Key], goal: Sequence[Wanted]) -> Iterator[FallbackEvent]:
    """Which services have lost their last real server, and which have one again."""
    for target in goal:
        key = target.service.key
        if target.bereft != (key in before):
            yield FallbackEvent(key, on=target.bereft)
