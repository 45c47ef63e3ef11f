"""The core alone, on CPU time: parse, find, decide, begin and end connections."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.core import ROUND, Core, core

ROUNDS = 15
MILLION = 1_000_000
SIZES = {"1k": 1_000, "100k": 100_000, "1M": MILLION, "10M": 10 * MILLION}

pytestmark = pytest.mark.benchmark(timer=time.thread_time)


@pytest.fixture(scope="module", params=SIZES, ids=str)
def filled(request: pytest.FixtureRequest) -> Iterator[tuple[Core, int]]:
    """A core with so many connections, and their number; room for a million at least."""
    connections = SIZES[request.param]
    with core(connections=max(connections, MILLION)) as made:
        assert made.fill(connections) == connections
        yield made, connections


def measure(
    benchmark: BenchmarkFixture, target: Callable[[], int], prepare: Callable[[], object]
) -> int:
    """Time so many rounds, each prepared outside of the time; the last one's result."""

    def setup() -> None:
        prepare()

    result: int = benchmark.pedantic(target, setup=setup, rounds=ROUNDS, warmup_rounds=1)
    return result


@pytest.mark.benchmark(group="1 parse")
def test_parse(benchmark: BenchmarkFixture) -> None:
    with core() as made:
        fine = measure(benchmark, made.parse, lambda: made.prepare(0, 1000))
    assert fine == ROUND


@pytest.mark.benchmark(group="2 find a connection")
def test_find_one_that_is_there(benchmark: BenchmarkFixture, filled: tuple[Core, int]) -> None:
    made, flows = filled
    assert measure(benchmark, made.find, lambda: made.prepare(0, flows)) == ROUND


@pytest.mark.benchmark(group="2 find a connection")
def test_find_one_that_is_not(benchmark: BenchmarkFixture, filled: tuple[Core, int]) -> None:
    made, flows = filled
    assert measure(benchmark, made.find, lambda: made.prepare(flows, flows)) == 0


@pytest.mark.benchmark(group="3 whole decision on a frame of a connection")
def test_decide(benchmark: BenchmarkFixture, filled: tuple[Core, int]) -> None:
    """As the loop does, in batches of 64."""
    made, flows = filled
    assert measure(benchmark, made.decide, lambda: made.prepare(0, flows)) == ROUND


@pytest.mark.benchmark(group="3 whole decision on a frame of a connection")
def test_decide_singly(benchmark: BenchmarkFixture, filled: tuple[Core, int]) -> None:
    made, flows = filled
    assert measure(benchmark, made.decide_singly, lambda: made.prepare(0, flows)) == ROUND


@pytest.mark.benchmark(group="3 whole decision on a frame of a connection")
@pytest.mark.parametrize("flows", [1_000, MILLION], ids=["1k", "1M"])
def test_decide_with_small_pages(benchmark: BenchmarkFixture, flows: int) -> None:
    with core(huge=False) as made:
        assert made.fill(flows) == flows
        assert measure(benchmark, made.decide, lambda: made.prepare(0, flows)) == ROUND


@pytest.mark.benchmark(group="4 whole decision on a frame of no connection")
def test_decide_on_a_stray_frame(benchmark: BenchmarkFixture, filled: tuple[Core, int]) -> None:
    made, flows = filled
    assert measure(benchmark, made.decide, lambda: made.prepare(flows, flows)) == 0


@pytest.mark.benchmark(group="5 whole decision on a new connection")
@pytest.mark.parametrize("servers", [2, 100])
@pytest.mark.parametrize("scheduler", ["rr", "wrr", "wlc"])
def test_begin(benchmark: BenchmarkFixture, scheduler: str, servers: int) -> None:
    """Until there are a million."""
    flows = iter(range(0, MILLION, ROUND))
    with core(connections=2 * MILLION, scheduler=scheduler, servers=servers) as made:
        begun = measure(benchmark, made.decide, lambda: made.prepare_new(next(flows)))
    assert begun == ROUND


@pytest.mark.benchmark(group="6 end of a connection")
@pytest.mark.parametrize("flows", [MILLION, 10 * MILLION], ids=["1M", "10M"])
def test_end(benchmark: BenchmarkFixture, flows: int) -> None:
    """Many of very many that are over at the same time."""
    with core(connections=2 * flows) as made:
        assert made.fill((ROUNDS + 1) * ROUND) == (ROUNDS + 1) * ROUND
        made.let_pass()
        ended = measure(benchmark, lambda: made.expire(ROUND), lambda: None)
    assert ended == ROUND


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_ten_million_connections_have_room_in_1_5_gb() -> None:
    """They are begun, found and ended."""
    connections, most = 10 * MILLION, 1_500_000_000
    before = resident_bytes()
    with core(connections=connections) as made:
        assert made.fill(connections) == connections
        assert made.bytes() < most
        made.prepare(0, connections)
        assert made.find() == ROUND
        assert resident_bytes() - before < most
        made.let_pass()
        assert made.expire(connections) == connections
