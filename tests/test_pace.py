"""How many looks at the table a flood of changes costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address

from dr_forwarder.pace import Pace
from dr_forwarder.table import Key

ONE, TWO, THREE = (Key("tcp", ip_address("10.0.0.1"), port) for port in (1, 2, 3))
LOOK_S = 0.01


class Looks:
    """What was looked at, and when."""

    def __init__(self, *, lasting_s: float = 0.0) -> None:
        self.seen: list[set[Key]] = []
        self.began_s: list[float] = []
        self._lasting_s = lasting_s
        self._more = asyncio.Event()

    def __call__(self, services: frozenset[Key]) -> None:
        self.began_s.append(time.monotonic())
        self.seen.append(set(services))
        self._more.set()
        time.sleep(self._lasting_s)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.seen) < count:
                self._more.clear()
                await self._more.wait()


@contextmanager
def pacing(looks: Looks) -> Iterator[Pace]:
    pace = Pace(looks)
    yield pace
    pace.close()


def test_what_changes_in_one_moment_is_one_look() -> None:
    async def play() -> None:
        looks = Looks()
        with pacing(looks) as pace:
            pace.add([ONE])
            pace.add([TWO, ONE])
            assert looks.seen == []
            await looks.until(1)
        assert looks.seen == [{ONE, TWO}]

    asyncio.run(play())


def test_after_a_look_there_is_a_rest_in_which_changes_gather() -> None:
    async def play() -> None:
        looks = Looks(lasting_s=LOOK_S)
        with pacing(looks) as pace:
            pace.add([ONE])
            await looks.until(1)
            pace.add([TWO])
            await asyncio.sleep(0)
            pace.add([THREE])
            await looks.until(2)
        assert looks.seen == [{ONE}, {TWO, THREE}]
        assert looks.began_s[1] - looks.began_s[0] >= 5 * LOOK_S

    asyncio.run(play())


def test_what_is_looked_at_anyway_is_not_looked_at_again() -> None:
    async def play() -> None:
        looks = Looks()
        with pacing(looks) as pace:
            pace.add([ONE])
            pace.clear()
            await asyncio.sleep(0.01)
            assert looks.seen == []
            pace.add([TWO])
            await looks.until(1)
        assert looks.seen == [{TWO}]

    asyncio.run(play())


def test_at_the_end_nothing_is_looked_at_any_more() -> None:
    async def play() -> None:
        looks = Looks()
        with pacing(looks) as pace:
            pace.add([ONE])
        pace.add([TWO])
        await asyncio.sleep(0.01)
        assert looks.seen == []

    asyncio.run(play())
