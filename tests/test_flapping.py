"""Servers that go up and down again and again: said once, mailed once, and kept out if asked."""

from __future__ import annotations

import logging
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from dr_forwarder.attendants.alerts import SETTLE_S, Alerts
from dr_forwarder.checks import Result
from dr_forwarder.config.model import Alert, Check, Config, Real, Virtual
from dr_forwarder.config.table_keys import key_of, server_of
from dr_forwarder.events import (
    Bus,
    ChecksHindered,
    ChecksUnhindered,
    FallbackEvent,
    HealthEvent,
    LinkEvent,
    LinkStep,
    Phase,
    ServerEvent,
    ServerFlapping,
    Started,
    Step,
)
from dr_forwarder.health import Flapping
from dr_forwarder.quieting import EventLog
from dr_forwarder.watch import Watch

SERVERS = tuple(Real(IPv4Address(f"10.0.0.{n}"), 80) for n in range(1, 51))
WEB = Virtual(
    "tcp",
    IPv4Address("192.0.2.1"),
    80,
    real=SERVERS,
    check=Check(),
    alert=Alert(to=("ops@example.com",)),
)
KEY = key_of(WEB)

# One letter a result: whether it took the server up or down (x) or not (.); F where it flaps then.
RUNS = [
    pytest.param(6, "xxxxxx", ".....F", id="six changes"),
    pytest.param(6, "x.x.x.x.x.x", "..........F", id="not at each check"),
    pytest.param(6, "x" + "....x" * 9, "." * 46, id="a change now and then"),
    pytest.param(6, "xxxxxx" + "." * 18, "." * 5 + "F" * 18 + ".", id="calm when two are left"),
    pytest.param(0, "x" * 50, "." * 50, id="never"),
    pytest.param(1, "x" + "." * 20, "F" * 20 + ".", id="at once"),
]


@pytest.mark.parametrize(("limit", "results", "states"), RUNS)
def test_a_run_of_changes(limit: int, results: str, states: str) -> None:
    flapping, seen = Flapping(), ""
    for each in results:
        flapping = flapping.after(changed=each == "x", limit=limit)
        seen += "F" if flapping.on else "."
    assert seen == states


def watched(virtual: Virtual) -> tuple[Watch, Bus]:
    watch = Watch(bus := Bus(lambda: 0.0))
    watch.follow(Config("x.cf", (virtual,)))
    return watch, bus


def flap(watch: Watch, times: int) -> None:
    for number in range(times):
        for what in tuple(watch.all):
            watch.result(what, Result(number % 2 == 0, "pretended", 0.0))


def test_it_is_told_once_and_its_single_changes_are_not() -> None:
    watch, bus = watched(replace(WEB, real=SERVERS[:1]))
    flap(watch, 1000)
    events = [each.event for each in bus.history()]
    assert [type(each) for each in events] == [HealthEvent] * 6 + [ServerFlapping]
    for _ in range(20):
        watch.result(next(iter(watch.all)), Result(True, "fine", 0.0))
    over, last = [each.event for each in bus.history()][-2:]
    assert isinstance(over, ServerFlapping)
    assert (over.on, over.reason) == (False, "fine")
    assert isinstance(last, HealthEvent)
    assert last.up


def test_it_goes_in_and_out_as_its_checks_say() -> None:
    watch, _ = watched(WEB)
    flap(watch, 31)
    health = watch.health(WEB, SERVERS[0])
    assert health.up
    assert health.reason == "flapping, 20 changes in the last 20 checks: pretended"


def test_or_is_kept_out_until_it_is_calm() -> None:
    held = replace(WEB, real=SERVERS[:1], check=Check(flap_out=True))
    watch, _ = watched(held)
    (what,) = watch.all
    changes = []
    for number in range(60):
        passed = number >= 30 or number % 2 == 0
        if watch.result(what, Result(passed, "", 0.0)):
            changes.append((number, watch.health(held, SERVERS[0]).up))
    assert changes[-2:] == [(5, False), (48, True)]


# ---- The log ----


