"""The production loop on queues in memory, and state that outlives its engine."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from director import CLIENT, START_NS, VIP, Director, server_mac, service, tcp
from sync_messages import connection, message

from dr_forwarder import region
from dr_forwarder.config.model import Tuning
from dr_forwarder.config.native import MOST_WORKERS
from dr_forwarder.daemons import SyncDaemon
from dr_forwarder.dataplane import DataplaneError, Engine, Limits
from dr_forwarder.table import Change, Operation

WEB = service()
SLOTS = 64
PATIENCE = 200_000
"""How often a test looks before it gives up; each look waits for the loop's present batch."""


@pytest.fixture
def director() -> Iterator[Director]:
    with Director(now_ns=time.monotonic_ns()) as director:
        director.add_service(WEB, 1, 1, 1)
        director.engine.open_memory(slots=SLOTS)
        yield director


def syn(number: int) -> bytes:
    return tcp("S", f"{CLIENT}:{1000 + number}", f"{VIP}:80")


def until(true: Callable[[], bool]) -> None:
    assert any(true() for _ in range(PATIENCE))


def has_counted(engine: Engine, frames: int) -> bool:
    return engine.stats().frames == frames


def drain(engine: Engine) -> list[bytes]:
    return list(iter(engine.pop, None))


# ---- Step by step ----


def test_a_batch_forwards_what_was_pushed_in_order(director: Director) -> None:
    engine = director.engine
    for number in range(6):
        engine.push(syn(number))
    assert engine.step(now_ns=director.now_ns) == 6
    sent = drain(engine)
    assert [frame[:6] for frame in sent] == [
        server_mac(f"10.9.0.1{number}") for number in (3, 2, 1, 3, 2, 1)
    ]
    assert [frame[12:] for frame in sent] == [syn(number)[12:] for number in range(6)]
    assert engine.step(now_ns=director.now_ns) == 0


def test_what_is_not_forwarded_is_not_sent(director: Director) -> None:
    director.engine.push(tcp("A", f"{CLIENT}:1000", f"{VIP}:80"))
    director.engine.push(b"")
    assert director.engine.step(now_ns=director.now_ns) == 2
    assert drain(director.engine) == []
    verdicts = director.engine.stats().verdicts
    assert (verdicts["no_connection"], verdicts["malformed"]) == (1, 1)


def test_what_the_way_out_does_not_take_is_counted_as_send_failed(director: Director) -> None:
    engine = director.engine
    for _ in range(2):
        for number in range(SLOTS):
            engine.push(syn(number))
        with pytest.raises(DataplaneError):
            engine.push(syn(0))
        while engine.step(now_ns=director.now_ns):
            pass
    stats = engine.stats()
    assert stats.frames == 2 * SLOTS == sum(stats.verdicts.values())
    assert (stats.verdicts["forwarded"], stats.verdicts["send_failed"]) == (SLOTS, SLOTS)
    assert len(drain(engine)) == SLOTS


def test_a_frame_longer_than_the_queue_takes_is_refused(director: Director) -> None:
    with pytest.raises(DataplaneError):
        director.engine.push(bytes(100_000))


def test_without_an_end_there_is_no_loop() -> None:
    with Director() as director:
        with pytest.raises(DataplaneError):
            director.engine.step(now_ns=START_NS)
        director.engine.start()
        until(lambda: not director.engine.running)
        with pytest.raises(DataplaneError):
            director.engine.stop()


def test_each_end_is_another_workers_up_to_as_many_as_may_be_configured(director: Director) -> None:
    for _ in range(MOST_WORKERS - 1):
        director.engine.open_memory(slots=1)
    with pytest.raises(DataplaneError):
        director.engine.open_memory(slots=1)
    director.engine.start()
    assert len(set(director.engine.thread_ids)) == MOST_WORKERS
    director.engine.stop()
    assert not director.engine.running


# ---- The loop in its thread ----


