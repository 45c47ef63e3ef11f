"""Order book: the orders that stand, kept in a file so that they outlive the process."""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from . import atomic_file, messages, orders, own_files
from .orders import Drains, Member, Order

_log = logging.getLogger(__name__)

FILE_NAME = "orders.json"
_VERSION = 1
_MOST_BYTES = 64 << 20
_PROTOCOLS = ("tcp", "udp", "sctp", "fwm")
_HEAVIEST = 2**31 - 1


class OrderBook:
    """The orders of one director; each change is in the file before it is in force.

    ``path`` is None where nothing is kept. A file that makes no sense is put aside as
    ``orders.json.bad``, not lost, and the orders in it that do make sense stand.
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
            found, wrong = _parsed(_contents(self._path))
        except FileNotFoundError:
            return ()
        except (OSError, *_SENSELESS) as error:
            found, wrong = (), _said(error)
        if wrong:
            standing = f"{len(found)} orders stand" if found else "no order stands"
            _log.error("%s is damaged (%s): %s; %s", self._path, wrong, standing, self._put_aside())
            if found:
                self._rewrite(found)
        return found

    def _put_aside(self) -> str:
        assert self._path is not None
        aside = self._path.with_name(f"{self._path.name}.bad")
        try:
            own_files.renamed(self._path, aside)
        except OSError as error:
            return f"it cannot be put aside: {error.strerror}"
        return f"it is {aside} now"

    def _rewrite(self, found: Iterable[Order]) -> None:
        assert self._path is not None
        try:
            _write(self._path, found)
        except OSError as error:
            _log.error("%s: not kept: %s", self._path, error.strerror)


_SENSELESS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What reading a text of JSON of any contents may raise."""


def _said(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, UnicodeDecodeError):
        return "no UTF-8"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _contents(path: Path) -> str:
    with open(own_files.opened(path, os.O_RDONLY), "rb") as file:
        raw = file.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise ValueError(f"more than {_MOST_BYTES >> 20} MiB")
    return raw.decode()


def _parsed(text: str) -> tuple[tuple[Order, ...], str]:
    """The orders that make sense, and what is wrong with the first of the others."""
    raw = json.loads(text)
    if raw["version"] != _VERSION:
        raise ValueError(f"version {raw['version']}, not {_VERSION}")
    found, wrong = [], ""
    for number, each in enumerate(raw["orders"], 1):
        try:
            found.append(_sensible(messages.order(each)))
        except _SENSELESS as error:
            wrong = wrong or f"order {number}: {error}"
    return tuple(found), wrong


def _sensible(order: Order) -> Order:
    """An order as one could be given."""
    key = order.service
    if key.protocol not in _PROTOCOLS or type(key.port) is not int or key.port >> 16:
        raise ValueError(f"{key.protocol} {key.port} is no service")
    if order.then not in orders.ENDINGS:
        raise ValueError(f"{order.then.value} ends no connection")
    for at_s in (order.given_s, order.deadline_s):
        if type(at_s) not in (int, float) or not math.isfinite(at_s):
            raise ValueError(f"{at_s} is no time")
    if type(order.weight) is not int or not 0 <= order.weight <= _HEAVIEST:
        raise ValueError(f"{order.weight} is no weight")
    return order


def _write(path: Path, standing: Iterable[Order]) -> None:
    said = {"version": _VERSION, "orders": [messages.jsonable(order) for order in standing]}
    atomic_file.write(path, json.dumps(said, indent=1))
