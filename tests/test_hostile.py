"""Every service against every hostile answer, over TCP, TLS and UDP, as in a director.

The sweep is made once; the tests look at what came of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import pytest
import trustme
from places import NAME
from servers import Handler, dripping, resetting, serving
from test_apart import children, status_of
from test_services import WHAT, service_target

from dr_forwarder.checks import APART, Result, run
from dr_forwarder.checks.apart import Apart
from dr_forwarder.config.directives import SERVICES

LIMIT_S = 0.5
SLACK_S = 5.0
"""For a machine that is busy with other tests, and a library that is ended for its own slowness."""
GROWTH_BYTES = 64 * 1024 * 1024
"""Of this process, in which the servers are as well: of nearly 500 checks, libraries included."""

GARBAGE = random.Random(16).randbytes(65536)
TLS_RECORD = b"\x16\x03\x03\x00\x7a" + GARBAGE[:122]
TLS_ALERT = b"\x15\x03\x03\x00\x02\x02\x28"
ONCE: dict[str, bytes] = {
    "garbage": GARBAGE,
    "nothing": b"",
    "a zero": b"\0",
    "eight zeros": bytes(8),
    "a page of zeros": bytes(4096),
    "lengths beyond all": b"\xff" * 4096,
    "half of each": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
    "lines of nothing": b"\r\n" * 5000,
    "digits": b"220\r\n" * 500,
    "control characters": bytes(range(32)) * 100,
    "Latin-1": "220 Grüße aus Zürich\r\n".encode("latin-1") * 3,
    "HTTP": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "SMTP": b"220 mx.example ESMTP\r\n500 what?\r\n500 what?\r\n",
    "FTP": b"220 ready\r\n530 no\r\n530 no\r\n",
    "POP": b"+OK ready\r\n-ERR no\r\n-ERR no\r\n",
    "IMAP": b"* OK ready\r\n1 BAD no\r\n",
    "MySQL": b"\x4a\0\0\0\x0a8.0.1\0" + GARBAGE[:70],
    "PostgreSQL": b"E\0\0\0\x20SFATAL\0C28000\0Mno\0\0",
    "LDAP": b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x31\x04\0\x04\0",
    "LDAP, nested": b"\x30\x82\x40\x00" + b"\x30\x80" * 8192,
    "TLS": TLS_RECORD,
    "TLS that refuses": TLS_ALERT,
}
"""What a server says and is gone."""
ENDLESS: dict[str, bytes] = {
    "zeros for ever": bytes(65536),
    "letters for ever": b"x" * 65536,
    "lines for ever": b"220-and so on\r\n" * 4096,
    "untagged for ever": b"* OK and so on\r\n" * 4096,
    "a message for ever": b"R\x7f\xff\xff\xff" + b"x" * 65531,
    "a packet for ever": b"\xff\xff\xff\x00\x0a" + b"x" * 65531,
}
MEANT = {
    ("nntp", "SMTP"),
    ("nntp", "FTP"),
    ("nntp", "digits"),
    ("nntp", "Latin-1"),
    ("nntp", "lines for ever"),
    ("smtp", "digits"),
    ("smtp", "Latin-1"),
    ("submission", "digits"),
    ("submission", "Latin-1"),
}
"""A greeting with 2 and a hello are all that these services ask for."""
LENIENT = {"http", "https", "http_proxy"}
"""HTTP/0.9 is whatever comes, so what these make of it is told elsewhere."""
TLS_SERVICES = ("https", "imaps", "ldaps", "pops")
TCP = tuple(sorted({*SERVICES} - {"none", "radius"}))
UDP = ("dns", "radius", "simpletcp", "sip")


@dataclass(frozen=True)
class Found:
    """What a check of a service made of an answer."""

    service: str
    transport: str
    answer: str
    result: Result

    def __str__(self) -> str:
        return f"{self.service} over {self.transport}, {self.answer}: {self.result}"


@dataclass(frozen=True)
class Sweep:
    found: tuple[Found, ...]
    growth: int
    descriptors: int
    threads: int
    errors: tuple[str, ...]
    children: frozenset[int]
    """Of this process, before it: other tests may have left some."""


def saying(data: bytes) -> Handler:
    """To whoever has said something, and to whoever waits to be greeted."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        async with asyncio.timeout(LIMIT_S / 10):
            await reader.read()

    return handle


def flooding(data: bytes) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(0)  # over TLS nothing is said of a client that is gone

    return handle


async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    return None


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


def handlers() -> Iterator[tuple[str, Handler]]:
    for name, data in ONCE.items():
        yield name, saying(data)
    for name, data in ENDLESS.items():
        yield name, flooding(data)
    yield "a byte at a time", dripping(b"2")
    yield "a byte at a time, zeros", dripping(b"\0\0")
    yield "closes at once", closing
    yield "resets", resetting
    yield "says nothing", silent


