"""Pace: gathers what has changed, so that a flood of changes is taken in few pieces. No I/O."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from .table import Key

_REST = 4
"""After a piece nothing is done for so many times as long as it took."""


class Pace:
    """Has services looked at soon: a lone one at once, many at a time when there are many.

    Ten thousand servers that come up within seconds would else be as many looks at ten thousand
    servers.
    """

    def __init__(self, look: Callable[[frozenset[Key]], None]) -> None:
        self._look = look
        self._loop = asyncio.get_running_loop()
        self._waiting: set[Key] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._free_s = 0.0
        self._closed = False

    def add(self, services: Iterable[Key]) -> None:
        """These are to be looked at."""
        self._waiting.update(services)
        if self._timer is None and not self._closed:
            self._timer = self._loop.call_at(max(self._free_s, self._loop.time()), self._now)

    def clear(self) -> None:
        """All is being looked at anyway."""
        self._waiting.clear()

    def close(self) -> None:
        """Nothing is looked at any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _now(self) -> None:
        self._timer = None
        services = frozenset(self._waiting)
        self._waiting.clear()
        began_s = self._loop.time()
        if services:
            self._look(services)
        took_s = self._loop.time() - began_s
        self._free_s = began_s + took_s * (1 + _REST)
