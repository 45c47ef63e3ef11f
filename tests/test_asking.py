"""HTTP that is wrong in every way, to both listeners: it is the asker's fault, and no news."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import test_door
import test_web_door
from test_web_door import LIMIT_S, Watched, connected, said

from dr_forwarder.api.asking import MOST, WINDOW_S, Unwritten, json_of
from dr_forwarder.api.door import Limits

LIMITS = Limits(clients=8, kept=0, body_bytes=1000, idle_s=0.1, head_s=1.0)
POST = b"POST /%s HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
JSON = b"Content-Type: application/json\r\n"
WRONG = [
    pytest.param(b"\0" * 100 + b"\r\n\r\n", id="zeros"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", id="TLS"),
    pytest.param(b"GET / HTTP/9.9\r\n\r\n", id="a version there is not"),
    pytest.param(b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", id="a long line"),
    pytest.param(b"GET / HTTP/1.1\r\nX: " + b"y" * 20_000 + b"\r\n\r\n", id="a long field"),
    pytest.param(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 9000 + b"\r\n", id="many fields"),
    pytest.param(b"GET / HTTP/1.1\r\nCookie: \x01=\xff\r\n\r\n", id="control characters"),
    pytest.param(b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n", id="a path of bytes"),
    pytest.param(b"GET http://[:::/ HTTP/1.1\r\nHost: localhost\r\n\r\n", id="no address"),
    pytest.param(b"GET http://a:99999/ HTTP/1.1\r\nHost: localhost\r\n\r\n", id="no port"),
    pytest.param(b"GET http://xn--/ HTTP/1.1\r\nHost: localhost\r\n\r\n", id="no name"),
    pytest.param(b"GET http://\xc3\xbc.%s/ HTTP/1.1\r\nHost: x\r\n\r\n" % (b"x" * 99), id="IDNA"),
    pytest.param(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", id="a proxy's method"),
    pytest.param(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", id="about everything"),
    pytest.param(b"GET /x HTTP/1.1\r\nHost: [::1\r\n\r\n", id="half a host"),
    pytest.param(b"GET /x HTTP/1.1\r\nHost: xn--\r\n\r\n", id="no host"),
    pytest.param(POST + b"Content-Length: -1\r\n\r\n", id="a length below 0"),
    pytest.param(
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", id="two lengths"
    ),
    pytest.param(POST + JSON + b"Transfer-Encoding: chunked\r\n\r\nZZZ\r\n", id="no chunk"),
    pytest.param(POST + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", id="no gzip"),
    pytest.param(POST + b"Content-Encoding: br\r\nContent-Length: 3\r\n\r\nabc", id="no brotli"),
    pytest.param(POST + b"Content-Encoding: what\r\nContent-Length: 3\r\n\r\nabc", id="no coding"),
    pytest.param(
        POST + JSON[:-2] + b"; charset=none\r\nContent-Length: 2\r\n\r\n[]", id="no charset"
    ),
    pytest.param(POST + b"Content-Length: 2\r\n\r\n\xff\xfe", id="a body of bytes"),
    pytest.param(POST + b"Content-Length: 400\r\n\r\n" + b"[" * 400, id="deep JSON"),
    pytest.param(POST + b"Content-Length: 900\r\n\r\n" + b"9" * 900, id="a long number"),
    pytest.param(POST + b"Expect: more\r\nContent-Length: 2\r\n\r\n{}", id="expectations"),
]


def answer_to(client: socket.socket, request: bytes) -> bytes:
    client.settimeout(LIMIT_S)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.sendall(request)
    return said(client)


@contextlib.contextmanager
def nothing_is_said(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.WARNING):
        yield
        gc.collect()  # tasks that ended with an exception say so then
    assert [each.getMessage() for each in caplog.records] == []


def assert_refused(answer: bytes) -> None:
    """Or sent away without a word."""
    assert answer == b"" or answer.split()[1].startswith(b"4"), answer


@pytest.mark.parametrize("request_", WRONG)
def test_the_page_refuses_what_is_wrong_and_writes_nothing(
    request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    def scenario(port: int) -> bytes:
        with connected(port) as client:
            return answer_to(client, request_.replace(b"/%s", b"/page/orders"))

    director = Watched()
    object.__setattr__(director.config.settings, "listen_writable", True)
    with nothing_is_said(caplog):
        assert_refused(test_web_door.served(scenario, director=director, limits=LIMITS))


@pytest.mark.parametrize("request_", WRONG)
def test_the_control_socket_refuses_what_is_wrong_and_writes_nothing(
    request_: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def ask() -> bytes:
        with test_door.connected(tmp_path) as client:
            return answer_to(client, request_.replace(b"/%s", b"/v1/changes"))

    with nothing_is_said(caplog):
        assert_refused(test_door.served(tmp_path, ask, limits=LIMITS))


@pytest.mark.parametrize("begun", [b"", b"[1,", b"3\r\n[1,\r\n"])
def test_who_leaves_in_the_middle_of_a_body_is_no_news(
    begun: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    length = b"Transfer-Encoding: chunked" if b"\r" in begun else b"Content-Length: 99"

    def ask() -> None:
        for _ in range(3):
            with test_door.connected(tmp_path) as client:
                client.sendall(POST.replace(b"/%s", b"/v1/changes") + length + b"\r\n\r\n" + begun)

    with nothing_is_said(caplog):
        test_door.served(tmp_path, ask, limits=LIMITS)


def test_a_body_of_somebody_who_has_left_is_no_fault_of_ours() -> None:
    async def read() -> bytes:
        raise RuntimeError("Connection closed.")

    request: Any = SimpleNamespace(read=read, transport=None)
    with pytest.raises(ConnectionResetError):
        asyncio.run(json_of(request, LIMIT_S))


# ---- What is ours is told of, and not without end ----


def record(error: BaseException | None) -> logging.LogRecord:
    exc_info = None if error is None else (type(error), error, None)
    return logging.LogRecord("aiohttp.server", logging.ERROR, "", 0, "wrong", None, exc_info)


def test_our_own_faults_are_told_of_so_often_and_then_counted() -> None:
    now_s = 0.0
    unwritten = Unwritten(clock=lambda: now_s)
    passed: Callable[[], bool] = lambda: unwritten.filter(record(KeyError("ours")))  # noqa: E731
    assert [passed() for _ in range(MOST + 90)] == [True] * MOST + [False] * 90
    now_s = WINDOW_S
    told = record(KeyError("ours"))
    assert unwritten.filter(told)
    assert told.getMessage() == "wrong (and 90 more like it that were not written)"
    assert unwritten.filter(record(None))


def test_nobody_elses_faults_are_told_of() -> None:
    assert not Unwritten().filter(record(ConnectionResetError()))


@pytest.mark.parametrize("begun", [b"GET /", b"GET / HTTP/1.1\r\nX: "])
def test_a_head_without_end_costs_no_more_than_its_beginning(begun: bytes, tmp_path: Path) -> None:
    """The fault tells all that had come, and so does the answer."""

    def ask() -> int:
        with test_door.connected(tmp_path) as client:
            return len(answer_to(client, begun + b"\xff" * 1_000_000))

    assert test_door.served(tmp_path, ask, limits=LIMITS) < 100_000
