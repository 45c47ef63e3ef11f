"""Services whose servers speak in lines: what odd but working ones say, in whatever bytes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from servers import Handler, serving, verdict
from test_services import service_target

from dr_forwarder.checks import Result, run

CLOSES = b"(closes)"
Answers = dict[bytes, bytes]


def talking(greeting: bytes, answers: Answers, heard: list[bytes] | None = None) -> Handler:
    """Greets and then answers by a line's beginning; what it does not know it leaves unanswered."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        while line := await reader.readline():
            if heard is not None:
                heard.append(line)
            known = [answer for begin, answer in answers.items() if line.upper().startswith(begin)]
            if CLOSES in known:
                return
            writer.write(b"".join(known[:1]))

    return handle


EHLO: Answers = {b"EHLO": b"250-mx\r\n250 8BITMIME\r\n"}
BYE: Answers = {b"QUIT": b"221 bye\r\n"}
LOGS_IN: Answers = {
    b"USER": b"331 password\r\n",
    b"PASS": b"230-Welcome\r\n  to the\r\n230 server\r\n",
    b"CWD": b"250 ok\r\n",
}
PASSES: dict[str, tuple[str, bytes, Answers]] = {
    "a mail server": ("smtp", b"220 mx\r\n", EHLO | BYE),
    "that knows HELO alone": (
        "smtp",
        b"220 mx\r\n",
        {b"EHLO": b"502 no\r\n", b"HELO": b"250 mx\r\n"} | BYE,
    ),
    "that closes at QUIT": ("smtp", b"220 mx\r\n", EHLO | {b"QUIT": CLOSES}),
    "that never answers QUIT": ("smtp", b"220 mx\r\n", EHLO),
    "that greets in Latin-1": ("smtp", b"220 Z\xfcrich\r\n", EHLO | BYE),
    "that ends lines with LF alone": ("smtp", b"220-a\n220 mx\n", {b"EHLO": b"250 mx\n"}),
    "that says digits alone": ("smtp", b"220\r\n", {b"EHLO": b"250\r\n"}),
    "that has a line without digits": ("smtp", b"220 a\r\n", {b"EHLO": b"250-a\r\nb\r\n250 c\r\n"}),
    "an FTP server": ("ftp", b"220 x\r\n", LOGS_IN | BYE),
    "that greets at length": ("ftp", b"220-Hello\r\n free text\r\n 220 no\r\n220 x\r\n", LOGS_IN),
    "that greets in Latin-1, FTP": ("ftp", b"220 Z\xfcrich\r\n", LOGS_IN | BYE),
    "that is ready in a while": ("ftp", b"120 wait\r\n220 x\r\n", LOGS_IN),
    "that asks for no password": (
        "ftp",
        b"220 x\r\n",
        {b"USER": b"230 in\r\n", b"CWD": b"250\r\n"},
    ),
    "that knows no directories": ("ftp", b"220 x\r\n", LOGS_IN | {b"CWD": b"502 no\r\n"}),
    "an IMAP server in lower case": ("imap", b"* ok hi\r\n", {b"1 LOGIN": b"1 ok in\r\n"}),
    "that has us logged in": ("imap", b"* PREAUTH \xff\r\n", {b"1 LOGIN": b"1 BAD already\r\n"}),
    "that says much besides": (
        "imap",
        b"* OK \xe4\r\n",
        {b"1 LOGIN": b"* CAPABILITY X\r\n* 1 EXISTS\r\n1 OK\r\n"},
    ),
    "a POP server in lower case": (
        "pop",
        b"+ok \xfc\r\n",
        {b"USER": b"+ok\r\n", b"PASS": b"+ok\r\n"},
    ),
    "a news server in Latin-1": ("nntp", b"200 Z\xfcrich\r\n", {}),
    "that allows no posting": ("nntp", b"201 hi\r\n", {}),
}
FAILS: dict[str, tuple[str, bytes, Answers, str]] = {
    "greets with a refusal": ("smtp", b"554 no\r\n", {}, "answered 554 no"),
    "is busy": ("smtp", b"421-so\r\n421 busy\r\n", {}, "answered 421 busy"),
    "refuses either hello": (
        "smtp",
        b"220 x\r\n",
        {b"EHLO": b"450 later\r\n", b"HELO": b"450 later\r\n"},
        "answered 450 later",
    ),
    "hangs up at EHLO": ("smtp", b"220 x\r\n", {b"EHLO": CLOSES}, "connection closed without"),
    "is another service": ("ftp", b"SSH-2.0-OpenSSH\r\n", {}, "answered 'SSH-2.0-OpenSSH'"),
    "refuses the login": ("ftp", b"220 x\r\n", {b"USER": b"530 no\r\n"}, "answered 530 no"),
    "greets for ever": (
        "ftp",
        b"220-x\r\n" * 20_000,
        {},
        "answered 220 with more than 65536 bytes",
    ),
    "greets in one endless line": ("ftp", b"220-" + b"x" * 100_000, {}, "a line of more than"),
    "says farewell": ("imap", b"* BYE x\r\n", {}, "answered '* BYE x'"),
    "is full": ("nntp", b"400 full\r\n", {}, "answered '400 full'"),
}


