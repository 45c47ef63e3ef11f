"""Checks of all kinds: which target they have, that they end in time, and how they fail."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from servers import (
    Handler,
    answering,
    dripping,
    hanging,
    http_target,
    page,
    resetting,
    serving,
    timeout_of_3_11_2,
    verdict,
)

from dr_forwarder.checks import Result, http, run, target
from dr_forwarder.config.model import Check, CheckType, Real, Virtual

LIMIT_S = 0.2
AMPLE_S = 20.0

WEB = Virtual("tcp", IPv4Address("192.0.2.1"), 80, check=Check(service="http"))
REAL = Real(IPv4Address("10.0.0.1"), 8080)


def web(**check: object) -> Virtual:
    return replace(WEB, check=replace(WEB.check, **check))  # type: ignore[arg-type]


PORTS = [
    pytest.param(web(port=81), 8080, 81, id="checkport before all"),
    pytest.param(WEB, 8080, 8080, id="the real server's"),
    pytest.param(web(service="https"), 0, 443, id="the service's usual one"),
    pytest.param(web(service="none"), 0, 80, id="the virtual service's"),
    pytest.param(replace(web(service="none"), port=0, fwmark=1), 0, 0, id="none at all"),
]


@pytest.mark.parametrize(("virtual", "port", "checked"), PORTS)
def test_a_check_goes_to_the_nearest_port(virtual: Virtual, port: int, checked: int) -> None:
    assert target(virtual, replace(REAL, port=port)).port == checked


def test_a_real_server_has_its_own_request_and_receive() -> None:
    virtual = web(request="/all", receive="ok")
    own = target(virtual, replace(REAL, request="one", receive="")).check
    assert (own.request, own.receive) == ("/one", "")
    shared = target(virtual, REAL).check
    assert (shared.request, shared.receive) == ("/all", "ok")


def test_a_whole_url_gets_no_slash() -> None:
    assert target(web(request="http://a.b/"), REAL).check.request == "http://a.b/"
    assert target(web(request="https://a.b/"), REAL).check.request == "/https://a.b/"


def test_a_virtualhost_loses_its_blanks() -> None:
    assert target(web(virtual_host="a.b \t"), REAL).check.virtual_host == "a.b"


def test_equal_checks_of_two_services_are_one() -> None:
    other = replace(WEB, address=IPv4Address("192.0.2.2"), scheduler="rr")
    assert target(WEB, REAL) == target(other, replace(REAL, weight=5, line=9))
    assert target(WEB, REAL) != target(web(negotiate_timeout_s=1), REAL)
    assert target(WEB, REAL) != target(replace(WEB, protocol="udp"), REAL)


HANGING = [
    pytest.param(hanging, {}, id="accepts and says nothing"),
    pytest.param(dripping(b"HTTP/1.1 200 "), {}, id="drips a status line"),
    pytest.param(dripping(b"HTTP/1.1 200 OK\r\n\r\n"), {}, id="drips a body"),
    pytest.param(dripping(b"HTTP/1.1 200 OK\r\nX: "), {}, id="drips a header"),
    pytest.param(hanging, {"service": "https"}, id="never shakes hands"),
]


@pytest.mark.parametrize(("handler", "check"), HANGING)
def test_the_limit_holds_whatever_the_server_does(
    handler: Handler, check: dict[str, object]
) -> None:
    result = verdict(handler, limit_s=LIMIT_S, **check)
    assert (result.passed, result.reason) == (False, "no answer within 0.2 s")
    assert LIMIT_S * 0.9 <= result.duration_s < LIMIT_S + 5


def test_a_reset_is_named() -> None:
    result = verdict(resetting)
    assert (result.passed, result.reason) == (False, "connection reset by peer")


@pytest.mark.parametrize("kind", [CheckType.CONNECT, CheckType.NEGOTIATE])
def test_a_refusal_is_named(kind: CheckType) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        result = asyncio.run(run(http_target(bound.getsockname()[1], type=kind)))
    assert (result.passed, result.reason) == (False, "connection refused")


def test_an_accepted_connection_is_enough_for_connect() -> None:
    result = verdict(hanging, type=CheckType.CONNECT)
    assert (result.passed, result.reason) == (True, "connected")


def test_a_server_that_accepts_and_resets_has_accepted() -> None:
    """Whether the reset comes before the look at the connection is chance, and decides nothing."""
    times = 300

    def accept_and_reset(listener: socket.socket) -> None:
        for _ in range(times):
            connection, _ = listener.accept()
            at_once = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            connection.close()

    async def many(port: int) -> list[Result]:
        return [await run(http_target(port, type=CheckType.CONNECT)) for _ in range(times)]

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept_and_reset, args=(listener,))
        thread.start()
        results = asyncio.run(many(listener.getsockname()[1]))
        thread.join()
    assert {(result.passed, result.reason) for result in results} == {(True, "connected")}


@pytest.mark.parametrize("kind", [CheckType.CONNECT, CheckType.NEGOTIATE])
def test_ipv6_is_checked_alike(kind: CheckType) -> None:
    seen: list[str] = []

    async def once() -> Result:
        async with serving(answering(page("ok"), seen), address="::1") as port:
            wanted = http_target(port, type=kind, receive="ok")
            return await run(replace(wanted, address=IPv6Address("::1")))

    assert asyncio.run(once()).passed
    assert all("Host: [::1]\r\n" in request for request in seen)


WITHOUT_A_SERVER = [
    pytest.param({"type": CheckType.ON}, True, "not checked", id="on"),
    pytest.param({"type": CheckType.OFF}, False, "checktype=off", id="off"),
    pytest.param({"service": "none"}, True, "not checked", id="service none"),
    pytest.param(
        {"type": CheckType.CONNECT}, False, "no port to connect to: set checkport", id="no port"
    ),
]


@pytest.mark.parametrize(("check", "passed", "reason"), WITHOUT_A_SERVER)
def test_some_checks_contact_nobody(check: dict[str, object], passed: bool, reason: str) -> None:
    result = asyncio.run(run(http_target(0, **check)))
    assert (result.passed, result.reason) == (passed, reason)


def test_the_connects_of_a_combined_udp_check_pass() -> None:
    udp = replace(http_target(9, type=CheckType.COMBINED, connects=2), protocol="udp")
    assert asyncio.run(run(udp, kind=CheckType.CONNECT)).passed


BY_VIP = [
    pytest.param(WEB, True, id="http"),
    pytest.param(web(service="https"), True, id="https"),
    pytest.param(web(service="smtp"), False, id="smtp"),
    pytest.param(web(service="smtp", type=CheckType.CONNECT), True, id="smtp, connect"),
    pytest.param(web(service="smtp", type=CheckType.COMBINED), True, id="smtp, connects between"),
    pytest.param(web(type=CheckType.PING), False, id="ping"),
    pytest.param(replace(WEB, protocol="udp"), False, id="udp"),
    pytest.param(replace(WEB, protocol="fwm", address=None, fwmark=1), False, id="a mark"),
]


@pytest.mark.parametrize(("virtual", "by_vip"), BY_VIP)
def test_checks_that_can_go_through_the_vip_when_they_shall(virtual: Virtual, by_vip: bool) -> None:
    asked = replace(virtual, check=replace(virtual.check, through_vip=True))
    assert target(asked, REAL).vip == (WEB.address if by_vip else None)
    assert target(virtual, REAL).vip is None


def test_a_check_through_the_vip_needs_a_director() -> None:
    result = asyncio.run(run(replace(http_target(80), vip=WEB.address)))
    told = "check_through_vip works in a running director only"
    assert (result.passed, result.reason) == (None, told)


class _Mute:
    """A path to the VIP on which no server says its MAC address."""

    async def mac(self, server: object) -> bytes:
        await asyncio.sleep(AMPLE_S)
        return b""


@pytest.mark.parametrize("timeout", [asyncio.timeout, timeout_of_3_11_2])
def test_a_check_through_the_vip_says_what_it_waited_for(
    timeout: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncio, "timeout", timeout)
    asked = target(web(type=CheckType.CONNECT, through_vip=True), REAL)
    result = asyncio.run(run(asked, limit_s=LIMIT_S, path=_Mute()))  # type: ignore[arg-type]
    assert result.reason == f"10.0.0.1 does not say its MAC address within {LIMIT_S:g} s"


def test_a_bug_in_a_check_is_a_failure_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(http, "_page", lambda _: 1 // 0)
    result = asyncio.run(run(http_target(1)))
    assert not result.passed
    assert result.reason.startswith("ZeroDivisionError")
    assert "127.0.0.1:1" in caplog.text


def test_cancelling_is_not_a_result() -> None:
    entered = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        entered.set()
        await hanging(reader, writer)

    async def cancelled() -> None:
        async with serving(handle) as port:
            task = asyncio.create_task(run(http_target(port)))
            await entered.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancelled())