def test_the_loop_forwards_while_the_table_changes(director: Director) -> None:
    engine = director.engine
    sent: list[bytes] = []

    def few_are_under_way(number: int) -> bool:
        sent.extend(drain(engine))
        return number - len(sent) < SLOTS // 2

    engine.start()
    assert engine.running
    assert len(engine.thread_ids) == 1
    for number in range(500):
        until(partial(few_are_under_way, number))
        engine.push(syn(number))
        assert engine.apply([change(director, number)]) == [0]
        stats = engine.stats()
        assert stats.frames == sum(stats.verdicts.values())
    until(partial(has_counted, engine, 500))
    sent += drain(engine)
    engine.stop()
    assert not engine.running
    assert engine.stats().verdicts["forwarded"] == len(sent) == 500
    assert [frame[12:] for frame in sent] == [syn(number)[12:] for number in range(500)]


def change(director: Director, number: int) -> Change:
    server = director.server(WEB, 2, weight=number % 3)
    return Change(Operation.EDIT_SERVER, WEB, server)


def test_an_idle_loop_is_woken_by_a_frame_and_by_stop(director: Director) -> None:
    engine = director.engine
    engine.start()
    for number in range(20):
        engine.push(syn(number))
        until(partial(has_counted, engine, number + 1))
    engine.stop()
    (worker,) = engine.stats().workers
    assert (worker.frames, worker.forwarded, worker.ring_dropped) == (20, 20, 0)


def test_a_worker_counts_how_often_it_was_woken(director: Director) -> None:
    engine = director.engine
    engine.start()
    until(partial(is_asleep, engine))
    before = engine.stats().workers[0].wakeups
    engine.push(syn(1))
    until(lambda: engine.stats().workers[0].wakeups > before)
    engine.stop()


def test_workers_count_only_what_is_theirs(tmp_path: Path) -> None:
    state = tmp_path / "state"
    for lives in (1, 2):
        with Director(state_file=state) as director:
            if lives == 1:
                director.add_service(WEB, 1)
            director.tcp("S", f"{CLIENT}:{lives}")  # decided without a worker
            for _ in range(2):
                director.engine.open_memory(slots=SLOTS)
            director.engine.push(syn(lives))
            director.engine.step(now_ns=director.now_ns)
            stats = director.engine.stats()
            assert [each.frames for each in stats.workers] == [1, 0]
            assert stats.frames == 2 * lives, "as the state has it, those before included"


@pytest.mark.parametrize(("pages", "verdict"), [(2**31 - 1, "shed"), (0, "forwarded")])
def test_the_loop_asks_the_host_how_much_memory_is_free(
    director: Director, pages: int, verdict: str
) -> None:
    director.tune(drop_packet=1, amemthresh=pages)
    director.engine.start()
    director.engine.push(syn(1))
    until(partial(has_counted, director.engine, 1))
    director.engine.stop()
    assert director.stats().verdicts[verdict] == 1


def test_stopping_what_does_not_run_is_no_harm(director: Director) -> None:
    director.engine.stop()
    director.engine.close()
    director.engine.close()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_hundred_lives_leave_nothing_behind(tmp_path: Path) -> None:
    threads = threading.active_count()
    before = descriptors()
    for turn in range(100):
        now_ns = time.monotonic_ns()
        with Director(state_file=tmp_path / "state", now_ns=now_ns) as director:
            if turn == 0:
                director.add_service(WEB, 1)
            director.engine.open_memory(slots=4)
            director.engine.start()
            director.engine.push(syn(turn))
            until(partial(has_counted, director.engine, turn + 1))
    assert threading.active_count() == threads
    assert descriptors() == before


def test_a_loop_that_is_told_to_stay_awake_sleeps_only_a_while_after_the_last_frame(
    director: Director,
) -> None:
    awake_s = 0.2
    engine = director.engine
    engine.set_tuning(Tuning(busy_poll=int(awake_s * 1e6)))
    engine.start()
    sleeps = partial(times_asleep, engine)
    until(partial(is_asleep, engine))
    before = sleeps()
    pushed_s = time.monotonic()
    engine.push(syn(1))
    until(lambda: sleeps() > before)
    assert time.monotonic() - pushed_s >= awake_s
    engine.stop()


