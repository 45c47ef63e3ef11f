"""Sharing: one answer for all who ask the same within a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

Answer = TypeVar("Answer")
KEPT_S: Final = 0.9


class Shared(Generic[Answer]):
    """Answers to questions that some callers have in common; each is made once at a time."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._made: dict[Hashable, tuple[float, asyncio.Task[Answer]]] = {}
        self._making = asyncio.Lock()

    async def get(self, question: Hashable, make: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer, which ``make`` makes when there is none that is fresh.

        It is made to its end also when those who asked have left: others would begin anew.
        """
        now_s = self._clock()
        self._made = {
            each: (at_s, task)
            for each, (at_s, task) in self._made.items()
            if now_s - at_s < KEPT_S or not task.done()
        }
        if question not in self._made:
            self._made[question] = now_s, asyncio.create_task(self._one(make))
        return await asyncio.shield(self._made[question][1])

    async def _one(self, make: Callable[[], Awaitable[Answer]]) -> Answer:
        async with self._making:
            return await make()

    def forget(self) -> None:
        """What was answered is so no more."""
        self._made.clear()
