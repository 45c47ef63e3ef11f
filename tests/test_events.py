"""Events: what changes and checks are told as, in which words, and who gets to hear it."""

from __future__ import annotations

import logging
from ipaddress import IPv4Address, IPv6Address

import pytest

from dr_forwarder import event_log, telling
from dr_forwarder.checks.model import Result
from dr_forwarder.config.model import Check, Config, Fallback, Real, Virtual
from dr_forwarder.events import (
    Bus,
    ChangeRefused,
    Event,
    FallbackEvent,
    FramesLost,
    FramesLostNoMore,
    Happening,
    HealthEvent,
    MacConflict,
    MacLearned,
    MacRefused,
    Phase,
    Reloaded,
    ReloadFailed,
    Room,
    ServerEvent,
    ServiceEvent,
    SoftFailure,
    SoftFailuresOver,
    Started,
    Step,
    Stopped,
    VipConflict,
    VipLocal,
)
from dr_forwarder.ldirectord.phrases import phrase
from dr_forwarder.plan import Wanted
from dr_forwarder.table import Change, Key, Operation, Server, ServerRow, Service, ServiceRow
from dr_forwarder.telling import Cast
from dr_forwarder.watch import Watch

VIP, FIRST, SECOND, SPARE = (IPv4Address(f"10.9.0.{last}") for last in (100, 11, 12, 99))
KEY = Key("tcp", VIP, 80)
SERVER = Server(FIRST, 80, 3)


def virtual(*reals: Real, port: int = 80, failures: int = 1, **more: object) -> Virtual:
    check = Check(failure_count=failures)
    return Virtual("tcp", VIP, port, real=reals, check=check, **more)  # type: ignore[arg-type]


# ---- Changes ----

CONFIG = Config("test.cf", (virtual(Real(FIRST, 80), Real(SECOND, 80, 0)),))
WITH_SPARE = Config("test.cf", (virtual(Real(FIRST, 80), fallback=Fallback(SPARE, 80)),))
OTHER = Config("test.cf", (virtual(Real(SECOND, 80)),))

CHANGES = [
    pytest.param(CONFIG, Operation.ADD_SERVER, FIRST, 1, (Step.ADDED, False), id="a real server"),
    pytest.param(CONFIG, Operation.ADD_SERVER, FIRST, 0, (Step.READDED, False), id="one down"),
    pytest.param(CONFIG, Operation.ADD_SERVER, SECOND, 0, (Step.ADDED, False), id="weight 0"),
    pytest.param(CONFIG, Operation.EDIT_SERVER, FIRST, 0, (Step.QUIESCENT, False), id="quiescent"),
    pytest.param(CONFIG, Operation.EDIT_SERVER, FIRST, 2, (Step.RESTORED, False), id="restored"),
    pytest.param(CONFIG, Operation.DELETE_SERVER, FIRST, 1, (Step.DELETED, False), id="deleted"),
    pytest.param(CONFIG, Operation.DELETE_SERVER, SPARE, 1, (Step.PURGED, False), id="unknown"),
    pytest.param(WITH_SPARE, Operation.ADD_SERVER, SPARE, 1, (Step.ADDED, True), id="a fallback"),
    pytest.param(
        WITH_SPARE, Operation.DELETE_SERVER, SPARE, 1, (Step.DELETED, True), id="a fallback again"
    ),
]


@pytest.mark.parametrize(("config", "operation", "address", "weight", "expected"), CHANGES)
def test_a_change_of_a_server_is_an_event(
    config: Config,
    operation: Operation,
    address: IPv4Address,
    weight: int,
    expected: tuple[Step, bool],
) -> None:
    server, (step, fallback) = Server(address, 80, weight), expected
    told = telling.event(Change(operation, Service(KEY), server), Cast().after(config))
    assert told == ServerEvent(step, KEY, server, fallback)


def test_a_server_that_a_reload_left_out_is_purged_and_a_fallback_deleted() -> None:
    cast = Cast().after(WITH_SPARE).after(OTHER)
    gone = [
        telling.event(Change(Operation.DELETE_SERVER, Service(KEY), Server(address, 80)), cast)
        for address in (FIRST, SPARE)
    ]
    assert [(each.step, each.fallback) for each in gone if isinstance(each, ServerEvent)] == [
        (Step.PURGED, False),
        (Step.DELETED, True),
    ]


