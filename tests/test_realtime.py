"""Forwarding before all other programs: what the threads get, what is left, and a refusal."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dr_forwarder.bench.native import treadmill
from dr_forwarder.bench.site import Shape
from dr_forwarder.bench.worker import MAC, engine_of
from dr_forwarder.dataplane import Engine
from dr_forwarder.realtime import Preference, no_longer_prefer, prefer

LIMIT_S = 30.0


def until(condition: Callable[[], bool]) -> None:
    limit_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < limit_s
        time.sleep(0.005)


@pytest.fixture
def busy() -> Iterator[Engine]:
    """One for whose thread frames always wait."""
    with engine_of(Shape(connections=1000)) as engine:
        engine.open_end(treadmill(MAC, first_flow=0, flows=10))
        engine.start()
        yield engine


@pytest.fixture
def sleeper() -> Iterator[int]:
    """A thread that does nothing."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    yield thread.native_id or 0
    end.set()
    thread.join()


def preferred(threads: tuple[int, ...]) -> int:
    try:
        return prefer(threads)
    except PermissionError:
        pytest.skip("needs CAP_SYS_NICE or RLIMIT_RTPRIO")


def naps(thread: int) -> int:
    """How often it gave its CPU away (proc_pid_status(5))."""
    status = Path(f"/proc/self/task/{thread}/status").read_text()
    return next(
        int(line.split()[1])
        for line in status.splitlines()
        if line.startswith("voluntary_ctxt_switches")
    )


def priorities_of_packet_threads() -> Iterator[int]:
    for comm in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):  # it has ended
            if comm.read_text().startswith(("ksoftirqd/", "napi/")):
                yield os.sched_getparam(int(comm.parent.name)).sched_priority


def test_a_thread_goes_before_the_kernels_packet_threads(sleeper: int) -> None:
    priority = preferred((sleeper,))
    assert os.sched_getscheduler(sleeper) == os.SCHED_FIFO
    assert all(priority > each for each in priorities_of_packet_threads())
    no_longer_prefer((sleeper,))
    assert os.sched_getscheduler(sleeper) == os.SCHED_OTHER


def test_a_thread_that_always_has_frames_leaves_some_time_to_others(busy: Engine) -> None:
    (thread,) = busy.thread_ids
    preferred((thread,))
    before = naps(thread)
    until(lambda: naps(thread) >= before + 5)
    until(lambda: busy.stats().verdicts["forwarded"] > 0)


def test_as_much_priority_is_taken_as_the_limit_allows(
    sleeper: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_above_2(_thread: int, _policy: int, param: os.sched_param) -> None:
        if param.sched_priority > 2:
            raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse_above_2)
    monkeypatch.setattr("dr_forwarder.realtime._of_packets", lambda: 50)
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (2, 2))
    assert prefer((sleeper,)) == 2


def test_a_refusal_is_told_once_with_the_cure_and_nothing_else_happens(
    sleeper: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    preference = Preference()
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            preference.give((sleeper,), is_wanted=True)
    (line,) = caplog.messages
    assert "realtime: Operation not permitted; forwarding goes on without" in line
    assert "CAP_SYS_NICE" in line


def test_what_is_not_wanted_is_not_touched(sleeper: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        Preference().give((sleeper,), is_wanted=False)
    assert caplog.messages == []
    assert os.sched_getscheduler(sleeper) == os.SCHED_OTHER


def test_threads_that_were_started_anew_get_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[int] = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda thread, *_: given.append(thread))
    preference = Preference()
    for threads in ((1, 2), (1, 2), (3, 4)):
        preference.give(threads, is_wanted=True)
    preference.give((3, 4), is_wanted=False)
    assert given == [1, 2, 3, 4, 3, 4]