class _Storm(asyncio.DatagramProtocol):
    """Answers each datagram with many."""

    def __init__(self, data: bytes, count: int) -> None:
        self._data, self._count = data, count

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.DatagramTransport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        for _ in range(self._count):
            self._transport.sendto(self._data[:60000], address)


@contextlib.asynccontextmanager
async def udp(data: bytes, count: int) -> AsyncIterator[int]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Storm(data, count), ("127.0.0.1", 0)
    )
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


def authority() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(NAME).configure_cert(context)
    return context


async def _each(
    services: tuple[str, ...], transport: str, answer: str, port: int, apart: Apart
) -> list[Found]:
    async def one(service: str) -> Found:
        protocol = "udp" if transport == "UDP" else "tcp"
        target = service_target(service, port, protocol=protocol, address="127.0.0.1")
        return Found(service, transport, answer, await run(target, limit_s=LIMIT_S, apart=apart))

    return await asyncio.gather(*map(one, services))


async def _warm(apart: Apart) -> None:
    """A worker of each kind is there before it is asked what its time limit is for."""
    async with serving(closing) as port:
        for service in APART:
            target = service_target(service, port, address="127.0.0.1")
            assert (await run(target, limit_s=60, apart=apart)).passed is False


async def _sweep(apart: Apart) -> list[Found]:
    found: list[Found] = []
    within = authority()
    for answer, handler in handlers():
        await _warm(apart)
        async with serving(handler) as port, serving(handler, tls=within) as tls_port:
            both = (
                _each(TCP, "TCP", answer, port, apart),
                _each(TLS_SERVICES, "TLS", answer, tls_port, apart),
            )
            for each in await asyncio.gather(*both):
                found += each
    for count in (1, 100):
        found += await _sweep_udp(count, apart)
    return found


async def _sweep_udp(count: int, apart: Apart) -> list[Found]:
    async def one(answer: str, data: bytes) -> list[Found]:
        async with udp(data, count) as port:
            return await _each(UDP, "UDP", f"{answer}, {count}", port, apart)

    every = await asyncio.gather(*(one(answer, data) for answer, data in ONCE.items()))
    return [each for some in every for each in some]


def rss_bytes() -> int:
    return int(status_of("self")["VmRSS"].split()[0]) * 1024


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(scope="module")
def sweep() -> Sweep:
    errors: list[str] = []
    others = frozenset(children())

    class Errors(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            errors.append(record.getMessage())

    listener = Errors(level=logging.ERROR)
    logging.getLogger().addHandler(listener)

    async def all_of_it() -> Sweep:
        async with Apart() as apart:
            await _warm(apart)
            before = descriptors(), threading.active_count(), rss_bytes()
            found = await _sweep(apart)
            after = descriptors(), threading.active_count(), rss_bytes()
            left = [now - then for now, then in zip(after, before, strict=True)]
            return Sweep(tuple(found), left[2], left[0], left[1], tuple(errors), others)

    try:
        return asyncio.run(all_of_it())
    finally:
        logging.getLogger().removeHandler(listener)


Wrong = Callable[[Found], bool]


def all_that_are(wrong: Wrong, sweep: Sweep) -> str:
    return "\n".join(str(each) for each in sweep.found if wrong(each))


def test_every_service_met_every_answer(sweep: Sweep) -> None:
    answers = len(list(handlers()))
    assert {each.service for each in sweep.found} == {*TCP, *UDP} >= {*WHAT}
    expected = answers * (len(TCP) + len(TLS_SERVICES)) + 2 * len(ONCE) * len(UDP)
    assert len(sweep.found) == expected


def test_every_check_ends_in_time(sweep: Sweep) -> None:
    assert all_that_are(lambda each: each.result.duration_s > LIMIT_S + SLACK_S, sweep) == ""


def test_every_check_passes_or_fails_with_a_reason_in_one_line(sweep: Sweep) -> None:
    def wrong(each: Found) -> bool:
        reason = each.result.reason
        return each.result.passed is None or not reason or not reason.isprintable()

    assert all_that_are(wrong, sweep) == ""


def test_no_hostile_answer_is_taken_for_a_good_one(sweep: Sweep) -> None:
    def wrong(each: Found) -> bool:
        meant = (each.service, each.answer) in MEANT or each.service in LENIENT
        return bool(each.result.passed) and not meant

    assert all_that_are(wrong, sweep) == ""


def test_no_reason_is_a_bug_of_ours(sweep: Sweep) -> None:
    assert sweep.errors == ()
    names = ("IndexError", "KeyError", "AttributeError", "UnboundLocalError", "AssertionError")
    ours = lambda each: each.service not in APART and each.result.reason.startswith(names)  # noqa: E731
    assert all_that_are(ours, sweep) == ""


def test_nothing_is_left_of_it(sweep: Sweep) -> None:
    assert sweep.growth < GROWTH_BYTES
    # asyncio has so many threads of its own at the most.
    assert sweep.threads <= min(32, (os.cpu_count() or 1) + 4), threading.enumerate()
    assert sweep.descriptors <= len(APART)  # workers that were ended and started anew
    assert children() <= sweep.children
