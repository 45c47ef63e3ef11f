"""Order book: the orders that stand, kept in a file so that they outlive the process."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from . import atomic_file, messages, orders
from .orders import Drains, Member, Order

_log = logging.getLogger(__name__)

FILE_NAME = "orders.json"
_VERSION = 1


class OrderBook:
    """The orders of one director; each change is in the file before it is in force.

    ``path`` is None where nothing is kept. A file that makes no sense is put aside, not lost.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._orders: dict[Member, Order] = {order.member: order for order in self._read()}

    @property
    def standing(self) -> Mapping[Member, Order]:
        """All orders that have not been lifted."""
        return MappingProxyType(self._orders)

    def drains(self) -> Drains:
        """What they say now."""
        return orders.drains(self._orders.values(), self._clock())

    def give(self, given: Collection[Order]) -> None:
        """Orders; each takes the place of one about the same server. Raises OSError."""
        self._keep({**self._orders, **{order.member: order for order in given}})

    def lift(self, members: Collection[Member]) -> tuple[Order, ...]:
        """Forgets the orders about these servers, and gives them back. Raises OSError."""
        lifted = tuple(self._orders[member] for member in members if member in self._orders)
        gone = {order.member for order in lifted}
        if lifted:
            self._keep({member: o for member, o in self._orders.items() if member not in gone})
        return lifted

    def weigh(self, weights: Mapping[Member, int]) -> None:
        """Remembers which weight these servers are to have afterwards. Raises OSError."""
        changed = {
            member: replace(self._orders[member], weight=weight)
            for member, weight in weights.items()
            if member in self._orders and self._orders[member].weight != weight
        }
        if changed:
            self._keep({**self._orders, **changed})

    # ---- The file ----

    def _keep(self, standing: dict[Member, Order]) -> None:
        if self._path is not None:
            _write(self._path, standing.values())
        self._orders = standing

    def _read(self) -> Iterable[Order]:
        if self._path is None:
            return ()
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ()
        try:
            return _parsed(json.loads(text))
        except (ValueError, KeyError, TypeError) as error:
            aside = self._path.with_suffix(".bad")
            self._path.rename(aside)
            _log.error(
                "%s is damaged (%s): no order stands; it is %s now", self._path, error, aside
            )
            return ()


def _parsed(raw: Any) -> tuple[Order, ...]:
    if raw["version"] != _VERSION:
        raise ValueError(f"version {raw['version']}, not {_VERSION}")
    return tuple(messages.order(each) for each in raw["orders"])


def _write(path: Path, standing: Iterable[Order]) -> None:
    said = {"version": _VERSION, "orders": [messages.jsonable(order) for order in standing]}
    atomic_file.write(path, json.dumps(said, indent=1))
