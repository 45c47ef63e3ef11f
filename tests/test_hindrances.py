"""What this host cannot do is no failure of a server: a check has a third outcome."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from servers import http_target

from dr_forwarder import checks, cluster, event_log
from dr_forwarder.checks import Result, Target, run, target
from dr_forwarder.checks.model import LOCAL, CheckError, HindranceError, hindrance
from dr_forwarder.config.directives import SERVICES
from dr_forwarder.config.model import Check, CheckType, Config, Real, Virtual
from dr_forwarder.events import (
    Bus,
    ChecksHindered,
    ChecksUnhindered,
    HealthEvent,
    LinkEvent,
    LinkStep,
)
from dr_forwarder.health import Health
from dr_forwarder.hindrances import LinkTrouble
from dr_forwarder.link_state import LinkState
from dr_forwarder.watch import Watch

THE_SERVERS = (
    *(errno.ECONNREFUSED, errno.ETIMEDOUT, errno.ECONNRESET, errno.EHOSTUNREACH),
    *(errno.ECONNABORTED, errno.EPIPE, errno.EHOSTDOWN),
)
ASKED = {
    "radius": {"login": "a", "password": "b", "secret": "c", "request": "/"},
    "mysql": {"login": "a", "password": "b", "request": "/select 1"},
    "pgsql": {"login": "a", "password": "b", "request": "/select 1"},
    "oracle": {"login": "a", "password": "b", "database": "x", "request": "/select 1 from dual"},
    "dns": {"request": "/a.example", "receive": "1"},
    "ftp": {"request": "/", "receive": ""},
    "sip": {"login": "a@b"},
    "http_proxy": {"request": "http://a.example/"},
}
CHECKED = sorted({*SERVICES} - {"none"})


def asked(service: str) -> Target:
    fields: dict[str, Any] = {"service": service, "request": "/", **ASKED.get(service, {})}
    return http_target(9, **fields, type=CheckType.NEGOTIATE)


def refuse_sockets(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The system has none left for those who ask for one by an IP address."""

    class Refused(socket.socket):
        def __init__(self, family: int = -1, *rest: Any, **more: Any) -> None:
            if family in (socket.AF_INET, socket.AF_INET6):
                raise OSError(number, os.strerror(number))
            super().__init__(family, *rest, **more)

    monkeypatch.setattr(socket, "socket", Refused)