def lines_of(virtual: Virtual, seconds: int, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Of so many seconds, in each of which each server has a check that says something else."""
    caplog.set_level(logging.INFO)
    caplog.clear()
    now_s = 0.0
    bus = Bus(lambda: now_s)
    log = EventLog()
    bus.listen(log.heard)
    watch = Watch(bus)
    targets = watch.follow(Config("x.cf", (virtual,)))
    bus.phase = Phase.RUNNING
    for second in range(seconds):
        now_s = float(second)
        log.tick(now_s)
        for what, real in zip(targets, virtual.real, strict=True):
            up = second % 2 == 0
            if watch.result(what, Result(up, "pretended", 0.0)) and second:
                step = Step.RESTORED if up else Step.QUIESCENT
                bus.emit(ServerEvent(step, KEY, server_of(virtual, real, weight=int(up))))
        bus.emit(FallbackEvent(KEY, on=second % 2 == 1))
    log.tick(seconds + log.window_s)
    return [record.message for record in caplog.records]


def test_fifty_servers_that_flap_leave_no_hundred_lines_a_second(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lines = lines_of(WEB, 600, caplog)
    assert len(lines) < 700
    assert sum("flapping, 6 changes in the last 20 checks" in line for line in lines) == 50
    late = lines_of(WEB, 1200, caplog)
    assert len(late) - len(lines) <= 10  # what is said of the service itself, once a minute


def test_ten_thousand_that_start_are_summed_up(caplog: pytest.LogCaptureFixture) -> None:
    many = tuple(Real(IPv4Address(0x0A000001 + n), 80) for n in range(10_000))
    lines = lines_of(replace(WEB, real=many), 1, caplog)
    assert len(lines) == 200 + 1 + 1
    assert lines[-1] == "More lines like these were left out: 9800 health_up"


def test_what_is_down_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    lines_of(replace(WEB, real=SERVERS[:1]), 2, caplog)
    urgent = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert urgent == [
        "Check of 10.0.0.1:80: down (pretended)",
        "No real server is up: 192.0.2.1:80",
    ]


def test_an_interface_that_flaps_leaves_few_lines_and_how_it_is_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    now_s, log = 0.0, EventLog()
    bus = Bus(lambda: now_s)
    bus.listen(log.heard)
    for turn in range(600):
        now_s = turn * 0.05
        bus.emit(LinkEvent(LinkStep.DOWN, "eth0", "set down"))
        bus.emit(ChecksHindered("network is unreachable"))
        bus.emit(ChecksUnhindered("network is unreachable"))
        bus.emit(LinkEvent(LinkStep.UP, "eth0"))
    log.tick(now_s + log.window_s)
    lines = [record.message for record in caplog.records]
    assert len(lines) == 3 * (log.most_of_network + 4)
    assert lines[0] == "Interface eth0 is down: set down"
    assert sorted(lines[-4:-2]) == [
        "More lines like these were left out: 195 checks_unhindered, 195 link_up",
        "More lines like these were left out: 195 link_down, 195 checks_hindered",
    ]
    assert lines[-2:] == [
        "Checks are carried out again: over is network is unreachable",
        "Interface eth0 is up",
    ]


# ---- Mail ----


def test_mail_says_that_it_flaps_and_that_it_is_calm_again() -> None:
    virtual = replace(WEB, real=SERVERS[:1])
    now_s = 0.0
    bus = Bus(lambda: now_s)
    alerts = Alerts("lb1")
    config = Config("x.cf", (virtual,))
    alerts.configure(config)
    bus.listen(lambda happening: alerts.heard(happening, now_s=now_s))
    watch = Watch(bus)
    (what,) = watch.follow(config)
    subjects = []
    bus.emit(Started(1))
    bus.phase = Phase.RUNNING
    for second in range(120):
        now_s = float(second)
        up = second % 2 == 0 or second > 60
        if watch.result(what, Result(up, "pretended", 0.0)):
            step = Step.RESTORED if up else Step.QUIESCENT
            bus.emit(ServerEvent(step, KEY, server_of(virtual, SERVERS[0], weight=int(up))))
        subjects += [mail.subject for mail in alerts.due(now_s=now_s + SETTLE_S / 2)]
    where = "10.0.0.1:80 (192.0.2.1:80)"
    assert [each for each in subjects if "real server" in each][-2:] == [
        f"Flapping real server: {where}",
        f"Calm again real server: {where}",
    ]
    assert len(subjects) < 10