def test_a_fallback_that_is_a_real_server_is_called_real() -> None:
    same = Config("test.cf", (virtual(Real(FIRST, 80), fallback=Fallback(FIRST, 80)),))
    assert telling.roles(same) == {(KEY, FIRST): telling.Role.REAL}


def test_a_refused_change_is_told_with_its_errno() -> None:
    change = Change(Operation.ADD_SERVER, Service(KEY), SERVER)
    told = telling.event(change, Cast(), 28)
    assert told == ChangeRefused("ADD_SERVER 10.9.0.11:80 (10.9.0.100:80)", 28)


def test_mac_addresses_are_not_told_as_changes_of_servers() -> None:
    assert telling.event(Change(Operation.SET_MAC, None, SERVER, bytes(6)), Cast()) is None


def test_a_service_loses_its_last_server_once_and_has_one_again_once() -> None:
    def turns(before: frozenset[Key], *, bereft: bool) -> list[FallbackEvent]:
        return list(telling.turns(before, [Wanted(Service(KEY), (), bereft=bereft)]))

    assert turns(frozenset(), bereft=True) == [FallbackEvent(KEY, on=True)]
    assert turns(frozenset({KEY}), bereft=True) == []
    assert turns(frozenset({KEY}), bereft=False) == [FallbackEvent(KEY, on=False)]
    assert turns(frozenset(), bereft=False) == []


TABLES = [
    pytest.param([], True, id="no server"),
    pytest.param([Server(FIRST, 80, 1)], False, id="a real one"),
    pytest.param([Server(FIRST, 80, 0)], True, id="a quiescent one"),
    pytest.param([Server(FIRST, 80, 0), Server(SPARE, 80, 1)], True, id="the fallback"),
]


@pytest.mark.parametrize(("servers", "expected"), TABLES)
def test_a_table_left_by_an_earlier_run_says_who_was_bereft(
    servers: list[Server], expected: bool
) -> None:
    row = ServiceRow(Service(KEY), tuple(map(ServerRow, servers)))
    assert telling.bereft([row], Cast().after(WITH_SPARE)) == ({KEY} if expected else set())


# ---- Checks ----


def results(failures: int, run: str) -> list[Event]:
    bus, heard = Bus(lambda: 0.0), []
    bus.listen(lambda happening: heard.append(happening.event))
    watch = Watch(bus)
    (what,) = watch.follow(Config("test.cf", (virtual(Real(FIRST, 80), failures=failures),)))
    for result in run:
        watch.result(what, Result(result == "+", result, 0.0))
    return heard


WHERE = (FIRST, 80, (KEY,))


def test_transitions_and_soft_failures_are_told_once_each() -> None:
    assert results(2, "++-+--") == [
        HealthEvent(*WHERE, up=True, reason="+"),
        SoftFailure(*WHERE, failures=1, failure_count=2, reason="-"),
        SoftFailuresOver(*WHERE),
        SoftFailure(*WHERE, failures=1, failure_count=2, reason="-"),
        HealthEvent(*WHERE, up=False, reason="-"),
    ]


def test_a_shared_check_is_one_check_with_one_count() -> None:
    shared = [virtual(Real(FIRST, 80), port=port, failures=4) for port in (80, 81)]
    bus = Bus(lambda: 0.0)
    watch = Watch(bus)
    (what,) = watch.follow(Config("test.cf", tuple(shared)))
    for run in "+---":
        watch.result(what, Result(run == "+", run, 0.0))
    last = bus.history()[-1].event
    assert isinstance(last, SoftFailure)
    assert (last.failures, last.failure_count) == (3, 4)
    assert [key.port for key in last.services] == [80, 81]


def test_a_reload_keeps_what_is_known_of_the_same_check() -> None:
    watch = Watch(Bus(lambda: 0.0))
    (what,) = watch.follow(Config("test.cf", (virtual(Real(FIRST, 80)),)))
    watch.result(what, Result(True, "fine", 0.0))
    both = Config("test.cf", (virtual(Real(FIRST, 80), Real(SECOND, 80)),))
    watch.follow(both)
    assert [watch.health(both.virtuals[0], real).up for real in both.virtuals[0].real] == [
        True,
        None,
    ]


