"""The benchmark with several workers: who decides what, on which CPU, and what is refused."""

from __future__ import annotations

import os
import time
from itertools import cycle

import pytest

from dr_forwarder.bench.model import Comparison, Findings, Value, spread
from dr_forwarder.bench.native import treadmill
from dr_forwarder.bench.report import section
from dr_forwarder.bench.runs import Load
from dr_forwarder.bench.scaling import decisions
from dr_forwarder.bench.site import Shape
from dr_forwarder.bench.testbed import Testbed
from dr_forwarder.bench.worker import MAC, engine_of


def test_others_may_be_compared_with_another_than_the_director() -> None:
    values_ = {"1 worker": [Value(100.0), Value(50.0)], "2 workers": [Value(150.0), Value(None)]}
    scaling = Comparison("rate", "frames/s", values_, base="1 worker")
    assert scaling.ratio("2 workers") == spread([1.5])
    said = section("workers", "", Findings(comparisons=(scaling,)))
    assert " to 1 worker | bar |" in said
    assert "1.50 - 1.50 - 1.50 x" in said


@pytest.mark.parametrize("name", ["director", "ring"])
def test_workers_share_the_flows_and_every_frame_comes_back_once(pair: Testbed, name: str) -> None:
    shape = Shape(workers=2)
    before = pair.returned()
    with pair.forwarder(name, shape) as running:
        assert len(running.tasks) == 2
        pair.run(running, Load(b"", flows=50, frames=100, rate=1000))
        until_s = time.monotonic() + 10
        while pair.returned() < before + 100 and time.monotonic() < until_s:
            time.sleep(0.01)  # the machine is busy with something else
    assert pair.returned() >= before + 100
    assert running.said["forwarded"] == 100


def test_each_worker_gets_a_cpu_of_its_own_where_there_are_as_many(pair: Testbed) -> None:
    with pair.forwarder("director", Shape(workers=3, cpus=len(pair.forwarder_cpus))) as running:
        assert running.cpus == tuple(pair.forwarder_cpus)
        theirs = [os.sched_getaffinity(int(task.rpartition("/")[2])) for task in running.tasks]
    wanted = cycle({cpu} for cpu in pair.forwarder_cpus)
    assert theirs == [next(wanted) for _ in range(3)]


def test_on_a_treadmill_the_same_flows_come_for_ever() -> None:
    with engine_of(Shape(connections=1000)) as engine:
        for first in (0, 100):
            engine.open_end(treadmill(MAC, first_flow=first, flows=100))
        frames_ = sum(engine.step(now_ns=time.monotonic_ns()) for _ in range(5))
        stats = engine.stats()
    assert frames_ == stats.verdicts["forwarded"] == 2 * 5 * 64
    assert stats.connections == 200


def test_more_workers_than_there_are_cpus_have_no_figure() -> None:
    there = len(os.sched_getaffinity(0))
    assert decisions(there + 1, 0, seconds=0.01) == Value(
        None, f"it takes {there + 1} CPUs (one for each worker), and this host has {there}"
    )


def test_workers_without_sockets_decide_or_are_refused_with_the_reason() -> None:
    found = decisions(1, 0, seconds=0.05)
    assert found.refused or (found.number or 0) > 1000
