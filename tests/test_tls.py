"""TLS of checks: no stricter than clients are where nothing is verified, and reasons that tell."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers import Handler, answering, http_target, page, serving

from dr_forwarder.checks import Result, run

Kind = Callable[[ssl.SSLContext], None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates: a usual one, one of a small key, both self-signed; and small parameters."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make certificates")
    made = tmp_path_factory.mktemp("tls")
    for name, more in (("usual", "rsa:2048"), ("small", "rsa:1024")):
        key, certificate = f"-keyout {made}/{name}.key", f"-out {made}/{name}.pem"
        req = f"openssl req -x509 -newkey {more} -sha256 -nodes -days 2 -subj /CN=nobody"
        subprocess.run(f"{req} {key} {certificate}".split(), check=True, capture_output=True)
    return made


def server_side(folder: Path, kind: Kind, *, certificate: str = "usual") -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of old versions, which are meant
        made.minimum_version = ssl.TLSVersion.TLSv1
        made.set_ciphers("ALL:@SECLEVEL=0")
        kind(made)
    made.load_cert_chain(folder / f"{certificate}.pem", folder / f"{certificate}.key")
    return made


def asked(context: ssl.SSLContext, handler: Handler, **check: Any) -> Result:
    async def once() -> Result:
        async with serving(handler, tls=context) as port:
            return await run(http_target(port, service="https", **check), limit_s=10)

    return asyncio.run(once())


def version(most: ssl.TLSVersion) -> Kind:
    return lambda context: setattr(context, "maximum_version", most)


def cipher(name: str) -> Kind:
    def kind(context: ssl.SSLContext) -> None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(f"{name}:@SECLEVEL=0")

    return kind


OLD = [
    pytest.param(version(ssl.TLSVersion.TLSv1), id="TLS 1.0"),
    pytest.param(version(ssl.TLSVersion.TLSv1_1), id="TLS 1.1"),
    pytest.param(version(ssl.TLSVersion.TLSv1_2), id="TLS 1.2"),
    pytest.param(version(ssl.TLSVersion.TLSv1_3), id="TLS 1.3"),
    *(
        pytest.param(cipher(name), id=name)
        for name in ("ECDHE-RSA-AES256-SHA", "AES128-SHA", "AES256-SHA256", "AES256-GCM-SHA384")
    ),
]


@pytest.mark.parametrize("certificate", ["usual", "small"])
@pytest.mark.parametrize("kind", OLD)
def test_what_nobody_verifies_may_be_old(folder: Path, kind: Kind, certificate: str) -> None:
    context = server_side(folder, kind, certificate=certificate)
    result = asked(context, answering(page("ok")), receive="ok")
    assert (result.passed, result.reason) == (True, "HTTP 200 OK")


def test_a_certificate_of_the_clients_may_be_asked_for(folder: Path) -> None:
    def wanted(context: ssl.SSLContext) -> None:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(folder / "usual.pem")

    assert asked(server_side(folder, wanted), answering(page("ok"))).passed


ENDS = [
    pytest.param(page("ok"), id="a length"),
    pytest.param(b"HTTP/1.0 200 OK\r\n\r\nok", id="none"),
]


@pytest.mark.parametrize("answer", ENDS)
def test_an_end_without_close_notify_is_one(folder: Path, answer: bytes) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        # Beneath TLS, which has no say in it.
        writer.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    result = asked(server_side(folder, lambda _: None), handle, receive="ok")
    assert (result.passed, result.reason) == (True, "HTTP 200 OK")


NAMES = [
    pytest.param({"request": "https://www.example.com/x"}, "www.example.com", "www.example.com"),
    pytest.param(
        {"request": "https://www.example.com:{port}/"}, "www.example.com", "www.example.com"
    ),
    pytest.param(
        {"request": "https://a.example/", "virtual_host": "b.example"}, "b.example", "b.example"
    ),
    pytest.param({"virtual_host": "grün.example"}, "xn--grn-ioa.example", "grün.example"),
    pytest.param(
        {"request": "https://grün.example/"}, "xn--grn-ioa.example", "xn--grn-ioa.example"
    ),
    pytest.param({"sni": "c.example", "virtual_host": "b.example"}, "c.example", "b.example"),
    pytest.param({"sni": "-" * 70}, None, "127.0.0.1"),
    pytest.param({}, None, "127.0.0.1"),
]


@pytest.mark.parametrize(("check", "name", "host"), NAMES)
def test_the_name_is_in_sni_and_host(
    folder: Path, check: dict[str, str], name: str | None, host: str
) -> None:
    names: list[str | None] = []
    seen: list[str] = []
    context = server_side(folder, lambda _: None)
    context.sni_callback = lambda _, said, __: names.append(said)

    async def once() -> Result:
        async with serving(answering(page("ok"), seen), tls=context) as port:
            written = {key: value.format(port=port) for key, value in check.items()}
            return await run(http_target(port, service="https", **written))

    result = asyncio.run(once())
    assert result.passed, result.reason
    assert names == [name]
    assert f"Host: {host}\r\n" in seen[0]


async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


BROKEN = [
    pytest.param(resetting, "TLS handshake failed: connection reset by peer", id="reset"),
    pytest.param(closing, "TLS handshake failed: connection ", id="closed"),
    pytest.param(answering(b""), "TLS", id="closed after more"),
]


@pytest.mark.parametrize(("handler", "reason"), BROKEN)
def test_a_handshake_that_fails_is_named(handler: Handler, reason: str) -> None:
    async def once() -> Result:
        async with serving(handler) as port:
            return await run(http_target(port, service="https"), limit_s=1)

    result = asyncio.run(once())
    assert not result.passed
    assert result.reason.startswith((reason, "no answer"))


@pytest.mark.parametrize("service", ["imaps", "pops", "ldaps"])
def test_no_reason_is_the_name_of_an_exception(service: str) -> None:
    async def once() -> Result:
        async with serving(resetting) as port:
            return await run(http_target(port, service=service), limit_s=10)

    result = asyncio.run(once())
    assert (result.passed, "Error" in result.reason) == (False, False), result.reason


def refused_by(context: ssl.SSLContext) -> Result:
    """By a server of a thread: that of asyncio does not send the alert that says why."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with (
                contextlib.suppress(OSError),
                context.wrap_socket(connection, server_side=True) as wrapped,
            ):
                wrapped.read()

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        result = asyncio.run(run(http_target(port, service="https"), limit_s=10))
        thread.join()
    return result


def test_no_cipher_in_common_is_named(folder: Path) -> None:
    """The key of the server is of another kind than those that its ciphers sign with."""
    result = refused_by(server_side(folder, cipher("ECDHE-ECDSA-AES128-SHA")))
    assert not result.passed
    assert result.reason.startswith("TLS: ")
    assert "HANDSHAKE_FAILURE" in result.reason


def test_a_certificate_of_the_clients_that_must_be_there_is_named(folder: Path) -> None:
    def required(context: ssl.SSLContext) -> None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(folder / "usual.pem")

    result = refused_by(server_side(folder, required))
    assert not result.passed
    assert "CERTIFICATE_REQUIRED" in result.reason


def test_who_verifies_is_as_strict_as_the_system(folder: Path) -> None:
    context = server_side(folder, lambda _: None)
    result = asked(context, answering(page("ok")), verify_cert=True)
    assert (result.passed, result.reason) == (False, "TLS: self-signed certificate")
