"""Ping: real echoes over loopback, and packets that are none."""

from __future__ import annotations

import asyncio
import errno
import socket
from dataclasses import replace
from ipaddress import ip_address

import pytest

from dr_forwarder.checks import Target, ping, run
from dr_forwarder.config.model import Check, CheckType

PING = Check(type=CheckType.PING)
ICMP = {"127.0.0.1": socket.IPPROTO_ICMP, "::1": socket.IPPROTO_ICMPV6}


def pinged(address: str, check: Check = PING, *, protocol: str = "tcp") -> Target:
    return Target(ip_address(address), 0, protocol, check)


def require(address: str, kind: socket.SocketKind) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, kind, ICMP[address]) as sock:
            sock.connect((address, 0))
    except OSError as error:
        pytest.skip(f"no {kind.name} ICMP socket to {address} here: {error}")


@pytest.fixture
def datagrams_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unprivileged(socket.socket):
        def __init__(
            self, family: int = -1, kind: int = -1, proto: int = -1, fileno: int | None = None
        ) -> None:
            if kind == socket.SOCK_RAW:
                raise PermissionError(errno.EPERM, "not permitted")
            super().__init__(family, kind, proto, fileno)

    monkeypatch.setattr(socket, "socket", Unprivileged)


@pytest.mark.parametrize("address", ICMP)
def test_loopback_answers(address: str) -> None:
    require(address, socket.SOCK_RAW)
    result = asyncio.run(run(pinged(address)))
    assert (result.passed, result.reason) == (True, "ICMP echo reply")


@pytest.mark.parametrize("address", ICMP)
def test_loopback_answers_the_unprivileged(address: str, request: pytest.FixtureRequest) -> None:
    require(address, socket.SOCK_DGRAM)
    request.getfixturevalue("datagrams_only")
    assert asyncio.run(run(pinged(address))).passed


def test_a_udp_service_is_pinged_instead_of_connected_to() -> None:
    require("127.0.0.1", socket.SOCK_RAW)
    check = replace(PING, type=CheckType.CONNECT)
    result = asyncio.run(run(pinged("127.0.0.1", check, protocol="udp")))
    assert result.reason == "ICMP echo reply"


def test_many_pings_at_once_keep_apart() -> None:
    require("127.0.0.1", socket.SOCK_RAW)

    async def all_of_them() -> list[bool]:
        targets = [pinged(f"127.0.0.{n}") for n in range(1, 201)]
        return [result.passed for result in await asyncio.gather(*map(run, targets))]

    assert all(asyncio.run(all_of_them()))


def test_a_missing_privilege_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise PermissionError(errno.EPERM, "not permitted")

    async def once() -> str:
        # Only now: the event loop needs sockets of its own.
        monkeypatch.setattr(socket, "socket", refuse)
        return (await run(pinged("127.0.0.1"))).reason

    assert "CAP_NET_RAW" in asyncio.run(once())


def test_silence_ends_after_the_last_try(monkeypatch: pytest.MonkeyPatch) -> None:
    require("127.0.0.1", socket.SOCK_RAW)
    sent: list[int] = []

    async def unheard(*arguments: object) -> str:
        sent.append(int(str(arguments[-1])))
        return await asyncio.Future[str]()

    monkeypatch.setattr(ping, "_echo", unheard)
    check = replace(PING, check_timeout_s=0.05, ping_count=3)  # type: ignore[arg-type]
    result = asyncio.run(run(pinged("127.0.0.1", check)))
    assert (result.passed, result.reason) == (False, "no answer within 0.15 s")
    assert sent == [1, 2, 3]


WANTED = ping._HEADER.pack(0, 0, 0, 7, 1) + b"data"
STRAYS = [
    pytest.param(WANTED, True, id="the reply"),
    pytest.param(ping._HEADER.pack(0, 0, 0xBEEF, 7, 1) + b"data", True, id="any checksum"),
    pytest.param(ping._HEADER.pack(8, 0, 0, 7, 1) + b"data", False, id="our own request"),
    pytest.param(ping._HEADER.pack(0, 0, 0, 8, 1) + b"data", False, id="another's identifier"),
    pytest.param(ping._HEADER.pack(0, 0, 0, 7, 2) + b"data", False, id="another try"),
    pytest.param(ping._HEADER.pack(0, 0, 0, 7, 1) + b"atad", False, id="other data"),
    pytest.param(WANTED[:-1], False, id="cut short"),
    pytest.param(b"", False, id="nothing"),
]


@pytest.mark.parametrize(("message", "is_reply"), STRAYS)
def test_only_the_reply_is_taken(message: bytes, is_reply: bool) -> None:
    assert ping._is_reply(message, WANTED) is is_reply


@pytest.mark.parametrize(
    ("source", "ours"),
    [(("::1", 0, 0, 0), True), (("::2", 0, 0, 0), False)],
    ids=["the server itself", "another"],
)
def test_only_the_server_itself_may_answer(source: tuple[str, int], ours: bool) -> None:
    assert ping._is_from(source, ip_address("::1")) is ours
