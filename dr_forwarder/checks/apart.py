"""Apart: checks that the director does not carry out itself, but workers, processes of its own.

A worker carries out many checks of one kind at the same time. A library that takes too much memory
or time over an answer loses its worker. The check that was alone there has failed. Of several
nobody knows whose answer it was: they could not be carried out, and from then on each is alone in a
worker, until it has ended there as it should.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from dr_forwarder.checks import looker
from dr_forwarder.checks.leash import Leash
from dr_forwarder.checks.model import CheckError, HindranceError, Target, os_reason

EXTERNAL: Final = "external"
"""The kind of checks by programs; the others are services."""
_ROOM: Final = 64
"""So many checks a worker carries out at once."""
_PROGRAMS: Final = 1024
"""Programs wait elsewhere, and are no danger to each other."""
_WORKERS: Final = 4
"""The most of one kind; as many again for checks that are alone."""
_CHECKS: Final = 2000
"""After so many a worker is replaced, whatever its library has kept of them."""
_AGAIN_S: Final = 1.0
"""After a worker that could not be started, none is for so long."""
_END_S: Final = 3.0
"""What a worker gets at the end of the director: it may have programs to end."""


class Apart:
    """The workers, as long as the context lasts. They are started when they are first needed."""

    def __init__(self, *, room: int = _ROOM, clock: Callable[[], float] = time.monotonic) -> None:
        self._room = room
        self._clock = clock
        self._crews: dict[tuple[str, bool], _Crew] = {}
        self._suspects: set[Target] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        looker.leave()
        await asyncio.gather(*(crew.leave() for crew in self._crews.values()))

    async def check(self, target: Target, *, kind: str) -> str:
        """A check as the module of this kind makes it. Raises as that does, and HindranceError for
        what is not the server's doing.
        """
        alone = target in self._suspects
        outcome = await self._crew(kind, alone=alone).ask(target)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _crew(self, kind: str, *, alone: bool) -> _Crew:
        key = (kind, alone)
        if key not in self._crews:
            room = _PROGRAMS if kind == EXTERNAL else 1 if alone else self._room
            self._crews[key] = _Crew(kind, room, self._suspects, self._clock)
        return self._crews[key]


class _Crew:
    """The workers of one kind, who carry out this many checks each."""

    def __init__(
        self, kind: str, room: int, suspects: set[Target], clock: Callable[[], float]
    ) -> None:
        self._kind = kind
        self._room = room
        self._suspects = suspects
        self._clock = clock
        self._places = asyncio.Semaphore(room * _WORKERS)
        self._workers: list[Leash] = []
        self._not_before_s = float("-inf")
        self._reason = ""

    async def ask(self, target: Target) -> str | CheckError | HindranceError:
        try:
            await self._places.acquire()
        except asyncio.CancelledError:
            busy = f"all processes that check {self._kind} are busy with other servers"
            raise asyncio.CancelledError from HindranceError(busy)
        try:
            worker = self._worker()
            outcome = await worker.ask(target)
        finally:
            self._places.release()
        if worker.is_alive and not isinstance(outcome, HindranceError):
            self._suspects.discard(target)
        return outcome

    def _worker(self) -> Leash:
        """One with room, or a new one; there is room for one, or the place would not be ours."""
        for worker in self._workers:
            if worker.busy < self._room and worker.count < _CHECKS:
                return worker
        for worker in tuple(self._workers):
            if not worker.busy:
                worker.dismiss()
        return self._start()

    def _start(self) -> Leash:
        if self._clock() < self._not_before_s:
            raise HindranceError(self._reason)
        try:
            worker = Leash(self._kind, self._lose)
        except OSError as error:
            self._rest(f"no process can be started that checks {self._kind}: {os_reason(error)}")
            raise HindranceError(self._reason) from error
        self._workers.append(worker)
        return worker

    def _lose(self, worker: Leash, suspects: frozenset[Target]) -> None:
        self._workers.remove(worker)
        self._suspects |= suspects
        if worker.count and not worker.was_ready:
            self._rest(f"the process that checks {self._kind} ends as soon as it starts")

    def _rest(self, reason: str) -> None:
        self._reason = reason
        self._not_before_s = self._clock() + _AGAIN_S

    async def leave(self) -> None:
        await asyncio.gather(*(worker.leave(_END_S) for worker in self._workers))
