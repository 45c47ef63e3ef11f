"""The benchmark beyond what can be taken: what is offered, and who receives it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from dr_forwarder.bench import overload
from dr_forwarder.bench.cpu import poll_thread
from dr_forwarder.bench.errors import Unavailable
from dr_forwarder.bench.flood import COPIES
from dr_forwarder.bench.native import times_ns
from dr_forwarder.bench.runs import Load
from dr_forwarder.bench.session import SHORT, Session
from dr_forwarder.bench.testbed import Testbed
from dr_forwarder.bench.worker import MAC

LIMIT_S = 30.0


def until(condition: Callable[[], bool]) -> None:
    limit_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < limit_s
        time.sleep(0.01)


def test_a_flood_sends_copies_of_each_frame(pair: Testbed) -> None:
    before = pair.offered()
    try:
        with pair.flooding() as flood:
            assert flood.send(Load(MAC, frames=100, rate=1000)).frames == 100
            until(lambda: pair.offered() >= before + 100 * COPIES)
    except Unavailable as error:
        pytest.skip(str(error))


def test_a_thread_of_the_kernel_receives_while_it_is_told_to(pair: Testbed) -> None:
    before = pair.returned()
    try:
        with pair.forwarder("director") as running, pair.received_by_thread(real_time=False):
            thread = str(poll_thread("bench1"))
            used_ns, _ = times_ns(thread)
            pair.run(running, Load(b"", flows=50, frames=100, rate=1000))
            until(lambda: pair.returned() >= before + 100)
            assert times_ns(thread)[0] > used_ns
    except Unavailable as error:
        pytest.skip(str(error))
    with pytest.raises(Unavailable, match="no thread of the kernel receives on bench1"):
        poll_thread("bench1")


def test_what_comes_back_of_too_much_is_compared_with_the_best(pair: Testbed) -> None:
    session = Session(pair, replace(SHORT, rounds=1, run_s=0.05), lambda told: None)
    found = overload.overload(session)
    if not found.comparisons:
        pytest.skip(found.notes[0])
    for comparison in found.comparisons:
        assert comparison.base == "best"
        assert set(comparison.bars) == {"3 x", "10 x"} == set(comparison.compared)
