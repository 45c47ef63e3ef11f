"""Orders: which real servers an operator has taken out, and how their connections end. Pure.

An order stands until it is lifted, whatever checks, files and restarts say. It names a server by
its service and address, because in direct routing an address is one server of a service.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from .endpoints import Address
from .table import Change, Drain, Key, Operation, Server, ServerRow, ServiceRow

Member = tuple[Key, Address]
"""A real server in its service."""
Drains = Mapping[Member, Drain]
"""What is in force now; servers that are not named are not drained."""
NO_DRAINS: Drains = MappingProxyType({})
ENDINGS = (Drain.DROP, Drain.RESET, Drain.REHASH)
DEADLINE_S = 600
"""By default."""


class State(enum.Enum):
    """How far an order has come."""

    DRAINING = "draining"
    """Connections go on until the deadline."""
    DRAINED = "drained"
    """None is left, or the deadline has passed: what is left ends."""
    DISABLED = "disabled"
    """There was never to be any."""


@dataclass(frozen=True, slots=True)
class Order:
    """A server gets no new connections, and from the deadline on the others end."""

    service: Key
    server: Address
    given_s: float
    """Seconds since 1970, as the deadline."""
    deadline_s: float
    then: Drain = Drain.RESET
    """What becomes of connections that are left at the deadline; one of ENDINGS."""
    weight: int = 1
    """What the server gets back where no file says it."""

    @property
    def member(self) -> Member:
        """Whom it is about."""
        return self.service, self.server

    @property
    def disables(self) -> bool:
        """True if connections are not to go on at all."""
        return self.deadline_s <= self.given_s

    def drain(self, now_s: float) -> Drain:
        """What it says now."""
        return Drain.KEEP if now_s < self.deadline_s else self.then

    def state(self, left: int, now_s: float) -> State:
        """How far it has come, with so many connections left."""
        if self.disables:
            return State.DISABLED
        return State.DRAINING if left and now_s < self.deadline_s else State.DRAINED


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order as it is now."""

    order: Order
    state: State
    active: int
    inactive: int
    left_s: float
    """Until the deadline; 0 from then on."""

    @property
    def left(self) -> int:
        """Connections to the server that have not ended."""
        return self.active + self.inactive

    @property
    def text(self) -> str:
        """``draining, 3 connections left, reset in 540 s``."""
        words = [self.state.value]
        if self.left:
            words.append(f"{self.left} connection{'s' if self.left > 1 else ''} left")
        if self.state is State.DRAINING:
            words.append(f"{self.order.then.value} in {self.left_s:.0f} s")
        return ", ".join(words)


def drains(orders: Iterable[Order], now_s: float) -> Drains:
    """What these orders say now."""
    return {order.member: order.drain(now_s) for order in orders}


def next_deadline_s(orders: Iterable[Order], now_s: float) -> float | None:
    """When one of them says something else than now."""
    return min((order.deadline_s for order in orders if order.deadline_s > now_s), default=None)


def drained(server: Server, drain: Drain) -> Server:
    """The server as the core lists it under an order."""
    weight = server.weight if drain is Drain.NONE else 0
    return replace(server, weight=weight, drain=drain)


def obeying(change: Change, in_force: Drains) -> Change:
    """The change, without what an order forbids."""
    if (weighed := weighs(change)) is None:
        return change
    member, server = weighed
    return replace(change, server=drained(server, in_force.get(member, Drain.NONE)))


def weighs(change: Change) -> tuple[Member, Server] | None:
    """Whose weight a change sets."""
    if change.operation not in (Operation.ADD_SERVER, Operation.EDIT_SERVER):
        return None
    if change.service is None or change.server is None:
        return None
    return (change.service.key, change.server.address), change.server


def undrained(table: Iterable[ServiceRow], standing: Mapping[Member, Order]) -> list[ServiceRow]:
    """The table with the weights that it is to have when the orders are lifted."""

    def server(key: Key, row: ServerRow) -> ServerRow:
        order = standing.get((key, row.server.address))
        if order is None:
            return row
        return replace(row, server=replace(row.server, weight=order.weight, drain=Drain.NONE))

    return [
        replace(row, servers=tuple(server(row.service.key, each) for each in row.servers))
        for row in table
    ]


def rows(
    orders: Iterable[Order], table: Iterable[ServiceRow], now_s: float
) -> tuple[OrderRow, ...]:
    """The orders as they are now, by what is in the table."""
    counts: dict[Member, tuple[int, int]] = {}
    for row in table:
        for each in row.servers:
            member = (row.service.key, each.server.address)
            active, inactive = counts.get(member, (0, 0))
            counts[member] = (active + each.active, inactive + each.inactive)
    return tuple(_row(order, *counts.get(order.member, (0, 0)), now_s) for order in orders)


def _row(order: Order, active: int, inactive: int, now_s: float) -> OrderRow:
    left_s = max(0.0, order.deadline_s - now_s)
    return OrderRow(order, order.state(active + inactive, now_s), active, inactive, left_s)