def result_of(service: str, handler: Handler, *, limit_s: float = 20.0, **check: object) -> Result:
    async def once() -> Result:
        async with serving(handler) as port:
            asked = service_target(service, port, address="127.0.0.1")
            fields = {"request": "/", **check}
            asked = replace(asked, check=replace(asked.check, **fields))  # type: ignore[arg-type]
            return await run(asked, limit_s=limit_s)

    return asyncio.run(once())


@pytest.mark.parametrize("name", PASSES)
def test_a_server_that_works_in_its_own_way_is_up(name: str) -> None:
    service, greeting, answers = PASSES[name]
    result = result_of(service, talking(greeting, answers))
    assert (result.passed, result.reason.isprintable()) == (True, True), result.reason


@pytest.mark.parametrize("name", FAILS)
def test_a_server_that_does_not_work_is_down_with_what_it_said(name: str) -> None:
    service, greeting, answers, reason = FAILS[name]
    result = result_of(service, talking(greeting, answers))
    assert (result.passed, reason in result.reason) == (False, True), result.reason


@pytest.mark.parametrize(
    ("service", "greeting", "answers", "last"),
    [
        ("smtp", b"220 x\r\n", EHLO, b"QUIT\r\n"),
        ("ftp", b"220 x\r\n", LOGS_IN, b"QUIT\r\n"),
        ("pop", b"+OK\r\n", {b"USER": b"+OK\r\n", b"PASS": b"+OK\r\n"}, b"QUIT\r\n"),
        ("imap", b"* OK\r\n", {b"1 LOGIN": b"1 OK\r\n"}, b"2 LOGOUT\r\n"),
        ("nntp", b"200 x\r\n", {}, b"QUIT\r\n"),
    ],
)
def test_a_check_takes_its_leave(
    service: str, greeting: bytes, answers: Answers, last: bytes
) -> None:
    heard: list[bytes] = []
    assert result_of(service, talking(greeting, answers, heard)).passed
    assert heard[-1] == last


@pytest.mark.parametrize("service", ["ftp", "imap", "pop"])
@pytest.mark.parametrize("password", ["grün", "пароль", "gr\udcfcn"], ids=["ü", "п", "Latin-1"])
def test_a_password_goes_out_in_the_bytes_of_the_file(service: str, password: str) -> None:
    heard: list[bytes] = []
    greeting = {"ftp": b"220 x\r\n", "imap": b"* OK\r\n", "pop": b"+OK\r\n"}[service]
    answers = {b"USER": b"331 +OK\r\n", b"1 LOGIN": b"1 OK\r\n"}
    if service == "pop":
        answers = {b"USER": b"+OK\r\n", b"PASS": b"+OK\r\n"}
    result_of(service, talking(greeting, LOGS_IN | answers, heard), password=password, limit_s=5)
    assert password.encode("utf-8", "surrogateescape") in b"".join(heard)


def fetching(data_port: int, answers: Answers) -> Handler:
    passive = b"227 (127,0,0,1,%d,%d)\r\n" % (data_port >> 8, data_port & 255)
    known = LOGS_IN | {b"TYPE": b"200 ok\r\n", b"PASV": passive, b"RETR": b"150 here\r\n"} | BYE
    return talking(b"220 x\r\n", known | answers)


FETCHES = [
    pytest.param(1, {"receive": "^alive"}, True, "fetched 60000 bytes of f", id="a file"),
    pytest.param(1, {"receive": "dead"}, False, "f lacks /dead/", id="another"),
    pytest.param(2000, {"receive": "alive"}, True, "fetched 1048576 bytes of f", id="120 MB"),
]