def test_the_result_of_a_check_that_is_gone_says_nothing() -> None:
    watch = Watch(bus := Bus(lambda: 0.0))
    (what,) = watch.follow(CONFIG)[:1]
    watch.follow(Config("test.cf"))
    assert not watch.result(what, Result(True, "late", 0.0))
    assert bus.history() == ()


# ---- Words ----

SIX = Key("tcp", IPv6Address("2001:db8::1"), 80)
MARK = Key("fwm", IPv4Address(7), 0)

PHRASES = [
    pytest.param(ServiceEvent(Step.ADDED, KEY), "Added virtual server: 10.9.0.100:80", id="added"),
    pytest.param(
        ServiceEvent(Step.CHANGED, MARK), "Changed virtual server: 7", id="a mark has no port"
    ),
    pytest.param(
        ServerEvent(Step.ADDED, SIX, Server(IPv6Address("2001:db8::2"), 80)),
        "Added real server: [2001:db8::2]:80 ([2001:db8::1]:80) (Weight set to 1)",
        id="brackets in IPv6",
    ),
    pytest.param(
        ServerEvent(Step.ADDED, KEY, Server(SPARE, 80), fallback=True),
        "Added fallback server: 10.9.0.99:80 (10.9.0.100:80) (Weight set to 1)",
        id="a fallback",
    ),
    pytest.param(
        ServerEvent(Step.RESTORED, KEY, SERVER),
        "Restored real server: 10.9.0.11:80 (10.9.0.100:80) (Weight set to 3)",
        id="restored",
    ),
    pytest.param(
        ServerEvent(Step.QUIESCENT, KEY, Server(FIRST, 80, 0)),
        "Quiescent real server: 10.9.0.11:80 (10.9.0.100:80) (Weight set to 0)",
        id="quiescent",
    ),
    pytest.param(
        ServerEvent(Step.READDED, KEY, Server(FIRST, 80, 0)),
        "Readd Quiescent real server: 10.9.0.11:80 (10.9.0.100:80) (Weight set to 0)",
        id="readded",
    ),
    pytest.param(
        ServerEvent(Step.DELETED, KEY, SERVER),
        "Deleted real server: 10.9.0.11:80 (10.9.0.100:80)",
        id="deleted",
    ),
    pytest.param(
        SoftFailure(*WHERE, failures=1, failure_count=3, reason="HTTP 500"),
        "Soft failure real server: 10.9.0.11:80 (tcp:10.9.0.100:80) failure 1/3: HTTP 500",
        id="soft failure",
    ),
    pytest.param(
        SoftFailuresOver(*WHERE),
        "Resetting soft failure count: 10.9.0.11:80 (tcp:10.9.0.100:80)",
        id="over",
    ),
    pytest.param(Stopped(), None, id="not ldirectord's"),
]


@pytest.mark.parametrize(("event", "text"), PHRASES)
def test_ldirectords_phrases(event: Event, text: str | None) -> None:
    assert phrase(event) == text


PURGES = [
    pytest.param(Phase.STARTING, " (start)", id="start"),
    pytest.param(Phase.RELOADING, " (start)", id="reload"),
    pytest.param(Phase.STOPPING, " (stop)", id="stop"),
    pytest.param(Phase.RUNNING, "", id="running"),
]


@pytest.mark.parametrize(("phase", "occasion"), PURGES)
def test_what_is_purged_says_when(phase: Phase, occasion: str) -> None:
    service, server = ServiceEvent(Step.PURGED, KEY), ServerEvent(Step.PURGED, KEY, SERVER)
    assert phrase(service, phase) == f"Purged virtual server{occasion}: 10.9.0.100:80"
    assert phrase(server, phase) == f"Purged real server{occasion}: 10.9.0.11:80 (10.9.0.100:80)"


# ---- The bus ----


def test_happenings_are_numbered_and_dated() -> None:
    times = iter([100.0, 101.5])
    bus = Bus(lambda: next(times))
    bus.emit(Started(1))
    bus.phase = Phase.RUNNING
    bus.emit(Stopped())
    assert bus.history() == (
        Happening(1, 100.0, Phase.STARTING, Started(1)),
        Happening(2, 101.5, Phase.RUNNING, Stopped()),
    )
    assert bus.history(after=1) == bus.history()[1:]


