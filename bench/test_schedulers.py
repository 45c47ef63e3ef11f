"""The schedulers alone, on CPU time: which of many servers."""

from __future__ import annotations

import time

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.core import core

ROUNDS = 15
SCHEDULERS = ("rr", "wrr", "lc", "wlc", "sed", "nq", "fo", "ovf")
HASHES = ("sh", "dh", "mh", "lblc", "lblcr", "twos")
MH_SERVERS = 4093
"""The most that mh takes."""

pytestmark = pytest.mark.benchmark(timer=time.thread_time)


def measure(benchmark: BenchmarkFixture, scheduler: str, servers: int, picks: int) -> None:
    with core(connections=1_000, scheduler=scheduler, servers=servers) as made:
        made.prepare(0, 65_536)
        benchmark.extra_info["operations"] = picks
        picked = benchmark.pedantic(made.pick, (picks,), rounds=ROUNDS, warmup_rounds=1)
    assert picked == picks


@pytest.mark.benchmark(group="7 pick a server")
@pytest.mark.parametrize("servers", [2, 100])
@pytest.mark.parametrize("scheduler", [*SCHEDULERS, *HASHES])
def test_pick(benchmark: BenchmarkFixture, scheduler: str, servers: int) -> None:
    measure(benchmark, scheduler, servers, picks=16_384)


@pytest.mark.benchmark(group="8 pick one of very many servers")
@pytest.mark.parametrize("scheduler", [*SCHEDULERS, *HASHES])
def test_pick_of_many(benchmark: BenchmarkFixture, scheduler: str) -> None:
    servers = MH_SERVERS if scheduler == "mh" else 10_000
    measure(benchmark, scheduler, servers, picks=512)
