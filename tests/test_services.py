"""Every service against servers that are not there, hang, drip, lie or leave, on both families."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_address

import pytest
from servers import Handler, dripping, http_target, serving

from dr_forwarder.checks import Result, Target, run
from dr_forwarder.config.directives import SERVICES

LIMIT_S = 0.15
AMPLE_S = 20.0

WHAT = {
    "dns": {"request": "/example.com"},
    "ftp": {"request": "/file", "login": "anonymous"},
    "http_proxy": {"request": "/http://example.com/"},
    "imap": {"login": "user", "password": "secret"},
    "imaps": {"login": "user", "password": "secret"},
    "mysql": {"login": "user", "request": "/SELECT 1"},
    "oracle": {"login": "user", "request": "/SELECT 1 FROM DUAL", "database": "XE"},
    "pgsql": {"login": "user", "request": "/SELECT 1"},
    "pop": {"login": "user", "password": "secret"},
    "pops": {"login": "user", "password": "secret"},
    "radius": {"login": "user", "password": "secret", "secret": "testing"},
    "simpletcp": {"request": "/hello\\n", "receive": "world"},
}
TLS = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03"
"""A server's first handshake record, of 16 KiB."""
BEGINNINGS = {
    "dns": b"\xff\xff",
    "ftp": b"220 ",
    "http": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
    "http_proxy": b"HTTP/1.1 200 OK\r\nX: ",
    "https": TLS,
    "imap": b"* OK ",
    "imaps": TLS,
    "ldap": b"\x30\x84\x00\x00\xff\xff",
    "ldaps": TLS,
    "mysql": b"\xff\xff\x00\x00\x0a",
    "nntp": b"200 ",
    "oracle": b"\x20\x00\x00\x00\x02\x00\x00\x00",
    "pgsql": b"R\x00\x00\xff\xff",
    "pop": b"+OK ",
    "pops": TLS,
    "simpletcp": b"",
    "sip": b"SIP/2.0 200 ",
    "smtp": b"220 ",
    "submission": b"220-",
}
"""How an answer begins that promises more than ever comes; ``x`` follows, byte by byte."""
UDP = ("dns", "radius", "simpletcp", "sip")
TCP = tuple(sorted({*SERVICES} - {"none", "radius"}))


def service_target(service: str, port: int, *, protocol: str = "tcp", address: str) -> Target:
    target = http_target(port, service=service, **WHAT.get(service, {}))
    return replace(target, address=ip_address(address), protocol=protocol)


GARBAGE = random.Random(4).randbytes(4096)


async def lying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(GARBAGE)
    await writer.drain()


async def lying_in_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"".join(b"%d nonsense\r\n" % n for n in range(900, 1000)))
    await writer.drain()
    await reader.read(1)


async def leaving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    return None


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Longer than the limit, also to a check that has ended its own side."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(reader.read())
        tasks.create_task(asyncio.sleep(2 * LIMIT_S))


async def babbling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def refusing_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """PostgreSQL's, asked for TLS first: that answer is one byte, and no other may follow it."""
    await reader.read(8)
    writer.write(b"N")
    await reader.read(1)
    await dripping(BEGINNINGS["pgsql"])(reader, writer)


IN_TIME = [
    pytest.param(lying, id="garbage"),
    pytest.param(lying_in_lines, id="nonsense in lines"),
    pytest.param(leaving, id="hangs up"),
]
FAMILIES = ("127.0.0.1", "::1")


def checked(handler: Handler, service: str, address: str, *, limit_s: float) -> Result:
    async def once() -> Result:
        async with serving(handler, address=address) as port:
            return await run(service_target(service, port, address=address), limit_s=limit_s)

    return asyncio.run(once())


@pytest.fixture(autouse=True)
def no_surprises(caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    """A check knows every failure of its own; the supervisor's log is for bugs."""
    yield
    assert [r.message for r in caplog.records if r.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("address", FAMILIES)
@pytest.mark.parametrize("service", TCP)
@pytest.mark.parametrize("handler", IN_TIME)
def test_a_server_that_lies_is_down_at_once(handler: Handler, service: str, address: str) -> None:
    result = checked(handler, service, address, limit_s=AMPLE_S)
    assert not result.passed
    assert result.reason
    assert "no answer within" not in result.reason


@pytest.mark.parametrize("address", FAMILIES)
@pytest.mark.parametrize("service", TCP)
def test_a_server_that_says_nothing_is_down_at_the_limit(service: str, address: str) -> None:
    result = checked(silent, service, address, limit_s=LIMIT_S)
    assert (result.passed, result.reason) == (False, f"no answer within {LIMIT_S:g} s")
    assert LIMIT_S - 0.1 <= result.duration_s < LIMIT_S + 5


@pytest.mark.parametrize("service", TCP)
def test_a_server_that_answers_byte_by_byte_is_down_at_the_limit(service: str) -> None:
    handler = refusing_tls if service == "pgsql" else dripping(BEGINNINGS[service])
    result = checked(handler, service, "127.0.0.1", limit_s=LIMIT_S)
    assert (result.passed, result.reason) == (False, f"no answer within {LIMIT_S:g} s")


@pytest.mark.parametrize("service", TCP)
def test_a_server_that_never_ends_its_answer_is_down(service: str) -> None:
    result = checked(babbling, service, "127.0.0.1", limit_s=LIMIT_S)
    assert not result.passed


@pytest.mark.parametrize("address", FAMILIES)
@pytest.mark.parametrize("service", TCP)
def test_a_refused_connection_is_named(service: str, address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as bound:
        bound.bind((address, 0))
        target = service_target(service, bound.getsockname()[1], address=address)
        result = asyncio.run(run(target, limit_s=AMPLE_S))
    assert (result.passed, result.reason) == (False, "connection refused")


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        if self._answer is not None:
            self._transport.sendto(self._answer, address)  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def udp_serving(answer: bytes | None, address: str) -> AsyncIterator[int]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Udp(answer), (address, 0)
    )
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


@pytest.mark.parametrize("address", FAMILIES)
@pytest.mark.parametrize("service", UDP)
@pytest.mark.parametrize("answer", [None, GARBAGE, b"x", b""], ids=["none", "long", "x", "empty"])
def test_a_datagram_that_says_nothing_is_no_answer(
    answer: bytes | None, service: str, address: str
) -> None:
    async def once() -> Result:
        async with udp_serving(answer, address) as port:
            target = service_target(service, port, protocol="udp", address=address)
            return await run(target, limit_s=LIMIT_S)

    result = asyncio.run(once())
    assert not result.passed
    assert result.duration_s < LIMIT_S + 5
    if answer is None:
        assert result.reason == f"no answer within {LIMIT_S:g} s"


@pytest.mark.parametrize("address", FAMILIES)
@pytest.mark.parametrize("service", UDP)
def test_a_closed_udp_port_is_down(service: str, address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as bound:
        bound.bind((address, 0))
        port = bound.getsockname()[1]
    target = service_target(service, port, protocol="udp", address=address)
    assert not asyncio.run(run(target, limit_s=LIMIT_S)).passed
