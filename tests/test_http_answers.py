"""HTTP as servers speak it: what ldirectord and browsers take for an answer is one here too.

Each case says whether we and ldirectord's library (LWP) take the server for up; where LWP is
installed it is asked too, so that what is said of it here stays true.
"""

from __future__ import annotations

import asyncio
import gzip
import shutil
import subprocess
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from servers import Handler, answering, http_target, serving, verdict

from dr_forwarder.checks import run

ASK = Path(__file__).parent / "data" / "ask.pl"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


def with_headers(*lines: bytes) -> bytes:
    return OK + b"".join(line + b"\r\n" for line in lines) + b"Content-Length: 2\r\n\r\nok"


def coded(coding: bytes, body: bytes) -> bytes:
    head = b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n" % (coding, len(body))
    return OK + head + body


@dataclass(frozen=True)
class Case:
    """An answer, and who takes the server for up."""

    name: str
    answer: bytes
    ours: bool = True
    stock: bool = True
    check: dict[str, Any] = field(default_factory=dict)


FOUND = {"receive": "ok$"}
HEAD = {"http_method": "HEAD"}
NEITHER = {"ours": False, "stock": False}
CASES = [
    # ---- Status lines ----
    Case("HTTP/1.2", b"HTTP/1.2 200 OK\r\n\r\n"),
    Case("HTTP/2.0", b"HTTP/2.0 200 OK\r\n\r\n"),
    Case("no digits of a version", b"HTTP 200 OK\r\n\r\n"),
    Case("lower case", b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    Case("two blanks", b"HTTP/1.1  200 OK\r\n\r\n"),
    Case("tabs", b"HTTP/1.1\t200\tOK\r\n\r\n"),
    Case("no phrase", b"HTTP/1.1 200\r\n\r\n"),
    Case("no blank before the phrase", b"HTTP/1.1 200OK\r\n\r\n"),
    Case("a zero before it", b"HTTP/1.1 0200 OK\r\n\r\n"),
    Case("no number", b"HTTP/1.1 OK\r\n\r\n"),
    Case("a phrase in UTF-8", "HTTP/1.1 200 Très bien\r\n\r\n".encode()),
    Case("Shoutcast", b"ICY 200 OK\r\n\r\nok", check=FOUND),
    Case("Shoutcast, refusing", b"ICY 401 No\r\n\r\n", ours=False),
    Case("no status line", b"ok", check=FOUND),
    Case("no status line, HTML", b"<html>\r\nall is ok\r\n", check={"receive": "is ok"}),
    Case("no status line, something else", b"no", check=FOUND, **NEITHER),
    Case("a blank line first", b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", check=FOUND),
    Case("the status alone", b"HTTP/1.0 200 OK\r\n"),
    Case("not even its end", b"HTTP/1.0 200 OK"),
    Case("a failure alone", b"HTTP/1.0 503 Sorry", **NEITHER),
    Case("a failure, and it is written oddly", b"http/1.1  0503\r\n\r\n", ours=False),
    Case("more digits", b"HTTP/1.1 2000 OK\r\n\r\n", ours=False),
    Case("none of the five kinds", b"HTTP/1.1 999 No\r\n\r\n", ours=False),
    Case("SMTP", b"220 mail.example ESMTP\r\n", ours=False),
    Case("SSH", b"SSH-2.0-OpenSSH_9.2\r\n", ours=False),
    Case("a byte order mark first", b"\xef\xbb\xbfHTTP/1.1 200 OK\r\n\r\nok", check=FOUND),
    Case("a failure behind one", b"\xef\xbb\xbfHTTP/1.1 503 Sorry\r\n\r\nok", ours=False),
    Case("SIP", b"SIP/2.0 400 Bad Request\r\n\r\n", ours=False),
    Case("RTSP", b"RTSP/1.0 200 OK\r\n\r\n", ours=False),
    Case("IMAP", b"* OK ready\r\n", ours=False),
    Case("an alert of TLS", b"\x15\x03\x01\x00\x02\x02\x46", ours=False),
    Case("noughts", bytes(600), ours=False),
    Case("nothing", b"", **NEITHER),
    # ---- Headers ----
    Case("a blank before the colon", with_headers(b"Server : x")),
    Case("no colon", with_headers(b"garbage")),
    Case("no name", with_headers(b": x")),
    Case("a NUL", with_headers(b"X: a\0b")),
    Case("a lone CR", with_headers(b"X: a\rb")),
    Case("Latin-1", with_headers("X: Zürich".encode("latin-1"))),
    Case("folded", with_headers(b"X: a", b" b")),
    Case("LF alone", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", check=FOUND),
    Case("a line of 20,000 bytes", with_headers(b"X: " + b"x" * 20_000), stock=False),
    Case("300 lines", with_headers(*[b"X-%d: 1" % n for n in range(300)]), stock=False),
    Case("lines without end", with_headers(*[b"X: " + b"x" * 4000] * 300), **NEITHER),
    Case("a line without end", OK + b"X: " + b"x" * 1_200_000, **NEITHER),
    Case("odd cookies", with_headers(b"Set-Cookie: ;;=; expires=Thu, 99", b"Date: never")),
    Case("100 first", b"HTTP/1.1 100 Continue\r\n\r\n" + with_headers(), check=FOUND),
    Case(
        "103 first", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + with_headers(), stock=False
    ),
    Case("100 for ever", b"HTTP/1.1 100 Continue\r\n\r\n" * 500, **NEITHER),
    Case("101", b"HTTP/1.1 101 Switching Protocols\r\n\r\n", **NEITHER),
    # ---- Lengths ----
    Case("two that are equal", with_headers(b"Content-Length: 2"), check=FOUND),
    Case("two that are not", with_headers(b"Content-Length: 9"), check=FOUND),
    Case("2, 2", OK + b"Content-Length: 2, 2\r\n\r\nok", check=FOUND),
    Case("+2", OK + b"Content-Length: +2\r\n\r\nok", check=FOUND),
    Case("empty", OK + b"Content-Length:\r\n\r\nok", check=FOUND),
    Case("-1", OK + b"Content-Length: -1\r\n\r\nok", check=FOUND),
    Case("hexadecimal", OK + b"Content-Length: 0x2\r\n\r\nok", check=FOUND),
    Case("as programmers write it", OK + b"Content-Length: 1_0\r\n\r\nok", check=FOUND),
    Case("a word", OK + b"Content-Length: two\r\n\r\nok", check=FOUND),
    Case("more digits than a number has", OK + b"Content-Length: %d\r\n\r\nok" % 10**40),
    Case("bytes behind the body", with_headers() + b"\r\n\r\nmore", check=FOUND),
    Case("204 with a body", b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nok"),
    Case("HEAD with a body", with_headers(), check=HEAD),
    Case("HEAD, chunked", OK + CHUNKED, check=HEAD),
    Case("HEAD, compressed", with_headers(b"Content-Encoding: br"), check=HEAD),
    # Browsers show an error here, and we have a failure: ERR_CONTENT_LENGTH_MISMATCH.
    Case("cut short", OK + b"Content-Length: 9\r\n\r\nok", ours=False),
    # ---- Chunks ----
    Case("with a length", OK + b"Content-Length: 9\r\n" + CHUNKED + b"2\r\nok\r\n0\r\n\r\n"),
    Case("twice", OK + b"Transfer-Encoding: chunked\r\n" + CHUNKED + b"2\r\nok\r\n0\r\n\r\n"),
    Case("identity", with_headers(b"Transfer-Encoding: identity")),
    Case("chunks with LF alone", OK + CHUNKED + b"2\nok\n0\n\n", check=FOUND),
    Case("blanks behind a size", OK + CHUNKED + b"2  \r\nok\r\n0\r\n\r\n", check=FOUND),
    Case("zeros before a size", OK + CHUNKED + b"0002\r\nok\r\n0\r\n\r\n", check=FOUND),
    Case("an extension", OK + CHUNKED + b"2;a=b\r\nok\r\n0\r\nX: 1\r\n\r\n", check=FOUND),
    Case("no trailer's end", OK + CHUNKED + b"2\r\nok\r\n0\r\n", check=FOUND),
    Case("an extension without end", OK + CHUNKED + b"2;" + b"x" * 300_000, ours=False),
    # ERR_INCOMPLETE_CHUNKED_ENCODING and ERR_INVALID_CHUNKED_ENCODING of browsers.
    Case("no last chunk", OK + CHUNKED + b"2\r\nok\r\n", ours=False),
    Case("no chunks at all", OK + CHUNKED + b"all is ok", ours=False),
    # ---- Codings nobody asked for ----
    *(
        Case(f"{each.decode()}, which it is not", coded(each, b"ok"), check=FOUND)
        for each in (b"gzip", b"br", b"zstd", b"UTF-8", b"deflate")
    ),
    # LWP looks at the bytes; a browser would show the text.
    Case("gzip", coded(b"gzip", gzip.compress(b"is ok")), stock=False, check=FOUND),
    Case("deflate", coded(b"deflate", zlib.compress(b"is ok")), stock=False, check=FOUND),
    Case("bare deflate", coded(b"deflate", zlib.compress(b"is ok", wbits=-15)), True, False, FOUND),
    Case("gzip with something else", coded(b"gzip", gzip.compress(b"no")), check=FOUND, **NEITHER),
    # ---- Redirects ----
    Case("nowhere", b"HTTP/1.1 302 F\r\nLocation:\r\n\r\n", **NEITHER),
    Case("in a circle", b"HTTP/1.1 302 F\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", **NEITHER),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_answer_is_read_as_clients_read_it(case: Case) -> None:
    result = verdict(answering(case.answer), **case.check)
    assert result.passed is case.ours, result.reason


PAGES = {"Latin-1": "grün".encode("latin-1"), "UTF-8": "grün".encode()}
CHARSETS = (None, "utf-8", "iso-8859-1", "utf-16", "undefined", "hex", "x-unknown")


def text_case(page: str, charset: str | None, file: str) -> Case:
    kind = f"Content-Type: text/html; charset={charset}\r\n" if charset else ""
    head = f"HTTP/1.1 200 OK\r\n{kind}Content-Length: {len(PAGES[page])}\r\n\r\n"
    # As the reader of the configuration hands on a file that is not UTF-8.
    receive = PAGES[file].decode("utf-8", "surrogateescape")
    is_same = page == file
    name = f"page in {page}, declared {charset}, file in {file}"
    return Case(name, head.encode() + PAGES[page], is_same, is_same, {"receive": receive})


TEXTS = [text_case(page, charset, file) for page in PAGES for charset in CHARSETS for file in PAGES]


@pytest.mark.parametrize("case", TEXTS, ids=lambda case: case.name)
def test_bytes_are_compared_before_text(case: Case) -> None:
    """Never is a server down where ldirectord has it up; as text there may be more to find."""
    result = verdict(answering(case.answer), **case.check)
    assert result.passed or not case.stock, result.reason


ASCII = [
    *("utf-7", "hex", "rot13", "undefined", "punycode", "idna", "unicode_escape", "utf-16"),
    *("x-unknown", '"utf-8"', "'utf-8'", "", "\x00", "base64", "zlib", "mbcs", "a" * 500),
]


@pytest.mark.parametrize("charset", ASCII)
def test_no_declared_charset_hides_plain_text(charset: str) -> None:
    kind = f"Content-Type: text/html; charset={charset}\r\n".encode()
    assert verdict(answering(with_headers(kind[:-2])), receive="^ok$").passed


def test_a_letter_is_one_character_of_text() -> None:
    for page in PAGES.values():
        answer = OK + b"Content-Length: %d\r\n\r\n" % len(page) + page
        assert verdict(answering(answer), receive="gr.n$").passed


def has_lwp() -> bool:
    ask = ["perl", "-MLWP::UserAgent", "-e1"]
    return bool(shutil.which("perl")) and not subprocess.run(ask, capture_output=True).returncode


@pytest.mark.skipif(not has_lwp(), reason="needs Perl's LWP, which comes with ldirectord")
def test_what_is_said_of_ldirectords_library_is_so() -> None:
    async def asked(perl: asyncio.subprocess.Process, case: Case) -> str:
        assert perl.stdin is not None
        assert perl.stdout is not None
        async with serving(answering(case.answer)) as port:
            receive = case.check.get("receive", "").encode("utf-8", "surrogateescape").hex()
            method = case.check.get("http_method", "GET")
            perl.stdin.write(f"{method} http://127.0.0.1:{port}/ {receive}\n".encode())
            said = (await perl.stdout.readline()).decode().strip()
        return "" if said.startswith("up" if case.stock else "down") else f"{case.name}: {said}"

    async def all_asked() -> list[str]:
        pipe = asyncio.subprocess.PIPE
        perl = await asyncio.create_subprocess_exec("perl", str(ASK), stdin=pipe, stdout=pipe)
        wrong = [await asked(perl, case) for case in CASES + TEXTS]
        assert perl.stdin is not None
        perl.stdin.close()
        await perl.wait()
        return [each for each in wrong if each]

    assert asyncio.run(all_asked()) == []


# ---- What is not waited for, and what has an end ----


def staying(answer: bytes) -> Handler:
    """Does not close the connection, as a server may that was not told to."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await reader.read()

    return handle


STAYING = [
    pytest.param(with_headers(), id="a length"),
    pytest.param(OK + CHUNKED + b"2\r\nok\r\n0\r\n", id="a last chunk without the trailer's end"),
    pytest.param(OK + CHUNKED + b"2\r\nok\r\n0\r\nX: 1\r\n", id="a trailer without end"),
    pytest.param(b"HTTP/1.1 204 No\r\n\r\n", id="no body"),
]


@pytest.mark.parametrize("answer", STAYING)
def test_no_more_is_waited_for_than_is_needed(answer: bytes) -> None:
    result = verdict(staying(answer))
    assert (result.passed, result.duration_s < 5) == (True, True)


def endless(first: bytes, more: bytes) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(first)
        while not writer.is_closing():
            writer.write(more)
            await writer.drain()

    return handle


ENDLESS = [
    pytest.param(OK + b"\r\n", b"x" * 65536, True, id="body"),
    pytest.param(OK, b"X: y\r\n" * 1000, False, id="headers"),
    pytest.param(OK + b"X: ", b"x" * 65536, False, id="line"),
    pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, False, id="interim answers"),
    pytest.param(b"", b"\r\n" * 1000, False, id="blank lines"),
    pytest.param(OK + CHUNKED, b"1\r\nx\r\n" * 1000, True, id="smallest chunks"),
    pytest.param(OK + CHUNKED + b"1;", b"x" * 65536, False, id="chunk extension"),
    pytest.param(OK + CHUNKED, b"1;" + b"y" * 9000 + b"\r\nx\r\n", True, id="chunk extensions"),
    pytest.param(OK + CHUNKED, b"fffffff\r\n" + b"x" * 65536, True, id="one chunk"),
]


@pytest.mark.parametrize(("first", "more", "passed"), ENDLESS)
def test_an_answer_without_end_is_read_to_a_limit(first: bytes, more: bytes, passed: bool) -> None:
    result = verdict(endless(first, more), limit_s=30)
    assert result.passed is passed, result.reason
    assert "within" not in result.reason


def test_a_bomb_stays_small() -> None:
    bomb = gzip.compress(bytes(50 << 20), 9)
    result = verdict(answering(coded(b"gzip", bomb)), receive="ok")
    assert (result.passed, result.reason) == (False, "body lacks /ok/")


# ---- Reasons ----

REASONS = [
    pytest.param(
        b"HTTP/1.1 404 Not Found\r\n\r\n",
        {"request": "/test.html"},
        "HTTP 404 for /test.html (Not Found)",
        id="which page",
    ),
    pytest.param(
        b"HTTP/1.1 404\r\n\r\n", {"request": "/a?b=c"}, "HTTP 404 for /a?b=c", id="without a phrase"
    ),
    pytest.param(
        b"HTTP/1.1 302 F\r\nLocation: https://127.0.0.1:9/x\r\n\r\n",
        {},
        "redirected to https://127.0.0.1:9/x: connection refused",
        id="where to",
    ),
    pytest.param(
        b"220 ready \x07 when you are\r\n",
        {},
        "not an HTTP answer: 220 ready ? when you are",
        id="other",
    ),
    pytest.param(
        with_headers(), {"receive": "gr\udcfcn"}, "body lacks /grün/", id="an expression in Latin-1"
    ),
]


@pytest.mark.parametrize(("answer", "check", "reason"), REASONS)
def test_a_reason_names_what_happened(answer: bytes, check: dict[str, Any], reason: str) -> None:
    result = verdict(answering(answer), **check)
    assert (result.passed, result.reason) == (False, reason)


# ---- Servers that are in a hurry ----


def hurried(answer: bytes) -> Handler:
    """Answers without reading: closing then resets the connection, behind the answer."""

    async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    return handle


def test_an_answer_counts_though_the_connection_is_reset_behind_it() -> None:
    async def many() -> list[str]:
        async with serving(hurried(with_headers())) as port:
            results = [await run(http_target(port, receive="ok")) for _ in range(100)]
        return [result.reason for result in results if not result.passed]

    assert asyncio.run(many()) == []
