"""Scheduler: when each check runs. What a check does and what its result means is elsewhere."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Protocol, Self

from dr_forwarder.checks import Result, Target, run
from dr_forwarder.config.model import Check, CheckType
from dr_forwarder.health import next_type

_WAVE = 50
"""So many new checks may go on beginning together; more are spread over their interval."""
_GOLDEN = 0.6180339887498949
"""Its multiples, without their whole parts, are spread evenly however many there are."""


_BEGINNING_S = 0.1
"""So long a check is busy with us; what lasts longer waits for its server, and not we for it."""


class Run(Protocol):
    """`checks.run`, or what a test puts in its place."""

    def __call__(self, target: Target, *, kind: CheckType) -> Awaitable[Result]:
        """One check, of this kind."""


class Handle(Protocol):
    """What can still be called off."""

    def cancel(self) -> object:
        """Call it off, if it has not happened yet."""


Later = Callable[[float, Callable[[], None]], Handle]
"""Has something called so many seconds later."""


class _Place:
    """One of those that begin; left when it has begun or is over, whichever comes first."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self._is_held = True

    def leave(self) -> None:
        if self._is_held:
            self._is_held = False
            self._places.release()


class Checker:
    """Runs every target at once and then each `interval_s`, until it is left or updated away.

    The interval is from start to start; of many targets the second start comes sooner, so that
    from then on they do not all begin together. A check that outlasts its interval is followed by
    the next one right away, never overlapped; `jitter` moves it by chance, drawn from `chance`.
    No more than `at_once` begin at the same time; what waits for its place starts late and keeps
    its rhythm from there. A check that hangs gives its place back: it delays no other.
    """

    def __init__(
        self,
        on_result: Callable[[Target, Result], None],
        *,
        at_once: int = 512,
        run: Run = run,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        later: Later | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self._on_result = on_result
        self._run = run
        self._sleep = sleep
        self._clock = clock
        self._later = later or asyncio.get_running_loop().call_later
        self._chance = chance or random.Random()
        self._places = asyncio.Semaphore(at_once)
        self._group = asyncio.TaskGroup()
        self._loops: dict[Target, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.update(())
        await self._group.__aexit__(kind, error, trace)

    def update(self, targets: Iterable[Target]) -> None:
        """Start what is new, stop what is gone; the rest keeps its rhythm."""
        wanted = dict.fromkeys(targets)
        for gone in self._loops.keys() - wanted.keys():
            self._loops.pop(gone).cancel()
        fresh = [target for target in wanted if target not in self._loops]
        for number, target in enumerate(fresh):
            share = 1 - number * _GOLDEN % 1 if len(fresh) > _WAVE else 1.0
            self._loops[target] = self._group.create_task(self._check_for_ever(target, share))

    def begin_again(self) -> None:
        """Starts every check at once, also those that wait for their interval, or for an answer."""
        targets = tuple(self._loops)
        self.update(())
        self.update(targets)

    async def _check_for_ever(self, target: Target, share: float) -> None:
        """The second check comes after this share of an interval."""
        passes = 0
        while True:
            await self._places.acquire()
            place = _Place(self._places)
            beginning = self._later(_BEGINNING_S, place.leave)
            try:
                began_s = self._clock()
                result = await self._run(target, kind=next_type(target.check, passes=passes))
            finally:
                beginning.cancel()
                place.leave()
            self._on_result(target, result)
            if result.passed is not None:
                passes = passes + 1 if result.passed else 0
            next_s = began_s + self._interval_s(target.check) * share
            share = 1.0
            await self._sleep(max(0.0, next_s - self._clock()))

    def _interval_s(self, check: Check) -> float:
        most = check.jitter_percent / 100
        return check.interval_s * (1 + self._chance.uniform(-most, most))
