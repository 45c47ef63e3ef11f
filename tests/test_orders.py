"""Orders: what drain, disable and enable do to a table, and what survives what."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from ordering import DNS, FIRST, NOW_S, OTHER, SECOND, TLS, WEB, Orders, config

from dr_forwarder import event_log
from dr_forwarder.draining import Draining
from dr_forwarder.order_book import OrderBook
from dr_forwarder.orders import Order, State, rows
from dr_forwarder.table import (
    Change,
    Drain,
    Key,
    Operation,
    Server,
    ServerRow,
    Service,
    ServiceRow,
)

NONE, KEEP, RESET = (0, Drain.NONE), (0, Drain.KEEP), (0, Drain.RESET)
ORDER = Order(WEB, FIRST, NOW_S, NOW_S + 60, Drain.DROP, weight=3)


def edit(weight: int) -> Change:
    return Change(Operation.EDIT_SERVER, Service(DNS), Server(OTHER, 53, weight))


# ---- To the table ----


def test_an_order_is_about_one_service_or_about_all_that_have_the_server() -> None:
    orders = Orders()
    assert orders.draining.members(WEB, FIRST) == ((WEB, FIRST),)
    assert orders.draining.members(None, FIRST) == ((WEB, FIRST), (TLS, FIRST))
    assert orders.draining.members(DNS, FIRST) == ()
    orders.draining.drain(orders.draining.members(None, FIRST), deadline_s=60)
    assert orders.servers() == {
        (80, FIRST): KEEP,
        (80, SECOND): (1, Drain.NONE),
        (443, FIRST): KEEP,
        (443, SECOND): (1, Drain.NONE),
        (53, OTHER): (5, Drain.NONE),
    }


def test_a_server_that_is_disabled_keeps_no_connection() -> None:
    orders = Orders()
    orders.draining.drain([(WEB, FIRST)], deadline_s=0, then=Drain.DROP)
    assert orders.servers()[80, FIRST] == (0, Drain.DROP)
    (row,) = orders.draining.rows()
    assert (row.state, row.text) == (State.DISABLED, "disabled")


@pytest.mark.parametrize(("key", "server", "weight"), [(WEB, FIRST, 1), (DNS, OTHER, 5)])
def test_enabled_it_has_the_weight_it_had(key: Key, server: IPv4Address, weight: int) -> None:
    orders = Orders()
    orders.draining.drain([(key, server)], deadline_s=60)
    assert orders.servers()[key.port, server] == KEEP
    orders.draining.drain([(key, server)], deadline_s=0)
    assert orders.servers()[key.port, server] == RESET
    orders.draining.enable([(key, server)])
    assert orders.servers()[key.port, server] == (weight, Drain.NONE)
    assert orders.draining.rows() == ()
    orders.draining.enable([(key, server)])
    assert orders.kinds() == ["order_draining", "order_disabled", "order_enabled"]


# ---- What it survives ----


def test_it_survives_checks() -> None:
    orders = Orders()
    orders.draining.drain([(WEB, FIRST)], deadline_s=60)
    for up in (False, True):
        orders.up[FIRST] = up
        orders.table.publish({WEB})
        assert orders.servers()[80, FIRST] == KEEP


def test_it_survives_reloads_and_the_file_says_what_comes_after() -> None:
    orders = Orders()
    orders.draining.drain([(WEB, FIRST)], deadline_s=60)
    orders.reload(config(weight=7))
    assert orders.servers()[80, FIRST] == KEEP
    assert orders.servers()[443, FIRST] == (7, Drain.NONE)
    orders.draining.enable([(WEB, FIRST)])
    assert orders.servers()[80, FIRST] == (7, Drain.NONE)


def test_it_survives_what_others_set_and_gives_them_what_they_set() -> None:
    """As ldirectord does, or a script with ipvsadm."""
    orders = Orders()
    orders.draining.drain([(DNS, OTHER)], deadline_s=60)
    orders.set(edit(9))
    assert orders.servers()[53, OTHER] == KEEP
    gone = Change(Operation.DELETE_SERVER, Service(DNS), Server(OTHER, 53))
    back = Change(Operation.ADD_SERVER, Service(DNS), Server(OTHER, 53, 4))
    orders.set(gone, back)
    assert orders.servers()[53, OTHER] == KEEP
    orders.draining.enable([(DNS, OTHER)])
    assert orders.servers()[53, OTHER] == (4, Drain.NONE)


def test_it_survives_a_restart(tmp_path: Path) -> None:
    """Of a process that was killed: nothing is written at the end."""
    path = tmp_path / "orders.json"
    orders = Orders(path)
    orders.draining.drain([(WEB, FIRST), (DNS, OTHER)], deadline_s=60, then=Drain.REHASH)
    later = Orders(path, NOW_S + 50)
    assert later.servers()[80, FIRST] == KEEP
    assert later.servers()[53, OTHER] == KEEP
    assert later.book.standing == orders.book.standing
    much_later = Orders(path, NOW_S + 70)
    assert much_later.servers()[80, FIRST] == (0, Drain.REHASH)
    much_later.draining.enable(much_later.draining.members(None, FIRST))
    assert list(OrderBook(path).standing) == [(DNS, OTHER)]


# ---- The deadline ----


def carried_out(orders: Orders, moments_s: Sequence[float]) -> list[tuple[int, Drain]]:
    """What the table says of the server at each of these moments, as the loop finds it."""
    seen = []

    async def scenario() -> None:
        running = asyncio.create_task(orders.draining.run())
        for moment_s in moments_s:
            orders.now_s = NOW_S + moment_s
            orders.draining.enable([])  # the loop looks at its clock
            for _ in range(5):
                await asyncio.sleep(0)
            seen.append(orders.servers()[80, FIRST])
        running.cancel()

    asyncio.run(scenario())
    return seen


def test_at_the_deadline_the_rest_ends_as_told() -> None:
    orders = Orders()
    orders.draining.drain([(WEB, FIRST)], deadline_s=60)
    assert carried_out(orders, [59, 60, 61]) == [KEEP, RESET, RESET]
    assert orders.kinds() == ["order_draining", "order_deadline"]
    assert [event_log.text(h) for h in orders.bus.history() if h.kind.startswith("order")] == [
        "Draining real server: 10.9.0.11 (10.9.0.100:80): 0 connections, reset in 60 s",
        "Drained real server: 10.9.0.11 (10.9.0.100:80): 0 connections left, reset",
    ]


def test_a_later_order_takes_the_place_of_an_earlier_one() -> None:
    orders = Orders()
    orders.draining.drain([(WEB, FIRST)], deadline_s=60)
    orders.draining.drain([(WEB, FIRST)], deadline_s=100, then=Drain.DROP)
    assert carried_out(orders, [60, 100]) == [KEEP, (0, Drain.DROP)]


def test_the_loop_waits_for_the_deadline_itself() -> None:
    """In real time, because that is what it waits for."""
    orders = Orders()

    async def scenario() -> None:
        ended = asyncio.Event()
        orders.bus.listen(lambda h: ended.set() if h.kind == "order_deadline" else None)
        draining = Draining(OrderBook(None), orders.table, orders.bus)
        running = asyncio.create_task(draining.run())
        await asyncio.sleep(0)
        draining.drain([(WEB, FIRST)], deadline_s=0.05)
        async with asyncio.timeout(10):
            await ended.wait()
        running.cancel()

    asyncio.run(scenario())


# ---- How far it is ----


@pytest.mark.parametrize(
    ("active", "inactive", "moment_s", "state", "text"),
    [
        (2, 1, 20, State.DRAINING, "draining, 3 connections left, drop in 40 s"),
        (1, 0, 59.9, State.DRAINING, "draining, 1 connection left, drop in 0 s"),
        (0, 0, 20, State.DRAINED, "drained"),
        (0, 2, 60, State.DRAINED, "drained, 2 connections left"),
    ],
)
def test_it_says_what_is_left(
    active: int, inactive: int, moment_s: float, state: State, text: str
) -> None:
    server = ServerRow(Server(FIRST, 80), active=active, inactive=inactive)
    table = [ServiceRow(Service(TLS), (server,)), ServiceRow(Service(WEB), (server,))]
    (row,) = rows([ORDER], table, NOW_S + moment_s)
    assert (row.state, row.left, row.text) == (state, active + inactive, text)


# ---- The file ----


def test_what_stands_is_in_the_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "orders.json"
    book = OrderBook(path)
    assert not path.exists()
    book.give([ORDER])
    book.give([replace(ORDER, deadline_s=NOW_S + 90)])
    assert OrderBook(path).standing == {(WEB, FIRST): replace(ORDER, deadline_s=NOW_S + 90)}
    assert book.lift([(WEB, FIRST), (WEB, SECOND)]) == (replace(ORDER, deadline_s=NOW_S + 90),)
    assert OrderBook(path).standing == {}
    assert [each.name for each in tmp_path.iterdir()] == ["orders.json"]


def test_an_order_that_cannot_be_kept_is_not_given(tmp_path: Path) -> None:
    book = OrderBook(tmp_path / "nowhere" / "orders.json")
    with pytest.raises(FileNotFoundError):
        book.give([ORDER])
    assert book.standing == {}


DAMAGED = {
    "empty": b"",
    "cut": b"{",
    "no object": b"[]",
    "null": b"null",
    "another version": b'{"version": 2, "orders": []}',
    "an order of nothing": b'{"version": 1, "orders": [{}]}',
    "orders of another type": b'{"version": 1, "orders": 7}',
    "an order of another type": b'{"version": 1, "orders": [7, null, "x"]}',
    "no UTF-8": b'{"version": 1, "orders": ["\xff\xfe"]}',
    "nested deeply": b"[" * 200_000,
    "a number of many digits": b'{"version": ' + b"9" * 6000 + b"}",
    "zeros": bytes(4096),
}


@pytest.mark.parametrize("contents", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_told_of_and_put_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, contents: bytes
) -> None:
    path = tmp_path / "orders.json"
    path.write_bytes(contents)
    assert OrderBook(path).standing == {}
    assert (tmp_path / "orders.json.bad").read_bytes() == contents
    assert "is damaged" in caplog.text
    assert len(caplog.records) == 1
    assert "\n" not in caplog.records[0].getMessage()
    OrderBook(path).give([ORDER])
    assert len(json.loads(path.read_text())["orders"]) == 1


def test_a_directory_in_its_place_is_put_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "orders.json"
    path.mkdir()
    OrderBook(path).give([ORDER])
    assert (tmp_path / "orders.json.bad").is_dir()
    assert f"{path} is damaged (Is a directory): no order stands; it is {path}.bad" in caplog.text
    assert len(OrderBook(path).standing) == 1


def test_what_cannot_even_be_put_aside_does_not_hold_up_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "orders.json"
    path.write_text("x")
    (tmp_path / "orders.json.bad" / "full").mkdir(parents=True)
    assert OrderBook(path).standing == {}
    assert "it cannot be put aside" in caplog.text


SENSELESS: dict[str, object] = {
    "given_s": "today",
    "deadline_s": float("inf"),
    "then": "keep",
    "weight": -1,
    "server": "nobody",
    "service": {"protocol": "tcp"},
}


@pytest.mark.parametrize("field", SENSELESS)
def test_of_a_file_with_one_senseless_order_the_others_stand(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, field: str
) -> None:
    path = tmp_path / "orders.json"
    OrderBook(path).give([ORDER, replace(ORDER, server=SECOND)])
    said = json.loads(path.read_text())
    said["orders"][0][field] = SENSELESS[field]
    path.write_text(json.dumps(said))
    assert [*OrderBook(path).standing] == [(WEB, SECOND)]
    assert "1 orders stand" in caplog.text
    caplog.clear()
    assert [*OrderBook(path).standing] == [(WEB, SECOND)]
    assert not caplog.records