def refuse_connections(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    class Refused(socket.socket):
        def connect(self, address: Any) -> None:
            if self.family in (socket.AF_INET, socket.AF_INET6):
                raise OSError(number, os.strerror(number))
            super().connect(address)

    monkeypatch.setattr(socket, "socket", Refused)


@pytest.mark.parametrize("service", CHECKED)
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOBUFS], ids=errno.errorcode.get)
def test_no_service_fails_for_want_of_a_socket(
    service: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_sockets(monkeypatch, number)
    result = asyncio.run(run(asked(service), limit_s=5))
    assert (result.passed, os.strerror(number).lower() in result.reason) == (None, True), result


@pytest.mark.parametrize("service", CHECKED)
@pytest.mark.parametrize(
    "number", [errno.EADDRNOTAVAIL, errno.ENETUNREACH], ids=errno.errorcode.get
)
def test_no_service_fails_for_want_of_a_way_out(
    service: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_connections(monkeypatch, number)
    result = asyncio.run(run(asked(service), limit_s=5))
    assert (result.passed, os.strerror(number).lower() in result.reason) == (None, True), result


@pytest.mark.parametrize("kind", [CheckType.CONNECT, CheckType.PING])
@pytest.mark.parametrize("number", sorted(LOCAL), ids=errno.errorcode.get)
def test_no_other_kind_of_check_fails_for_it(
    kind: CheckType, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_sockets(monkeypatch, number)
    assert asyncio.run(run(http_target(9, type=kind), limit_s=5)).passed is None


@pytest.mark.parametrize("number", sorted(LOCAL), ids=errno.errorcode.get)
def test_the_causes_on_this_host_come_with_a_cure(number: int) -> None:
    told = hindrance(OSError(number, "x"))
    assert told is not None
    assert told.startswith(os.strerror(number).lower() + " (")


@pytest.mark.parametrize("number", THE_SERVERS, ids=errno.errorcode.get)
def test_what_the_server_or_the_way_to_it_does_is_the_servers(number: int) -> None:
    assert hindrance(OSError(number, os.strerror(number))) is None


OTHERS = [
    pytest.param(MemoryError(), True, id="memory"),
    pytest.param(RuntimeError("can't start new thread"), True, id="threads"),
    pytest.param(HindranceError("the pool is full"), True, id="said by the check"),
    pytest.param(RuntimeError("else"), False, id="another error"),
    pytest.param(TimeoutError(), False, id="no answer in time"),
    pytest.param(
        ssl.SSLError(1, "handshake failure"), False, id="TLS counts otherwise: 1 is not EPERM"
    ),
    pytest.param(CheckError("HTTP 500"), False, id="a failure"),
]


@pytest.mark.parametrize(("error", "local"), OTHERS)
def test_other_errors_are_told_apart_too(error: Exception, local: bool) -> None:
    assert (hindrance(error) is not None) is local


def test_what_a_library_wraps_is_found() -> None:
    def wrapped(number: int, outer: Exception) -> Exception:
        outer.__cause__ = OSError(number, "x")
        return outer

    assert hindrance(wrapped(errno.EMFILE, CheckError("cannot connect")))
    assert hindrance(wrapped(errno.EMFILE, RuntimeError("cannot connect")))
    # A program that may not be run is a failure, whatever its errno.
    assert hindrance(wrapped(errno.EACCES, CheckError("/bin/x: permission denied"))) is None


def test_a_limit_that_passed_while_waiting_for_this_host_is_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def waiting(_: Target) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise asyncio.CancelledError from HindranceError("all processes are busy")
        return ""

    async def receiving(_: Target) -> str:
        try:
            raise BlockingIOError(errno.EAGAIN, "nothing to read")
        except BlockingIOError:
            await asyncio.sleep(60)
        return ""

    monkeypatch.setitem(checks.KINDS, CheckType.CONNECT, waiting)
    result = asyncio.run(run(http_target(9, type=CheckType.CONNECT), limit_s=0.01))
    assert (result.passed, result.reason) == (None, "all processes are busy")
    monkeypatch.setitem(checks.KINDS, CheckType.CONNECT, receiving)
    assert asyncio.run(run(http_target(9, type=CheckType.CONNECT), limit_s=0.01)).passed is False


# ---- What it means ----


def test_health_stays_as_it_is() -> None:
    up = Health().after(True, "fine", failure_count=1)
    still = up.after(None, "no files", failure_count=1)
    assert (still.up, still.reason, still.hindrance) == (True, "fine", "no files")
    assert still.after(True, "fine", failure_count=1) == up
    down = Health().after(False, "gone", failure_count=1)
    assert down.after(None, "no files", failure_count=1).up is False
    assert Health().after(None, "no files", failure_count=1).up is None


def test_failures_are_counted_across_it() -> None:
    health = Health().after(True, "", failure_count=2).after(False, "", failure_count=2)
    assert health.after(None, "x", failure_count=2).after(False, "", failure_count=2).up is False


SERVERS = tuple(Real(IPv4Address(f"10.0.0.{n}"), 80) for n in range(1, 4))
CONFIG = Config(
    "x.cf",
    virtuals=(Virtual("tcp", IPv4Address("192.0.2.1"), 80, real=SERVERS, check=Check()),),
)


def told(results: str) -> list[object]:
    """What is said after results of the three in turn: + passed, - failed, and causes a, b."""
    bus, heard = Bus(lambda: 0.0), []
    bus.listen(lambda happening: heard.append(happening.event))
    watch = Watch(bus)
    targets = watch.follow(CONFIG)
    for number, each in enumerate(results):
        passed = {"+": True, "-": False}.get(each)
        watch.result(targets[number % 3], Result(passed, each, 0.0))
    return [event for event in heard if not isinstance(event, HealthEvent)]


A, B = ChecksHindered("a"), ChecksHindered("b")
OVER_A, OVER_B = ChecksUnhindered("a"), ChecksUnhindered("b")
SAID = [
    pytest.param("+++aaa", [A], id="once, whoever meets it"),
    pytest.param("+++aaa+++", [A, OVER_A], id="and that it is over"),
    pytest.param("+++a++a++", [A], id="not while one still meets it"),
    pytest.param("+++a+a++", [A], id="nor between two that do"),
    pytest.param("abaaaa+++", [A, B, OVER_A, OVER_B], id="each cause for itself"),
    pytest.param("aaa---", [A, OVER_A], id="a failure is carried out"),
]


@pytest.mark.parametrize(("results", "events"), SAID)
def test_a_cause_is_said_once_and_when_it_is_over(results: str, events: list[object]) -> None:
    assert told(results) == events


def test_never_are_all_servers_taken_out_for_it() -> None:
    bus = Bus(lambda: 0.0)
    watch = Watch(bus)
    for what in watch.follow(CONFIG):
        watch.result(what, Result(True, "fine", 0.0))
        assert not watch.result(what, Result(None, "no files", 0.0))
    assert all(health.up for health in watch.all.values())
    assert watch.not_carried_out == 3


def test_a_cause_is_over_with_the_checks_that_met_it() -> None:
    bus = Bus(lambda: 0.0)
    watch = Watch(bus)
    watch.result(watch.follow(CONFIG)[0], Result(None, "a", 0.0))
    watch.follow(Config("x.cf"))
    assert bus.history()[-1].event == OVER_A


def test_its_line_is_a_warning_and_names_the_cure(caplog: pytest.LogCaptureFixture) -> None:
    bus = Bus(lambda: 0.0)
    bus.listen(event_log.log)
    cause = hindrance(OSError(errno.EMFILE, ""))
    assert cause is not None
    bus.emit(ChecksHindered(cause))
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "too many open files (raise the limit of open files: ulimit -n" in record.message


def test_those_who_look_see_both() -> None:
    raw = {"virtual": "v", "server": "s", "up": True, "reason": "HTTP 200", "protocol": "tcp"}
    seen = cluster.checked({**raw, "order": None, "hindrance": "no files"})
    assert seen.reason == "HTTP 200; not checked now: no files"


def test_a_combined_check_keeps_its_turn() -> None:
    """Nothing is known of the server, so neither is a connect skipped nor a negotiation due."""
    virtual = replace(
        CONFIG.virtuals[0], check=Check(type=CheckType.COMBINED, connects=1, interval_s=0.001)
    )
    kinds: list[CheckType] = []

    async def turns() -> None:
        enough = asyncio.Event()

        async def pretend(_: Target, *, kind: CheckType) -> Result:
            kinds.append(kind)
            if len(kinds) == 4:
                enough.set()
            return Result(None if len(kinds) == 2 else True, "", 0.0)

        from dr_forwarder.checks.scheduler import Checker

        async with Checker(lambda *_: None, run=pretend) as checker:
            checker.update([target(virtual, SERVERS[0])])
            await enough.wait()

    asyncio.run(turns())
    negotiate, connect = CheckType.NEGOTIATE, CheckType.CONNECT
    assert kinds[:4] == [negotiate, connect, connect, negotiate]


def test_a_missing_capability_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_sockets(monkeypatch, errno.EPERM)
    result = asyncio.run(checks.run(http_target(0, type=CheckType.PING)))
    assert (result.passed, result.reason) == (
        None,
        "ping needs CAP_NET_RAW, or a group in net.ipv4.ping_group_range",
    )


# ---- The director's own interface ----

UP, DOWN, GONE = (LinkState("eth0", state) for state in ("up", "down", "gone"))
HINDERED = LinkState("eth0", "up", hindrance="eth0 has no address")
FAILED, PASSED = Result(False, "no answer within 5 s", 5.0), Result(True, "fine", 0.1)
FOUR = target(CONFIG.virtuals[0], SERVERS[0])
SIX = replace(FOUR, address=IPv6Address("2001:db8::1"))


def test_nothing_fails_while_the_interface_is_away_nor_what_began_then() -> None:
    trouble = LinkTrouble()
    assert trouble.judged(FOUR, FAILED, UP, now_s=10) == FAILED
    for link in (DOWN, GONE):
        result = trouble.judged(FOUR, FAILED, link, now_s=20)
        assert (result.passed, result.reason) == (None, f"interface eth0 is {link.state}")
    trouble.heard(LinkEvent(LinkStep.UP, "eth0"), now_s=30)
    result = trouble.judged(FOUR, FAILED, UP, now_s=34)
    assert (result.passed, result.reason) == (None, "interface eth0 was down")
    assert trouble.judged(FOUR, PASSED, DOWN, now_s=40) == PASSED


def judged_after_it_came_back(
    trouble: LinkTrouble, result: Result, *, began_s: float
) -> bool | None:
    """It came back at 100 s."""
    return trouble.judged(FOUR, result, UP, now_s=100 + began_s + result.duration_s).passed


def test_what_begins_just_after_the_interface_came_back_may_fail_with_what_began_before() -> None:
    trouble = LinkTrouble()
    trouble.heard(LinkEvent(LinkStep.UP, "eth0"), now_s=100)
    unreachable = Result(False, "no route to host", 0.4)
    assert judged_after_it_came_back(trouble, PASSED, began_s=0.1) is True
    assert judged_after_it_came_back(trouble, unreachable, began_s=0.5) is None
    assert judged_after_it_came_back(trouble, unreachable, began_s=2.9) is None
    assert judged_after_it_came_back(trouble, unreachable, began_s=3.1) is False


def test_a_switch_port_that_is_still_blocked_is_no_servers_fault() -> None:
    trouble = LinkTrouble()
    trouble.heard(LinkEvent(LinkStep.UP, "eth0"), now_s=100)
    assert judged_after_it_came_back(trouble, FAILED, began_s=10) is None
    assert judged_after_it_came_back(trouble, FAILED, began_s=34) is None
    assert judged_after_it_came_back(trouble, FAILED, began_s=36) is False
    trouble.heard(LinkEvent(LinkStep.UP, "eth0"), now_s=100)
    assert judged_after_it_came_back(trouble, PASSED, began_s=9) is True
    assert judged_after_it_came_back(trouble, FAILED, began_s=10) is False


def test_nothing_fails_while_the_director_cannot_work_unless_others_answer() -> None:
    trouble = LinkTrouble()
    result = trouble.judged(FOUR, FAILED, HINDERED, now_s=10)
    assert (result.passed, result.reason) == (None, "eth0 has no address")
    assert trouble.judged(FOUR, PASSED, HINDERED, now_s=11) == PASSED
    assert trouble.judged(FOUR, FAILED, HINDERED, now_s=12) == FAILED
    assert trouble.judged(SIX, FAILED, HINDERED, now_s=13).passed is None
    assert trouble.judged(FOUR, PASSED, UP, now_s=14) == PASSED
    assert trouble.judged(FOUR, FAILED, HINDERED, now_s=15).passed is None
