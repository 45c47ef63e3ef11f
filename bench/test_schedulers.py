"""The schedulers alone, on CPU time: which of many servers."""

from __future__ import annotations

import time

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.core import core

PICKS = 256
ROUNDS = 15
SCHEDULERS = ("rr", "wrr", "lc", "wlc", "sed", "nq", "fo", "ovf")
HASHES = ("sh", "dh", "mh", "lblc", "lblcr", "twos")
MH_SERVERS = 4093
"""The most that mh takes."""

pytestmark = pytest.mark.benchmark(timer=time.thread_time)


@pytest.mark.benchmark(group="7 pick a server")
@pytest.mark.parametrize("servers", [2, 100, 10_000])
@pytest.mark.parametrize("scheduler", [*SCHEDULERS, *HASHES])
def test_pick(benchmark: BenchmarkFixture, scheduler: str, servers: int) -> None:
    if scheduler == "mh" and servers > MH_SERVERS:
        pytest.skip(f"mh takes {MH_SERVERS} servers at most")
    with core(connections=1_000, scheduler=scheduler, servers=servers) as made:
        made.prepare(0, 65_536)
        benchmark.extra_info["operations"] = PICKS
        picked = benchmark.pedantic(made.pick, (PICKS,), rounds=ROUNDS, warmup_rounds=1)
    assert picked == PICKS
