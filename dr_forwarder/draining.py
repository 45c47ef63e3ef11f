"""Draining: gives an operator's orders to the table, and carries them out at their deadlines."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Sequence

from . import orders
from .endpoints import Address
from .events import Bus, OrderEvent, OrderStep
from .order_book import OrderBook
from .orders import Member, Order, OrderRow
from .reconciler import Reconciler
from .table import Change, Drain, Key

_log = logging.getLogger(__name__)

_LONGEST_WAIT_S = 60.0
"""Somebody may set the clock."""


class Draining:
    """The orders of a running director."""

    def __init__(
        self,
        book: OrderBook,
        table: Reconciler,
        bus: Bus,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._book = book
        self._table = table
        self._bus = bus
        self._clock = clock
        self._in_force = dict(book.drains())
        """What the table has been told."""
        self._changed = asyncio.Event()

    # ---- Orders ----

    def members(self, service: Key | None, server: Address) -> tuple[Member, ...]:
        """The servers with this address: of one service, or of all. Empty: there is none."""
        known = dict.fromkeys((*self._table.members(), *self._book.standing))
        return tuple(
            member for member in known if member[1] == server and service in (None, member[0])
        )

    def drain(
        self, members: Collection[Member], *, deadline_s: float, then: Drain = Drain.RESET
    ) -> None:
        """Takes servers out: their connections go on for ``deadline_s`` seconds, and end then.

        With 0 they end at once. Raises OSError when the order cannot be kept.
        """
        now_s = self._clock()
        weights = self._table.weights(members)
        standing = self._book.standing
        given = [
            Order(
                *member,
                given_s=now_s,
                deadline_s=now_s + deadline_s,
                then=then,
                weight=standing[member].weight if member in standing else weights.get(member, 1),
            )
            for member in members
        ]
        self._book.give(given)
        self._obey(given)
        for row in self._rows(given):
            step = OrderStep.DISABLED if row.order.disables else OrderStep.DRAINING
            self._tell(step, row)

    def enable(self, members: Collection[Member]) -> None:
        """Lifts the orders: checks and the file, or who set it, decide again. Raises OSError."""
        rows = self._rows(self._book.lift(members))
        self._obey([row.order for row in rows])
        for row in rows:
            self._tell(OrderStep.ENABLED, row)

    def note(self, changes: Sequence[Change], results: Sequence[int]) -> None:
        """Remembers the weights that others have set meanwhile, for when the order is lifted."""
        weighed = [
            orders.weighs(change)
            for change, errno in zip(changes, results, strict=True)
            if errno == 0
        ]
        try:
            self._book.weigh({each[0]: each[1].weight for each in weighed if each is not None})
        except OSError as error:
            # The change is done; only what an order gives back later is not the newest.
            _log.error("a weight cannot be kept beside its order: %s", error)

    # ---- Time ----

    async def run(self) -> None:
        """Carries out what is due, until cancelled."""
        while True:
            now_s = self._clock()
            self._end_what_is_due()
            standing = self._book.standing.values()
            due_s = orders.next_deadline_s(standing, now_s)
            wait_s = None if due_s is None else min(due_s - now_s, _LONGEST_WAIT_S)
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()

    def _end_what_is_due(self) -> None:
        due = [
            self._book.standing[member]
            for member, drain in self._book.drains().items()
            if drain is not self._in_force.get(member)
        ]
        if not due:
            return
        rows = self._rows(due)
        self._obey(due)
        for row in rows:
            self._tell(OrderStep.DEADLINE, row)

    # ---- The table ----

    def _obey(self, about: Collection[Order]) -> None:
        now = self._book.drains()
        for order in about:
            self._in_force.pop(order.member, None)
            if order.member in now:
                self._in_force[order.member] = now[order.member]
        self._table.obey({order.member: order.weight for order in about})
        self._changed.set()

    def _tell(self, step: OrderStep, row: OrderRow) -> None:
        order = row.order
        self._bus.emit(OrderEvent(step, *order.member, order.then, row.left, row.left_s))

    # ---- Looks ----

    def rows(self) -> tuple[OrderRow, ...]:
        """The orders that stand, as they are now."""
        return self._rows(self._book.standing.values())

    def _rows(self, about: Collection[Order]) -> tuple[OrderRow, ...]:
        table = self._table.services({order.service for order in about}) if about else ()
        return orders.rows(about, table, self._clock())
