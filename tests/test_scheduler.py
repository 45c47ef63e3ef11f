"""The rhythm of checks, on a clock that only the test moves; and a thousand at once for real."""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import count, pairwise

import pytest
from servers import answering, hanging, http_target, page, serving

from dr_forwarder import open_files
from dr_forwarder.checks import Result, Target
from dr_forwarder.checks.scheduler import Checker
from dr_forwarder.config.model import CheckType
from dr_forwarder.errors import SetupError

PATIENCE_S = 60.0
SLOW, QUICK = http_target(1, interval_s=10), http_target(2, interval_s=10)


@dataclass
class Clock:
    """Time that passes when everybody sleeps."""

    now_s: float = 0.0
    _sleepers: list[tuple[float, int, asyncio.Future[None]]] = field(default_factory=list)
    _order: Iterable[int] = field(default_factory=count)

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, delay_s: float) -> None:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now_s + delay_s, next(iter(self._order)), future))
        await future

    def later(self, delay_s: float, then: Callable[[], None]) -> asyncio.Future[None]:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now_s + delay_s, next(iter(self._order)), future))
        future.add_done_callback(lambda done: None if done.cancelled() else then())
        return future

    async def pass_until(self, until_s: float) -> None:
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= until_s:
            self.now_s, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)
            await self._settle()
        self.now_s = until_s

    async def _settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)


@dataclass
class Bench:
    """A checker with pretended checks: how long each lasts, when each began and what it was."""

    lasting_s: dict[Target, float] = field(default_factory=dict)
    passing: bool = True
    clock: Clock = field(default_factory=Clock)
    began: dict[Target, list[float]] = field(default_factory=dict)
    kinds: list[CheckType] = field(default_factory=list)
    results: list[Target] = field(default_factory=list)

    async def run(self, target: Target, *, kind: CheckType) -> Result:
        self.began.setdefault(target, []).append(self.clock.now_s)
        self.kinds.append(kind)
        if lasting_s := self.lasting_s.get(target, 0.0):
            await self.clock.sleep(lasting_s)
        return Result(self.passing, "pretended", lasting_s)

    def checker(self, *, at_once: int = 512) -> Checker:
        return Checker(
            lambda target, _: self.results.append(target),
            at_once=at_once,
            run=self.run,
            sleep=self.clock.sleep,
            clock=self.clock,
            later=self.clock.later,
        )


def played(bench: Bench, play: Callable[[Checker], Awaitable[None]], *, at_once: int = 512) -> None:
    async def whole() -> None:
        async with bench.checker(at_once=at_once) as checker:
            await play(checker)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(whole())


def test_a_check_runs_at_once_and_then_each_interval() -> None:
    bench = Bench(lasting_s={QUICK: 3})

    async def play(checker: Checker) -> None:
        checker.update([QUICK])
        await bench.clock.pass_until(25)

    played(bench, play)
    assert bench.began[QUICK] == [0, 10, 20]
    assert bench.results == [QUICK] * 3


def test_a_check_longer_than_its_interval_is_followed_right_away() -> None:
    bench = Bench(lasting_s={SLOW: 12})

    async def play(checker: Checker) -> None:
        checker.update([SLOW])
        await bench.clock.pass_until(30)

    played(bench, play)
    assert bench.began[SLOW] == [0, 12, 24]


def test_very_many_checks_begin_together_only_once() -> None:
    bench = Bench()
    many = [http_target(port, interval_s=10) for port in range(1, 1001)]

    async def play(checker: Checker) -> None:
        checker.update(many)
        await bench.clock.pass_until(40)

    played(bench, play)
    assert {began[0] for began in bench.began.values()} == {0}
    for began in bench.began.values():
        assert {round(later - first, 6) for first, later in pairwise(began[1:])} == {10}
    # From then on each second has its tenth of them.
    inside = [sum(20 + i <= t < 21 + i for b in bench.began.values() for t in b) for i in range(10)]
    assert min(inside) >= 95
    assert max(inside) <= 105


@pytest.mark.parametrize("percent", [0, 20])
def test_jitter_moves_each_check_by_chance_within_its_percentage(percent: int) -> None:
    bench = Bench()
    nervous = http_target(4, interval_s=10, jitter_percent=percent)

    async def play(checker: Checker) -> None:
        checker.update([nervous])
        await bench.clock.pass_until(1000)

    played(bench, play)
    began = bench.began[nervous]
    gaps = [later - earlier for earlier, later in pairwise(began)]
    assert all(10 - percent / 10 <= gap <= 10 + percent / 10 for gap in gaps)
    assert (len(set(gaps)) > 50) is bool(percent)


def test_a_hanging_check_delays_no_other() -> None:
    bench = Bench(lasting_s={SLOW: 1000})

    async def play(checker: Checker) -> None:
        checker.update([SLOW, QUICK])
        await bench.clock.pass_until(30)

    played(bench, play)
    assert bench.began == {SLOW: [0], QUICK: [0, 10, 20, 30]}


