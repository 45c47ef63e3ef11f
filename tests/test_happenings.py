"""Events as a stream: in order, taken up again, with the gaps told."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from test_api import FakeDirector, while_serving

from dr_forwarder.api.happenings import EventLine, Gap, Listener
from dr_forwarder.client import Client
from dr_forwarder.events import Bus, Reloaded, Started, Stopped
from dr_forwarder.table import Stats


def bus(*, kept: int = 1000, happened: int = 0) -> Bus:
    numbers = itertools.count(1000)
    made = Bus(lambda: float(next(numbers)), kept=kept)
    for number in range(1, happened + 1):
        made.emit(Reloaded(str(number)))
    return made


@dataclass
class Director(FakeDirector):
    events: Bus = field(default_factory=lambda: bus(happened=3))

    def stats(self) -> Stats:
        """Something happens when this is looked at."""
        self.events.emit(Stopped())
        return super().stats()


def told(listener: Listener) -> list[EventLine]:
    """All that it has to tell now."""

    async def scenario() -> list[EventLine]:
        return [each async for each in listener.lines(follow=False)]

    return asyncio.run(scenario())


def numbers(lines: list[EventLine]) -> list[int | Gap | None]:
    return [each.gap or each.number for each in lines]


def test_what_happened_is_told_in_order() -> None:
    lines = told(Listener(bus(happened=3), 0))
    assert numbers(lines) == [1, 2, 3]
    assert lines[0] == EventLine(
        number=1,
        at_s=1000.0,
        phase="starting",
        kind="reloaded",
        text="Reloaded 1",
        event={"path": "1"},
    )


def test_one_takes_up_after_the_last_that_it_knows() -> None:
    assert numbers(told(Listener(bus(happened=5), 3))) == [4, 5]
    assert numbers(told(Listener(bus(happened=5), 5))) == []


def test_what_is_forgotten_meanwhile_is_told_as_a_gap() -> None:
    assert numbers(told(Listener(bus(kept=3, happened=10), 4))) == [Gap(5, 7), 8, 9, 10]


def test_numbers_of_a_director_before_this_one_mean_the_beginning() -> None:
    assert numbers(told(Listener(bus(happened=3), 700))) == [1, 2, 3]


def test_a_slow_listener_is_cut_off_with_its_gap_and_takes_no_more_room() -> None:
    of = bus()
    listener = Listener(of, 0, most=4)
    for number in range(1, 10_001):
        of.emit(Reloaded(str(number)))
    assert len(listener._waiting) == 4
    assert numbers(told(listener)) == [1, 2, 3, 4, Gap(5, 10_000)]


def test_a_listener_that_is_closed_hears_nothing_more() -> None:
    of = bus()
    listener = Listener(of, 0)
    listener.close()
    of.emit(Started(1))
    assert told(listener) == []


def test_one_follows_what_happens_until_the_end() -> None:
    async def scenario() -> list[EventLine]:
        of = bus(happened=1)
        listener = Listener(of, 0)
        lines = []
        async for each in listener.lines(follow=True):
            lines.append(each)
            if each.number == 1:
                of.emit(Started(2))
                of.emit(Stopped())
        return lines

    assert numbers(asyncio.run(scenario())) == [1, 2, 3]


def test_silence_is_told_too() -> None:
    async def scenario() -> EventLine:
        async for each in Listener(bus(), 0).lines(follow=True, alive_s=0.01):
            return each
        raise AssertionError

    assert asyncio.run(scenario()) == EventLine()


def test_the_client_hears_what_happens_while_it_listens(tmp_path: Path) -> None:
    director = Director()

    def ask() -> list[dict[str, Any]]:
        heard = []
        for each in Client(tmp_path).events(after=1):
            heard.append(each)
            if each["number"] == 3:
                Client(tmp_path).stats()
        return heard

    heard = while_serving(tmp_path, ask, director)
    assert [(each["number"], each["kind"]) for each in heard] == [
        (2, "reloaded"),
        (3, "reloaded"),
        (4, "stopped"),
    ]


def test_the_client_may_ask_for_what_has_happened_only(tmp_path: Path) -> None:
    def ask() -> list[int]:
        return [each["number"] for each in Client(tmp_path).events(follow=False)]

    assert while_serving(tmp_path, ask, Director()) == [1, 2, 3]


def test_a_listener_that_leaves_is_forgotten(tmp_path: Path) -> None:
    director = Director()

    def ask() -> int:
        stream = Client(tmp_path).events()
        assert next(stream)["number"] == 1
        during = len(director.events._listeners)
        stream.close()
        return during

    assert while_serving(tmp_path, ask, director) == 1
    assert director.events._listeners == []