def test_what_another_director_told_ends_in_time_though_no_frame_comes(director: Director) -> None:
    engine = director.engine
    engine.start_sync(SyncDaemon("backup").resolved())
    engine.start()
    until(partial(is_asleep, engine))
    assert engine.receive_sync(message(connection(timeout_s=1))) == 0
    assert engine.stats().connections == 1
    limit_s = time.monotonic() + 10
    while engine.stats().connections == 1 and time.monotonic() < limit_s:
        time.sleep(0.02)
    assert engine.stats().connections == 0
    engine.stop()


def status_of(engine: Engine, field: str) -> str:
    """Of the loop's thread (proc_pid_status(5))."""
    status = Path(f"/proc/self/task/{engine.thread_ids[0]}/status").read_text()
    return next(line.split()[1] for line in status.splitlines() if line.startswith(field))


def is_asleep(engine: Engine) -> bool:
    return status_of(engine, "State:") == "S"


def times_asleep(engine: Engine) -> int:
    """How often it gave its CPU up by itself."""
    return int(status_of(engine, "voluntary_ctxt_switches:"))


def test_a_loop_that_was_stopped_can_be_started_again(director: Director) -> None:
    engine = director.engine
    engine.start()
    engine.stop()
    engine.start()
    engine.push(syn(1))
    assert any(has_counted(engine, 1) for _ in range(2000))


# ---- State that outlives its engine ----


def test_connections_outlive_their_engine(tmp_path: Path) -> None:
    state = tmp_path / "state"
    loyal = service(f"{VIP}:443", persistent_s=300)
    with Director(state_file=state) as director:
        assert not director.engine.adoption.adopted
        director.add_service(WEB, 1, 1, 1)
        director.add_service(loyal, 1, 1)
        director.tcp("S")
        director.tcp("A")
        director.tcp("S", f"{CLIENT}:2000", f"{VIP}:443")
        before = director.connections(), director.engine.services(), director.engine.stats()
        now_ns = director.now_ns

    with Director(state_file=state, now_ns=now_ns) as director:
        assert director.engine.adoption.adopted
        after = director.connections(), director.engine.services(), director.engine.stats()
        assert after == before
        director.wait(100)
        assert director.tcp("PA") == 3
        assert director.tcp("S", f"{CLIENT}:1001") == 2
        assert director.tcp("S", f"{CLIENT}:2001", f"{VIP}:443") == 2


def test_what_ended_while_nobody_ran_is_ended_by_the_next(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with Director(state_file=state) as director:
        director.add_service(WEB, 1)
        director.tcp("S")
        director.tcp("S", f"{CLIENT}:1001")
        director.tcp("A", f"{CLIENT}:1001")
    with Director(state_file=state, now_ns=START_NS + 100 * 10**9) as director:
        director.tick()
        assert [entry.client_port for entry in director.connections()] == [1001]
        assert director.counts(WEB) == {1: (1, 0)}


def test_only_its_owner_may_read_the_state(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with Director(state_file=state):
        assert state.stat().st_mode & 0o777 == 0o600


def test_state_of_another_boot_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "state"
    with Director(state_file=state) as director:
        director.add_service(WEB, 1)
    monkeypatch.setattr(region, "boot_id", lambda: 1)
    with Director(state_file=state) as director:
        assert not director.engine.adoption.adopted


# ---- What cannot be ----


@pytest.mark.parametrize(
    "limits",
    [
        Limits(services=0),
        Limits(servers=0),
        Limits(connections=0),
        Limits(services=65_535),
        Limits(servers=65_536),
    ],
    ids=str,
)
def test_limits_that_cannot_be_are_refused(limits: Limits) -> None:
    with pytest.raises(DataplaneError):
        Engine(limits=limits)
