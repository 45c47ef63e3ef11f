"""Happenings: the director's events as a stream that one may leave and take up again."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from ..event_log import text
from ..events import Bus, Happening, Stopped
from ..messages import jsonable
from . import examples
from .calls import Call, Served

MOST_WAITING = 1000
"""Events that one who listens may be behind; then it is cut off."""
_ALIVE_S = 10.0
"""After so long without an event an empty line says that there was none."""


@dataclass(frozen=True, slots=True)
class AskedEvents:
    """Which events."""

    after: int = field(default=0, metadata={"least": 0, "most": (1 << 63) - 1})
    """The number of the last event that is known already; 0: all that are remembered."""
    follow: bool = True
    """Go on with what happens from now on; false: end with the last that is remembered."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Events that are not told: they are forgotten, or the listener was too slow."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event, a gap in the events, or neither: then nothing has happened for a while."""

    number: int | None = None
    """Grows by one with each event; a restarted director begins with 1 again."""
    at_s: float | None = None
    """Seconds since 1970."""
    phase: str | None = None
    """`starting`, `running`, `reloading` or `stopping`."""
    kind: str | None = None
    """`server_added`, `health_down`, `reload_failed` ..."""
    text: str | None = None
    """The line of the log, for events that have one."""
    event: object = None
    """What there is to know, by its kind."""
    gap: Gap | None = None


def line(happening: Happening) -> EventLine:
    """An event as it is told."""
    return EventLine(
        happening.number,
        happening.at_s,
        happening.phase.value,
        happening.kind,
        text(happening),
        jsonable(happening.event),
    )


class Listener:
    """Takes events from a bus, so many at most, for one who reads them when it can."""

    def __init__(self, bus: Bus, after: int, *, most: int = MOST_WAITING) -> None:
        remembered = bus.history()
        if remembered and after > remembered[-1].number:
            after = 0  # it was another director's
        self._waiting = deque(each for each in remembered if each.number > after)
        self._next = after + 1
        self._most = most
        self._lost: Gap | None = None
        self._come = asyncio.Event()
        self.close = bus.listen(self._take)

    def _take(self, happening: Happening) -> None:
        if len(self._waiting) < self._most and self._lost is None:
            self._waiting.append(happening)
        else:
            first = happening.number if self._lost is None else self._lost.first
            self._lost = Gap(first, happening.number)
        self._come.set()

    async def lines(self, *, follow: bool, alive_s: float = _ALIVE_S) -> AsyncIterator[EventLine]:
        """What happened and happens, in order, with its gaps; ends at a gap that comes now."""
        while True:
            while self._waiting:
                happening = self._waiting.popleft()
                if happening.number > self._next:
                    yield EventLine(gap=Gap(self._next, happening.number - 1))
                self._next = happening.number + 1
                yield line(happening)
                if isinstance(happening.event, Stopped):
                    return
            if self._lost is not None:
                yield EventLine(gap=self._lost)
                return
            if not follow:
                return
            if not await self._something(alive_s):
                yield EventLine()

    async def _something(self, limit_s: float) -> bool:
        self._come.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._come.wait()
                return True
        return False


@contextlib.asynccontextmanager
async def events(
    served: Served, asked: AskedEvents
) -> AsyncIterator[AsyncIterator[Sequence[EventLine]]]:
    """As they happen."""
    listener = Listener(served.director.events, asked.after)
    try:
        yield ((each,) async for each in listener.lines(follow=asked.follow))
    finally:
        listener.close()


EVENTS = Call(
    "GET",
    "/events",
    "What happens to the director, as it happens",
    EventLine,
    events,
    examples.EVENTS,
    parameters=AskedEvents,
    lines=True,
    endless=True,
    details="Begins with the last thousand events, or those after the one named by `after`. Events"
    " that are forgotten already are told as a `gap`; so is what a client misses that is more than"
    " a thousand events behind, and then the stream ends. A line of nothing but nulls comes each"
    " ten seconds in which nothing happens.",
)
