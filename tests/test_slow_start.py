"""Slow start: a server that comes is brought up to its share of connections, not flooded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from director import CLIENT, Director, service
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_forwarder.config import load_text
from dr_forwarder.config.table_keys import service_of
from dr_forwarder.table import Operation, Service

WINDOW_S = 10
OTHERS = 30
"""Active connections of each server that was there before."""


def web(scheduler: str = "wlc", slow_start_s: int = WINDOW_S) -> Service:
    return replace(service(scheduler=scheduler), slow_start_s=slow_start_s)


def ports() -> Iterator[str]:
    return (f"{CLIENT}:{port}" for port in range(1024, 65536))


def connect(director: Director, source: str) -> str | int:
    director.tcp("S", source)
    return director.tcp("A", source)


def returning(of: Service, *, weight: int = 1) -> tuple[Director, Iterator[str]]:
    """Servers 1 and 2 have been at work for long; 3 comes now."""
    director = Director()
    director.add_service(of, 1, 1)
    director.wait(2 * WINDOW_S)
    sources = ports()
    for _ in range(2 * OTHERS):
        connect(director, next(sources))
    assert director.counts(of) == {1: (OTHERS, 0), 2: (OTHERS, 0)}
    director.add(of, 3, weight=weight)
    return director, sources


def run_of(director: Director, sources: Iterator[str], *, number: int = 3) -> int:
    """How many connections it gets before another server does."""
    count = 0
    while connect(director, next(sources)) == number:
        count += 1
    return count


# ---- What it is for ----


@pytest.mark.parametrize("scheduler", ["wlc", "lc"])
def test_without_it_a_server_that_comes_gets_every_connection(scheduler: str) -> None:
    director, sources = returning(web(scheduler, 0))
    assert run_of(director, sources) >= OTHERS


@pytest.mark.parametrize("scheduler", ["wlc", "lc"])
def test_with_it_its_share_grows_evenly(scheduler: str) -> None:
    of = web(scheduler)
    director, sources = returning(of)
    for second in range(1, WINDOW_S + 1):
        director.wait(1)
        run_of(director, sources)
        active = {number: count for number, (count, _) in director.counts(of).items()}
        share = min(active[1], active[2]) * second / WINDOW_S
        assert share - 1 <= active[3] <= share + 1


def test_the_weight_that_is_listed_is_the_configured_one() -> None:
    director, sources = returning(web(), weight=7)
    run_of(director, sources)
    assert director.server_row(web(), 3).server.weight == 7


def test_a_server_back_from_weight_0_starts_slowly_too() -> None:
    director, sources = returning(web())
    director.edit(web(), 3, weight=0)
    director.wait(2 * WINDOW_S)
    director.edit(web(), 3, weight=1)
    director.wait(1)
    assert run_of(director, sources) <= OTHERS // WINDOW_S + 1


def test_another_weight_is_no_new_start() -> None:
    director, sources = returning(web())
    director.wait(2 * WINDOW_S)
    director.edit(web(), 3, weight=2)
    assert run_of(director, sources) >= 2 * OTHERS


def test_it_can_be_turned_off_while_a_server_is_starting() -> None:
    director, sources = returning(web())
    director.change(Operation.EDIT_SERVICE, web(slow_start_s=0))
    assert run_of(director, sources) >= OTHERS


def test_a_start_of_all_servers_together_is_no_slow_start() -> None:
    slow, plain = Director(), Director()
    slow.add_service(web(), 3, 2, 1)
    plain.add_service(web(slow_start_s=0), 3, 2, 1)
    sources = list(ports())[:60]
    assert [slow.tcp("S", s) for s in sources] == [plain.tcp("S", s) for s in sources]


# ---- Properties ----

Steps = list[tuple[str, int]]
STEPS = st.lists(
    st.tuples(st.sampled_from(["open", "open", "open", "close", "wait"]), st.integers(0, 99)),
    min_size=20,
    max_size=120,
)
WEIGHTS = st.lists(st.integers(1, 5), min_size=2, max_size=4)


def kernel_picks(of: Service, director: Director, weights: list[int]) -> set[int]:
    """Every server that wlc or lc may pick: those with the least load for their weight."""
    loads = {
        number: (active * 256 + inactive) / (weights[number - 1] if of.scheduler == "wlc" else 1)
        for number, (active, inactive) in director.counts(of).items()
    }
    return {number for number, load in loads.items() if load == min(loads.values())}


@given(STEPS, WEIGHTS, st.sampled_from(["wlc", "lc"]))
@settings(max_examples=60, deadline=None)
def test_a_starting_server_never_gets_what_the_kernel_would_not_give_it(
    steps: Steps, weights: list[int], scheduler: str
) -> None:
    """So it is never above its final share; and from the end of its start on, all is as ever."""
    of = web(scheduler)
    director = Director()
    director.add_service(of, *weights[:-1])
    director.wait(2 * WINDOW_S)
    newest = len(weights)
    director.add(of, newest, weight=weights[-1])
    came_ns = director.now_ns
    sources, opened = ports(), []
    for step, number in steps:
        if step == "wait":
            director.wait(number / 40)
        elif step == "close" and opened:
            director.tcp("R", opened.pop(number % len(opened)))
        elif step == "open":
            director.tick()
            allowed = kernel_picks(of, director, weights)
            opened.append(next(sources))
            picked = connect(director, opened[-1])
            over = director.now_ns - came_ns >= (WINDOW_S + 1) * 10**9
            assert picked in allowed or (picked != newest and not over)


# ---- Configuration ----

FILE = """\
[defaults]
slow_start = 30

[[virtual]]
address = "10.0.0.1:80"
scheduler = "wlc"
checktype = "on"
{}
[[virtual.real]]
address = "10.0.0.2"
"""


@pytest.mark.parametrize(("own", "seconds"), [("", 30), ("slow_start = 5\n", 5)])
def test_it_is_set_for_all_services_or_one(own: str, seconds: int) -> None:
    config = load_text(FILE.format(own), path="x.toml")
    assert service_of(config.virtuals[0]).slow_start_s == seconds


def test_it_is_off_unless_asked_for() -> None:
    text = FILE.format("").replace("slow_start = 30\n", "")
    assert service_of(load_text(text, path="x.toml").virtuals[0]).slow_start_s == 0


def test_where_it_does_nothing_that_is_said() -> None:
    text = FILE.format("slow_start = 5\n").replace("wlc", "rr")
    (notice,) = load_text(text, path="x.toml").notices
    assert notice.reason == (
        "slow_start does nothing under rr: it needs wlc, lc, lblc, lblcr or twos"
    )
    assert notice.line == 8


def test_in_an_ldirectord_file_it_is_told_that_ldirectord_has_it_not() -> None:
    text = "virtual=10.0.0.1:80\n    real=10.0.0.2 gate\n    scheduler=wlc\n    slow_start=60\n"
    config = load_text(text, path="x.cf")
    assert config.virtuals[0].slow_start_s == 60
    assert [n.reason for n in config.notices if n.strict] == [
        "slow_start is not a directive of ldirectord"
    ]