def test_an_update_starts_the_new_stops_the_gone_and_leaves_the_rest_alone() -> None:
    bench = Bench()
    new = http_target(3, interval_s=10)

    async def play(checker: Checker) -> None:
        checker.update([SLOW, QUICK])
        await bench.clock.pass_until(14)
        checker.update([QUICK, new])
        await bench.clock.pass_until(35)

    played(bench, play)
    assert bench.began == {SLOW: [0, 10], QUICK: [0, 10, 20, 30], new: [14, 24, 34]}


def test_a_target_that_went_reports_no_more() -> None:
    bench = Bench(lasting_s={SLOW: 5})

    async def play(checker: Checker) -> None:
        checker.update([SLOW])
        await bench.clock.pass_until(2)
        checker.update([])
        await bench.clock.pass_until(30)

    played(bench, play)
    assert bench.results == []


def test_no_more_than_the_places_begin_at_once() -> None:
    bench = Bench(lasting_s={SLOW: 0.05, QUICK: 0.05})

    async def play(checker: Checker) -> None:
        checker.update([SLOW, QUICK])
        await bench.clock.pass_until(15)

    played(bench, play, at_once=1)
    assert bench.began == {SLOW: [0, 10], QUICK: [0.05, 10.05]}


def test_a_check_that_hangs_keeps_its_place_from_nobody() -> None:
    bench = Bench(lasting_s={SLOW: 1000})

    async def play(checker: Checker) -> None:
        checker.update([SLOW, QUICK])
        await bench.clock.pass_until(25)

    played(bench, play, at_once=1)
    assert bench.began == {SLOW: [0], QUICK: [0.1, 10.1, 20.1]}


@pytest.mark.parametrize(("bad", "lasting_s"), [(1500, 30.0), (1900, 1e9)])
def test_of_two_thousand_checks_the_bad_delay_no_good_one(bad: int, lasting_s: float) -> None:
    """However many hang, every good one has its checks; the clock is the test's own."""
    targets = [http_target(port, interval_s=10) for port in range(1, 2001)]
    random.Random(bad).shuffle(targets)
    bench = Bench(lasting_s=dict.fromkeys(targets[:bad], lasting_s))

    async def play(checker: Checker) -> None:
        checker.update(sorted(targets, key=lambda target: target.port))
        await bench.clock.pass_until(22)

    played(bench, play)
    # All begin in four waves of 512; the second check comes early, each next after an interval.
    for good in targets[bad:]:
        began = bench.began[good]
        assert began[0] <= 0.4
        assert len(began) >= 3
        assert {round(later - first, 6) for first, later in pairwise(began[1:])} == {10}


@pytest.mark.parametrize(
    ("passing", "letters"), [(True, "NCCNCC"), (False, "NNNNNN")], ids=["passing", "failing"]
)
def test_a_combined_check_takes_turns(passing: bool, letters: str) -> None:
    combined = replace(QUICK, check=replace(QUICK.check, type=CheckType.COMBINED, connects=2))
    bench = Bench(passing=passing)

    async def play(checker: Checker) -> None:
        checker.update([combined])
        await bench.clock.pass_until(55)

    played(bench, play)
    assert "".join(kind.name[0] for kind in bench.kinds) == letters


def test_a_bug_in_the_listener_is_not_hidden() -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    async def whole() -> None:
        async with Checker(broken, run=Bench().run) as checker:
            checker.update([QUICK])
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as raised:
        asyncio.run(whole())
    assert raised.group_contains(ZeroDivisionError)


@pytest.fixture
def many_files() -> None:
    """Both ends of two thousand connections are in this process."""
    try:
        open_files.make_room(8192)
    except SetupError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("many_files")
def test_a_thousand_checks_finish_while_a_thousand_others_hang() -> None:
    async def whole() -> set[Target]:
        passed: set[Target] = set()
        done = asyncio.Event()

        def note(target: Target, result: Result) -> None:
            assert result.passed, result.reason
            passed.add(target)
            if len(passed) == 1000:
                done.set()

        async with serving(answering(page("ok"))) as port, serving(hanging) as hanging_port:
            targets = [
                http_target(where, request=f"/{n}", receive="ok", negotiate_timeout_s=PATIENCE_S)
                for n in range(1000)
                for where in (hanging_port, port)
            ]
            async with asyncio.timeout(PATIENCE_S), Checker(note) as checker:
                checker.update(targets)
                await done.wait()
        return passed

    assert len(asyncio.run(whole())) == 1000


def test_leaving_in_mid_check_leaves_nothing_open() -> None:
    async def whole() -> None:
        async with serving(hanging) as port, Checker(lambda *_: None) as checker:
            checker.update([http_target(port, request=f"/{n}") for n in range(20)])
            # Each has its connection by now, or is about to.
            for _ in range(20):
                await asyncio.sleep(0)

    asyncio.run(whole())
