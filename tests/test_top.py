"""The live screen: its model as plain data, and its keys by textual's own test driver."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dr_forwarder.cli.top import command
from dr_forwarder.cluster import Checked, Line, Look, lines
from dr_forwarder.errors import ForwarderError, NotRunning
from dr_forwarder.table import (
    Counters,
    Key,
    Server,
    ServerRow,
    Service,
    ServiceRow,
    Stats,
    WorkerStats,
)
from dr_forwarder.top.model import Order, books, headline, ordered, verdicts, workers

VIP, VM2, VM3 = (IPv4Address(f"10.10.10.{last}") for last in (60, 62, 63))
KEY = Key("tcp", VIP, 80)
MAC = bytes(6)
STATS = Stats(10, 600, {"forwarded": 7, "no_mac": 3, "own_frame": 0}, 4, 1, 2, 1, 2, 0)
ROWS = (
    ServerRow(Server(VM3, 80, 1), active=5, rates=Counters(2, 9, 900), mac=MAC),
    ServerRow(Server(VM2, 80, 3), active=1, rates=Counters(4, 3, 300), mac=MAC),
)
DOWN = Checked("10.10.10.60:80", "10.10.10.64:80", False, "connection refused", "tcp")


def look(*rows: ServerRow, health: tuple[Checked, ...] = (), at_s: float = 1.0) -> Look:
    return Look(at_s, (ServiceRow(Service(KEY, "wrr"), rows or ROWS),), STATS, health)


# ---- The model ----

ORDERS = [
    (Order.SERVICE, [62, 63, 64]),
    (Order.FRAMES, [63, 62, 64]),
    (Order.NEW, [62, 63, 64]),
    (Order.ACTIVE, [63, 62, 64]),
    (Order.STATE, [64, 62, 63]),
]


@pytest.mark.parametrize(("order", "servers"), ORDERS, ids=lambda value: str(value))
def test_servers_are_sorted(order: Order, servers: list[int]) -> None:
    rows = lines(look(health=(DOWN,)))
    names = [f"10.10.10.{last}:80" for last in servers]
    assert [line.server for line in ordered(rows, order)] == names
    assert [line.server for line in ordered(rows, order, reverse=True)] == names[::-1]


def test_verdicts_add_up_and_have_rates() -> None:
    grown = replace(STATS, frames=20, verdicts={"forwarded": 15, "no_mac": 5})
    later = replace(look(at_s=3.0), stats=grown)
    found = verdicts(later, look(at_s=1.0))
    assert [(each.name, each.count, each.rate) for each in found] == [
        ("forwarded", 15, 4.0),
        ("no_mac", 5, 1.0),
    ]
    assert sum(each.count for each in found) == later.stats.frames
    assert headline(later, look(at_s=1.0), lines(later)).startswith("5 frames/s")


def test_workers_add_up_too_where_there_are_several() -> None:
    alone = replace(look(), stats=replace(STATS, workers=(WorkerStats(10, 7, 0, 2),)))
    assert workers(alone, None) == ()
    two = (WorkerStats(6, 4, 1, 1), WorkerStats(4, 3, 0, 1))
    before = replace(look(at_s=1.0), stats=replace(STATS, workers=two))
    grown = (WorkerStats(16, 4, 1, 1), WorkerStats(4, 3, 1_000, 1))
    now = replace(look(at_s=3.0), stats=replace(STATS, frames=20, workers=grown))
    assert [(each.count, each.rate) for each in workers(before, None)] == [(6, 0.0), (4, 0.0)]
    found = workers(now, before)
    assert [(each.count, each.rate) for each in found] == [(16, 5.0), (4, 0.0)]
    assert found[1].name == "by worker 1, 1,000 more lost before it"
    assert [each.rate for each in workers(now, alone)] == [0.0, 0.0], "it was started anew"
    assert sum(each.count for each in found) == now.stats.frames


def test_books_that_do_not_balance_are_said() -> None:
    assert "BOOKS" not in headline(look(), None, ())
    assert (books(look(), None).name, books(look(), None).count) == ("frames in, the sum of", 10)
    wrong = replace(look(), stats=replace(STATS, frames=11))
    assert books(wrong, None).name == "frames in, 1 WITHOUT A VERDICT"
    assert "BOOKS: 1 frames without a verdict" in headline(wrong, None, ())


# ---- The screen ----


@dataclass
class FakeSource:
    """A director that does what it is told, or is gone."""

    rows: tuple[ServerRow, ...] = ROWS
    running: bool = True
    done: list[tuple[str, str]] = field(default_factory=list)
    refuses: bool = False

    def look(self) -> Look:
        if not self.running:
            raise NotRunning("no director is running in /run/there")
        return look(*self.rows, health=(DOWN,))

    def act(self, verb: str, line: Line) -> None:
        if self.refuses:
            raise ForwarderError("not today")
        self.done.append((verb, line.server))


Scenario = Callable[[Any, Any], Awaitable[None]]


def drive(source: FakeSource, scenario: Scenario, size: tuple[int, int] = (120, 30)) -> None:
    """Runs the screen and the scenario on it."""
    screen = pytest.importorskip("dr_forwarder.top.screen", reason="textual is not installed")

    async def run() -> None:
        app = screen.Top(source, every_s=0.05)
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: shown(app, "headline"))
            await scenario(app, pilot)

    asyncio.run(run())


async def until(pilot: Any, condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await pilot.pause(0.01)


def shown(app: Any, name: str) -> str:
    return str(app.screen_stack[0].query_one(f"#{name}").render())


def servers(app: Any) -> list[str]:
    table = app.query_one("#servers")
    return [str(table.get_row_at(row)[1]) for row in range(table.row_count)]


def test_the_screen_shows_servers_reasons_and_verdicts() -> None:
    async def scenario(app: Any, pilot: Any) -> None:
        assert servers(app) == ["10.10.10.62:80", "10.10.10.63:80", "10.10.10.64:80"]
        table = app.query_one("#verdicts")
        rows = [[str(cell) for cell in table.get_row_at(row)] for row in range(table.row_count)]
        assert rows[0] == ["frames in, the sum of", "10", "0"]
        assert rows[1:] == [["forwarded", "7", "0"], ["no_mac", "3", "0"]]
        assert "2 up, 1 down" in shown(app, "headline")
        await pilot.press("down", "down")
        await until(pilot, lambda: "10.10.10.64:80 down: connection" in shown(app, "detail"))

    drive(FakeSource(), scenario)


def test_on_80_columns_everything_is_inside() -> None:
    async def scenario(app: Any, pilot: Any) -> None:
        table = app.query_one("#servers")
        assert table.virtual_size.width <= 80
        assert [str(column.label) for column in table.ordered_columns][-1] == "Pkts/s"
        for word in ("10.10.10.64:80", "forwarded", "Drain", "Quit"):
            await until(pilot, lambda word=word: word in app.export_screenshot())

    drive(FakeSource(), scenario, size=(80, 24))


def test_columns_come_with_the_room_for_them() -> None:
    async def scenario(app: Any, pilot: Any) -> None:
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: len(app.query_one("#servers").columns) == 7)
        await pilot.resize_terminal(130, 40)
        await until(pilot, lambda: len(app.query_one("#servers").columns) == 10)
        assert servers(app)[0] == "10.10.10.62:80"

    drive(FakeSource(), scenario)


@pytest.mark.parametrize(("keys", "verb"), [("d", "drain"), ("xy", "disable"), ("e", "enable")])
def test_a_key_acts_on_the_server_under_the_cursor(keys: str, verb: str) -> None:
    source = FakeSource()

    async def scenario(app: Any, pilot: Any) -> None:
        await pilot.press("down")
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
        await until(pilot, lambda: source.done)
        await until(pilot, lambda: f"{verb}: 10.10.10.63:80" in shown(app, "note"))

    drive(source, scenario)
    assert source.done == [(verb, "10.10.10.63:80")]


def test_connections_are_not_ended_without_a_yes() -> None:
    source = FakeSource()

    async def scenario(app: Any, pilot: Any) -> None:
        await pilot.press("x")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        await pilot.press("n")
        await until(pilot, lambda: "nothing was changed" in shown(app, "note"))

    drive(source, scenario)
    assert source.done == []


def test_the_cursor_goes_with_its_server() -> None:
    """A row that moved under the cursor would be drained by mistake."""
    source = FakeSource()

    async def scenario(app: Any, pilot: Any) -> None:
        await pilot.press("s")
        await until(pilot, lambda: servers(app)[0] == "10.10.10.63:80")
        await until(pilot, lambda: app.query_one("#servers").cursor_row == 1)
        source.rows = (replace(ROWS[0], rates=Counters()), ROWS[1])
        await until(pilot, lambda: servers(app)[0] == "10.10.10.62:80")
        await pilot.press("d")
        await until(pilot, lambda: source.done)

    drive(source, scenario)
    assert source.done == [("drain", "10.10.10.62:80")]


def test_what_the_director_refuses_is_said() -> None:
    async def scenario(app: Any, pilot: Any) -> None:
        await pilot.press("d")
        await until(pilot, lambda: "drain 10.10.10.62:80: not today" in shown(app, "note"))

    drive(FakeSource(refuses=True), scenario)


def test_s_sorts_and_r_reverses() -> None:
    async def scenario(app: Any, pilot: Any) -> None:
        await pilot.press("s")
        await until(pilot, lambda: servers(app)[0] == "10.10.10.63:80")
        await pilot.press("r")
        await until(pilot, lambda: servers(app)[-1] == "10.10.10.63:80")

    drive(FakeSource(), scenario)


def test_help_is_shown_until_a_key_is_pressed() -> None:
    async def scenario(app: Any, pilot: Any) -> None:
        await pilot.press("question_mark")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        await pilot.pause()
        assert "disable" in app.export_screenshot()
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)

    drive(FakeSource(), scenario, size=(80, 24))


def test_a_director_that_is_gone_is_said_and_waited_for() -> None:
    source = FakeSource()

    async def scenario(app: Any, pilot: Any) -> None:
        source.running = False
        await until(pilot, lambda: "no director is running" in shown(app, "headline"))
        source.running = True
        await until(pilot, lambda: "frames/s" in shown(app, "headline"))

    drive(source, scenario)


def test_what_servers_say_is_text_and_no_markup() -> None:
    source = FakeSource()
    hostile = replace(DOWN, reason="[bold]x[/] [link=file:///]y[/]")
    source.look = lambda: look(health=(hostile,))  # type: ignore[method-assign]

    async def scenario(app: Any, pilot: Any) -> None:
        await pilot.press("down", "down")
        await until(pilot, lambda: hostile.reason in shown(app, "detail"))

    drive(source, scenario)


# ---- The command ----


def test_without_a_director_the_command_says_so(tmp_path: Path) -> None:
    ended = CliRunner().invoke(command, ["--state-dir", str(tmp_path)])
    assert isinstance(ended.exception, NotRunning)
