"""The DNS check against an odd server: what it must not depend on, and what stock takes too."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.resolver
import dns.rrset
import pytest
from servers import PATIENCE_S, serving
from test_services import service_target

from dr_forwarder.checks import Result, run

NAME = "example.test."
Respond = Callable[[dns.message.Message, bool], None]
"""Makes something of an answer, which is over TCP or not."""


def answer_to(data: bytes, respond: Respond, *, tcp: bool) -> bytes:
    answer = dns.message.make_response(dns.message.from_wire(data))
    respond(answer, tcp)
    return answer.to_wire(max_size=65535)


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, respond: Respond) -> None:
        self._respond = respond

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.DatagramTransport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self._transport.sendto(answer_to(data, self._respond, tcp=False), address)


@contextlib.asynccontextmanager
async def dns_serving(respond: Respond) -> AsyncIterator[int]:
    """At the same port of UDP and TCP."""

    async def over_tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2))
        wire = answer_to(await reader.readexactly(length), respond, tcp=True)
        writer.write(len(wire).to_bytes(2) + wire)

    async with serving(over_tcp) as port:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Udp(respond), ("127.0.0.1", port)
        )
        try:
            yield port
        finally:
            transport.close()


def verdict(respond: Respond, **check: object) -> Result:
    async def once() -> Result:
        async with dns_serving(respond) as port:
            asked = service_target("dns", port, protocol="udp", address="127.0.0.1")
            fields = {"request": f"/{NAME}", **check}
            asked = replace(asked, check=replace(asked.check, **fields))  # type: ignore[arg-type]
            return await run(asked, limit_s=PATIENCE_S)

    return asyncio.run(once())


def records(*texts: str, kind: str = "A", name: str = NAME) -> Respond:
    def respond(answer: dns.message.Message, tcp: bool) -> None:
        answer.answer.append(dns.rrset.from_text_list(name, 60, "IN", kind, list(texts)))

    return respond


ADDRESSES = ("192.0.2.7", "192.0.2.77", "198.51.100.7")


@pytest.mark.parametrize("texts", list(itertools.permutations(ADDRESSES)))
@pytest.mark.parametrize(
    ("receive", "passed"),
    [(r"^192\.0\.2\.7$", True), (r"^198", True), (r"77$", True), (r"^192.*198", False)],
)
def test_each_record_is_looked_at_by_itself(
    texts: tuple[str, ...], receive: str, passed: bool
) -> None:
    result = verdict(records(*texts), receive=receive)
    assert result.passed is passed, result.reason


def alias(answer: dns.message.Message, tcp: bool) -> None:
    records("www.example.test.", kind="CNAME")(answer, tcp)
    records("192.0.2.7", name="www.example.test.")(answer, tcp)


def alias_of_others(answer: dns.message.Message, tcp: bool) -> None:
    """The alias is not told of: only the address it leads to."""
    records("192.0.2.7", name="elsewhere.test.")(answer, tcp)


def failing(answer: dns.message.Message, tcp: bool) -> None:
    records("192.0.2.7")(answer, tcp)
    answer.set_rcode(dns.rcode.SERVFAIL)


def truncated(answer: dns.message.Message, tcp: bool) -> None:
    if tcp:
        records("192.0.2.7")(answer, tcp)
    else:
        answer.flags |= dns.flags.TC


def refusing(answer: dns.message.Message, tcp: bool) -> None:
    answer.set_rcode(dns.rcode.REFUSED)


LONG = f'"{"a" * 200}" "{"b" * 200}"'
TAKEN = [
    pytest.param(alias, {"receive": r"^192\.0\.2\.7$"}, id="an alias and what it leads to"),
    pytest.param(alias_of_others, {"receive": "192"}, id="an address of another name"),
    pytest.param(failing, {"receive": "192"}, id="SERVFAIL with an answer"),
    pytest.param(truncated, {"receive": "192"}, id="an answer that is whole over TCP alone"),
    pytest.param(
        records(LONG, kind="TXT"), {"receive": "^a+b+$", "dns_type": "TXT"}, id="a text in pieces"
    ),
    pytest.param(
        records("v=spf1", "x", kind="TXT"), {"receive": "^v=spf1$", "dns_type": "TXT"}, id="a text"
    ),
    pytest.param(
        records("a.test.", kind="PTR"),
        {"receive": r"^a\.test$", "request": "/192.0.2.7"},
        id="a name without its last dot",
    ),
]


@pytest.mark.parametrize(("respond", "check"), TAKEN)
def test_what_ldirectord_takes_is_up(respond: Respond, check: dict[str, object]) -> None:
    name = "7.2.0.192.in-addr.arpa." if "request" in check else NAME
    if name != NAME:
        respond = records("a.test.", kind="PTR", name=name)
    result = verdict(respond, **check)
    assert result.passed, result.reason


def test_bytes_behind_the_answer_are_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = answer_to

    def longer(data: bytes, respond: Respond, *, tcp: bool) -> bytes:
        return exact(data, respond, tcp=tcp) + b"more"

    monkeypatch.setitem(globals(), "answer_to", longer)
    result = verdict(records("192.0.2.7"), receive="192.0.2.7")
    assert result.passed, result.reason


def test_a_server_that_refuses_is_down_with_its_word() -> None:
    result = verdict(refusing)
    assert (result.passed, "REFUSED" in result.reason) == (False, True), result.reason


def test_the_hosts_own_options_are_not_for_this_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def knows_no_edns(answer: dns.message.Message, tcp: bool) -> None:
        if answer.edns >= 0:
            answer.set_rcode(dns.rcode.FORMERR)
        else:
            records("192.0.2.7")(answer, tcp)

    read = dns.resolver.Resolver.read_resolv_conf

    def with_edns(self: dns.resolver.Resolver, f: object) -> None:
        read(self, f)
        self.use_edns(0, 0, 1232)
        self.rotate = True

    monkeypatch.setattr(dns.resolver.Resolver, "read_resolv_conf", with_edns)
    result = verdict(knows_no_edns)
    assert result.passed, result.reason


@pytest.mark.parametrize(
    ("request_", "ndots", "asked"),
    [
        ("/www", None, ["www.example.test.", "www."]),
        ("/www.sub", None, ["www.sub.", "www.sub.example.test."]),
        ("/www.sub", 2, ["www.sub.example.test.", "www.sub."]),
        ("/www.", None, ["www."]),
    ],
)
def test_a_relative_name_is_looked_for_where_this_host_looks(
    request_: str, ndots: int | None, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def knows_none(answer: dns.message.Message, tcp: bool) -> None:
        seen.append(answer.question[0].name.to_text())
        answer.set_rcode(dns.rcode.NXDOMAIN)

    def configured(self: dns.resolver.Resolver, f: object) -> None:
        self.search = [dns.name.from_text("example.test.")]
        self.ndots = ndots

    monkeypatch.setattr(dns.resolver.Resolver, "read_resolv_conf", configured)
    result = verdict(knows_none, request=request_)
    assert (result.passed, result.reason) == (False, f"{request_[1:]}: no such name")
    assert seen == asked


@pytest.mark.parametrize("name", ["bücher.test", "b\udcfccher.test", "a..b", "x" * 300, "\u0000"])
def test_a_name_of_any_script_is_asked_for_or_refused_in_one_line(name: str) -> None:
    result = verdict(refusing, request=f"/{name}")
    assert not result.passed
    assert result.reason.isprintable()
