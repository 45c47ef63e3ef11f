"""HTTP checks: what a request says, and what each answer is taken for."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from servers import PATIENCE_S, answering, http_target, page, serving, verdict

from dr_forwarder.checks import Result, run

PAGES = [
    pytest.param(page("hello"), {}, True, "HTTP 200 OK", id="a page"),
    pytest.param(page("", "204 No Content"), {}, True, "HTTP 204 No Content", id="any 2xx"),
    pytest.param(
        page("", "503 Service Unavailable"), {}, False, "HTTP 503 Service Unavailable", id="503"
    ),
    pytest.param(page("", "404 Not Found"), {}, False, "HTTP 404 Not Found", id="404"),
    pytest.param(
        page("", "302 Found"), {}, False, "HTTP 302 Found", id="a redirect to nowhere is no page"
    ),
    pytest.param(page("all ok"), {"receive": "ok"}, True, "HTTP 200 OK", id="text found"),
    pytest.param(page("all bad"), {"receive": "ok"}, False, "body lacks /ok/", id="text not found"),
    pytest.param(page("OK"), {"receive": "ok"}, False, "body lacks /ok/", id="case matters"),
    pytest.param(page("id=42"), {"receive": r"id=\d+$"}, True, "HTTP 200 OK", id="a pattern"),
    pytest.param(
        page("a\nb"), {"receive": "^b"}, False, "body lacks /^b/", id="a caret is not any line's"
    ),
    pytest.param(
        page("grün", header="Content-Type: text/html; charset=utf-8\r\n"),
        {"receive": "gr.n$"},
        True,
        "HTTP 200 OK",
        id="the declared charset",
    ),
    pytest.param(
        page("ok", header="Content-Type: text/html; charset=martian\r\n"),
        {"receive": "ok"},
        True,
        "HTTP 200 OK",
        id="an unknown charset",
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nall\r\n3\r\n ok\r\n0\r\n\r\n",
        {"receive": "all ok"},
        True,
        "HTTP 200 OK",
        id="chunks are joined",
    ),
    pytest.param(
        b"HTTP/1.0 200 OK\r\n\r\nall ok", {"receive": "ok"}, True, "HTTP 200 OK", id="HTTP/1.0"
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        {},
        False,
        "connection closed within the body",
        id="a body cut short",
    ),
    pytest.param(
        page("x" * (2 << 20) + "ok"),
        {"receive": "ok"},
        False,
        "the first MiB of the body lacks /ok/",
        id="no more than a MiB is read",
    ),
    pytest.param(b"", {}, False, "connection closed without an answer", id="no answer"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        {"http_method": "HEAD"},
        True,
        "HTTP 200 OK",
        id="HEAD has no body",
    ),
    pytest.param(
        page("", "301 Moved", "Location: http://www.example.com/\r\n"),
        {"virtual_host": "example.com"},
        False,
        "redirected to another server: http://www.example.com/",
        id="a redirect elsewhere",
    ),
    pytest.param(
        page("", "301 Moved", "Location: ftp://127.0.0.1/\r\n"),
        {},
        False,
        "redirected to another server: ftp://127.0.0.1/",
        id="a redirect to another protocol",
    ),
    pytest.param(
        page("", "500 a\x1b[31m b"), {}, False, "HTTP 500 a?[31m b", id="a reason fit for a log"
    ),
]


@pytest.mark.parametrize(("answer", "check", "passed", "reason"), PAGES)
def test_an_http_answer_is_judged(
    answer: bytes, check: dict[str, Any], passed: bool, reason: str
) -> None:
    result = verdict(answering(answer), **check)
    assert (result.passed, result.reason) == (passed, reason)
    assert 0 <= result.duration_s < PATIENCE_S


def test_what_is_no_http_fails() -> None:
    result = verdict(answering(b"220 ready when you are\r\n"))
    assert not result.passed
    assert result.reason.startswith("not an HTTP answer")


def test_head_cannot_look_for_text() -> None:
    result = verdict(answering(page("ok")), http_method="HEAD", receive="ok")
    assert not result.passed
    assert "HEAD" in result.reason


def test_a_bad_pattern_is_a_reason() -> None:
    result = verdict(answering(page("ok")), receive="(")
    assert not result.passed
    assert result.reason.startswith("receive is not a regular expression")


REQUESTS = [
    pytest.param({"request": "/a?b=c"}, "GET /a?b=c HTTP/1.1", "127.0.0.1", id="bare address"),
    pytest.param({"virtual_host": "www.a.b"}, "GET / HTTP/1.1", "www.a.b", id="virtualhost"),
    pytest.param({"virtual_host": "a.b:81"}, "GET / HTTP/1.1", "a.b:81", id="with a port"),
    pytest.param({"request": "/%41/../ü b"}, "GET /%41/../%C3%BC%20b HTTP/1.1", "127.0.0.1"),
    pytest.param({"http_method": "HEAD"}, "HEAD / HTTP/1.1", "127.0.0.1", id="HEAD"),
    pytest.param({"request": "http://a.b/c"}, "GET /c HTTP/1.1", "a.b", id="a whole URL"),
    pytest.param({"request": "/http://a.b/c"}, "GET /c HTTP/1.1", "a.b", id="a slash before it"),
    pytest.param({"request": "/l?to=http://a.b"}, "GET /l?to=http://a.b HTTP/1.1", "127.0.0.1"),
]


@pytest.mark.parametrize(("check", "line", "host"), REQUESTS)
def test_the_request_is_sent_as_written(check: dict[str, Any], line: str, host: str) -> None:
    seen: list[str] = []
    assert verdict(answering(page(""), seen), **check).passed
    first, *headers = seen[0].split("\r\n")
    assert first == line
    assert f"Host: {host}" in headers
    assert "Connection: close" in headers
    assert not any(header.startswith("Accept-Encoding") for header in headers)


def test_redirects_on_the_same_server_are_followed_to_its_own_address() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        port = writer.get_extra_info("sockname")[1]
        steps = {"/": "/a", "/a": f"http://WWW.example.com:{port}/b"}
        header = f"Location: {steps[first]}\r\n" if first in steps else ""
        writer.write(page("there", "302 Found" if header else "200 OK", header))

    assert verdict(handle, virtual_host="www.example.com", receive="there").passed


def test_redirects_in_a_circle_end() -> None:
    seen: list[str] = []
    result = verdict(answering(page("", "302 Found", "Location: /again\r\n"), seen))
    assert result.reason.startswith("more than 7 redirects")
    assert len(seen) == 8


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's side of TLS, self-signed for nobody in particular."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make a certificate")
    folder: Path = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=nobody", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


NAMES = [
    pytest.param("www.example.com", "www.example.com", id="the virtualhost"),
    pytest.param("www.example.com:8443", "www.example.com", id="without its port"),
    pytest.param(None, None, id="no name without a virtualhost"),
    pytest.param(".odd.", None, id="nothing that is no name"),
]


@pytest.mark.parametrize(("virtual_host", "name"), NAMES)
def test_https_asks_for_a_name_and_believes_any_certificate(
    tls: ssl.SSLContext, virtual_host: str | None, name: str | None
) -> None:
    names: list[str | None] = []
    tls.sni_callback = lambda _, asked, __: names.append(asked)

    async def once() -> Result:
        async with serving(answering(page("ok")), tls=tls) as port:
            wanted = http_target(port, service="https", virtual_host=virtual_host, receive="ok")
            return await run(wanted)

    result = asyncio.run(once())
    assert (result.passed, result.reason) == (True, "HTTP 200 OK")
    assert names == [name]


def test_https_to_another_service_names_tls() -> None:
    async def greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready when you are\r\n")
        await reader.read()

    result = verdict(greeting, service="https")
    assert (result.passed, result.reason) == (False, "TLS: WRONG_VERSION_NUMBER")
