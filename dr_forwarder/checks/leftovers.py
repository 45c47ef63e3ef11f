"""Leftovers: the processes that check commands leave behind, also in sessions of their own.

They are found in the worker, which is the parent of whoever has lost his own (prctl(2),
PR_SET_CHILD_SUBREAPER), by /proc/PID/task/TID/children (proc(5)); without that file they are not.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from pathlib import Path
from typing import Final

LEFT_S: Final = 5.0
"""What a command leaves running may go on for so long."""
_LOOK_S: Final = 1.0
_SAY_S: Final = 60.0


def children(process: int) -> Iterator[int]:
    """Its own; none where it is gone, or the system does not say."""
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            with contextlib.suppress(OSError):
                yield from map(int, (task / "children").read_text().split())


def descendants(process: int) -> Iterator[int]:
    """Its children and theirs, as long as their parents live."""
    for child in children(process):
        yield child
        yield from descendants(child)


def kill(processes: Collection[int]) -> None:
    """Those that are still there."""
    for each in processes:
        with contextlib.suppress(OSError):
            os.kill(each, signal.SIGKILL)


class Leftovers:
    """Ends what commands have left behind; `at_work` are the commands that have not ended."""

    def __init__(
        self,
        at_work: Collection[int],
        say: Callable[[str], Awaitable[None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._at_work = at_work
        self._say = say
        self._clock = clock
        self._seen_s: dict[int, float] = {}
        self._ended = 0
        self._said_s = float("-inf")

    async def run(self) -> None:
        """Looks until cancelled; then it ends all at once."""
        try:
            while True:
                await asyncio.sleep(_LOOK_S)
                self.look()
                await self._tell()
        finally:
            self._end(frozenset(children(os.getpid())))

    def look(self) -> None:
        """Whoever was there at an earlier look too is no command that has just been started."""
        now_s = self._clock()
        left = frozenset(children(os.getpid())) - frozenset(self._at_work)
        self._seen_s = {each: self._seen_s.get(each, now_s) for each in left}
        known = [each for each in left if self._seen_s[each] < now_s]
        gone = {each for each in known if _is_reaped(each)}
        self._end({each for each in known if now_s - self._seen_s[each] >= LEFT_S} - gone)

    async def _tell(self) -> None:
        now_s = self._clock()
        if self._ended and now_s - self._said_s >= _SAY_S:
            ended, self._ended, self._said_s = self._ended, 0, now_s
            await self._say(f"check commands left {ended} processes running, which were ended")

    def _end(self, processes: Collection[int]) -> None:
        for each in processes:
            group = (each, *descendants(each))
            kill(group)
            self._ended += len(group)


def _is_reaped(process: int) -> bool:
    try:
        return os.waitpid(process, os.WNOHANG)[0] == process
    except ChildProcessError:
        return True