@pytest.mark.parametrize(("count", "check", "passed", "reason"), FETCHES)
def test_a_file_is_fetched_as_far_as_is_needed(
    count: int, check: dict[str, object], passed: bool, reason: str
) -> None:
    async def once() -> Result:
        async def sending(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for _ in range(count):
                writer.write(b"alive\n" * 10_000)
                await writer.drain()

        async with serving(sending) as data_port, serving(fetching(data_port, {})) as port:
            asked = service_target("ftp", port, address="127.0.0.1")
            fields = {"request": "/f", **check}
            asked = replace(asked, check=replace(asked.check, **fields))  # type: ignore[arg-type]
            return await run(asked, limit_s=20)

    result = asyncio.run(once())
    assert (result.passed, result.reason) == (passed, reason)


PASVS = [
    pytest.param({b"PASV": b"227 nothing\r\n"}, "answered 227 nothing to PASV", id="nowhere"),
    pytest.param({b"PASV": b"227 (1,2,3,4,999,9)\r\n"}, "answered 227 (1,2,3,4,999", id="beyond"),
    pytest.param({b"PASV": b"502 no\r\n", b"EPSV": b"502 no\r\n"}, "to EPSV", id="neither"),
    pytest.param({b"RETR": b"550 gone\r\n"}, "answered 550 gone", id="no file"),
]


@pytest.mark.parametrize(("answers", "reason"), PASVS)
def test_what_cannot_be_fetched_is_said(answers: Answers, reason: str) -> None:
    async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        return None

    async def once() -> Result:
        async with serving(nothing) as data_port, serving(fetching(data_port, answers)) as port:
            asked = service_target("ftp", port, address="127.0.0.1")
            return await run(replace(asked, check=replace(asked.check, request="/f")), limit_s=20)

    result = asyncio.run(once())
    assert (result.passed, reason in result.reason) == (False, True), result.reason


# ---- SIP ----


def strict_sip(port_of: Callable[[], int]) -> type[asyncio.DatagramProtocol]:
    """Answers where RFC 3261 section 18.2.2 says: the source address, the port that `Via` names;
    and knows a loop when it finds itself there.
    """

    class Strict(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport: asyncio.DatagramTransport = transport  # type: ignore[assignment]

        def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
            via = re.search(rb"^Via: SIP/2.0/UDP (\[?[^;\]]+\]?):(\d+)(.*)\r$", data, re.MULTILINE)
            assert via is not None
            assert b";branch=z9hG4bK" in via[3]
            port = int(via[2])
            status = b"482 Loop Detected" if port == port_of() else b"200 OK"
            self.transport.sendto(b"SIP/2.0 " + status + b"\r\n\r\n", (address[0], port))

    return Strict


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_strict_sip_server_finds_the_way_back(address: str) -> None:
    async def once() -> Result:
        port = 0
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            strict_sip(lambda: port), (address, 0)
        )
        port = transport.get_extra_info("sockname")[1]
        try:
            return await run(
                service_target("sip", port, protocol="udp", address=address), limit_s=20
            )
        finally:
            transport.close()

    result = asyncio.run(once())
    assert (result.passed, result.reason) == (True, "SIP/2.0 200 OK")


def test_what_keeps_a_way_open_is_no_answer_and_case_says_nothing() -> None:
    class Sociable(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport: asyncio.DatagramTransport = transport  # type: ignore[assignment]

        def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
            for said in (b"\r\n\r\n", b"sip/2.0 200 Fine\r\n\r\n"):
                self.transport.sendto(said, address)

    async def once() -> Result:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            Sociable, ("127.0.0.1", 0)
        )
        try:
            port = transport.get_extra_info("sockname")[1]
            target = service_target("sip", port, protocol="udp", address="127.0.0.1")
            return await run(target, limit_s=20)
        finally:
            transport.close()

    result = asyncio.run(once())
    assert (result.passed, result.reason) == (True, "sip/2.0 200 Fine")


def test_sip_over_tcp_names_its_own_end_too() -> None:
    seen: list[tuple[bytes, bytes]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        seen.append((request, b"%s:%d" % (b"127.0.0.1", writer.get_extra_info("peername")[1])))
        writer.write(b"SIP/2.0 200 OK\r\n\r\n")

    assert verdict(handle, service="sip").passed
    request, peer = seen[0]
    assert b"Via: SIP/2.0/TCP " + peer + b";branch=" in request