def test_only_the_last_are_kept_and_numbers_go_on() -> None:
    bus = Bus(lambda: 0.0, kept=2)
    for _ in range(5):
        bus.emit(Stopped())
    assert [each.number for each in bus.history()] == [4, 5]


def test_who_has_stopped_listening_hears_nothing_more() -> None:
    bus, heard = Bus(lambda: 0.0), []
    stop = bus.listen(heard.append)
    bus.emit(Started(1))
    stop()
    bus.emit(Stopped())
    assert [each.event for each in heard] == [Started(1)]


def test_a_listener_that_fails_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: Happening) -> None:
        raise ValueError("broken")

    bus, heard = Bus(lambda: 0.0), []
    bus.listen(broken)
    bus.listen(heard.append)
    bus.emit(Stopped())
    assert len(heard) == 1
    assert "a listener failed at stopped" in caplog.text


KINDS = [
    pytest.param(ServerEvent(Step.QUIESCENT, KEY, SERVER), "server_quiescent", id="server"),
    pytest.param(ServiceEvent(Step.PURGED, KEY), "service_purged", id="service"),
    pytest.param(FallbackEvent(KEY, on=False), "fallback_off", id="fallback"),
    pytest.param(HealthEvent(*WHERE, up=False, reason=""), "health_down", id="health"),
    pytest.param(VipLocal(VIP, "lo", ""), "vip_local", id="on this host"),
    pytest.param(VipLocal(VIP, "lo", "", on=False), "vip_local_over", id="not any more"),
    pytest.param(SoftFailuresOver(*WHERE), "soft_failures_over", id="by name"),
    pytest.param(ReloadFailed("a", "b"), "reload_failed", id="by name again"),
]


@pytest.mark.parametrize(("event", "kind"), KINDS)
def test_a_kind_is_one_word(event: Event, kind: str) -> None:
    assert Happening(1, 0.0, Phase.RUNNING, event).kind == kind


LINES = [
    pytest.param(MacLearned(FIRST, b"\2\0\0\0\0\1"), "is at 02:00:00:00:00:01", id="MAC"),
    pytest.param(MacConflict(FIRST, b"\1", b"\2"), "02 claims its address too; 01", id="two"),
    pytest.param(MacRefused(FIRST, b"\3", "ours"), "03, which is ours: not believed", id="its MAC"),
    pytest.param(VipLocal(VIP, "lo", "run: it"), "run: it", id="on this host"),
    pytest.param(VipLocal(VIP, "lo", "", on=False), "no longer an address", id="not any more"),
    pytest.param(VipConflict(VIP, b"\3", "who"), "is claimed by 03: who", id="VIP"),
    pytest.param(
        FramesLost(Room.TABLE, 5, 60.0, "8 of 8 connections"),
        "No room in the connection table: 5 frames dropped in 60 s, 8 of 8 connections; `conn",
        id="table full",
    ),
    pytest.param(
        FramesLost(Room.RING, 5, 0.0),
        "No room in the receive ring: 5 frames dropped; the director does not keep up",
        id="ring full",
    ),
    pytest.param(
        FramesLostNoMore(Room.RING, 9),
        "Room again in the receive ring: 9 frames dropped in all",
        id="room again",
    ),
    pytest.param(ChangeRefused("ADD_SERVER", 28), "ADD_SERVER: refused: errno 28", id="refused"),
    pytest.param(Started(2), "Running: 2 virtual servers", id="started"),
    pytest.param(Reloaded("a.cf"), "Reloaded a.cf", id="reloaded"),
    pytest.param(ReloadFailed("a.cf", "a.cf:1: error: x"), "Not reloaded:", id="not reloaded"),
    pytest.param(SoftFailuresOver(*WHERE), "Resetting soft", id="ldirectord's phrases"),
]


@pytest.mark.parametrize(("event", "text"), LINES)
def test_what_the_log_says(event: Event, text: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    event_log.log(Happening(1, 0.0, Phase.RUNNING, event))
    assert text in caplog.text
