"""DNS: a question to the real server itself, over UDP or, with protocol=tcp, TCP.

Of dnspython only the messages are used, and of this host's resolv.conf only the search list.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from ipaddress import ip_address
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.resolver
import dns.reversename

from dr_forwarder.checks import datagram, receive
from dr_forwarder.checks.dialogue import dialogue
from dr_forwarder.checks.model import CheckError, Target

_AGAIN_S: Final = 2.0
_ALIKE: Final = {"A": {"A", "PTR"}, "PTR": {"A", "PTR"}}


async def check(target: Target) -> str:
    """Passes when the answer has a record of `dnstype` in which `receive`, if any, is found."""
    name, kind = _question(target)
    for question in _questions(name, kind):
        response = await _ask(target, question)
        if records := _records(response, kind):
            return f"{name} {kind} {await _wanted(target, records, where=f'{name} {kind}')}"
    raise CheckError(_lack(response, name, kind))


def _questions(name: str, kind: str) -> tuple[dns.message.Message, ...]:
    """One, or for a relative name one for each domain that this host looks in (resolv.conf(5)).

    They are plain: what else resolv.conf says, EDNS for one, is for the servers named there.
    """
    try:
        asked = dns.name.from_text(name, None)
        names = [asked] if asked.is_absolute() else [*_looked_for(asked)]
        return tuple(dns.message.make_query(each, kind) for each in names)
    except Exception as error:
        # The library names no errors for all that is no name.
        raise CheckError(f"{name}: {type(error).__name__}: {error}") from error


def _looked_for(name: dns.name.Name) -> Iterator[dns.name.Name]:
    try:
        host = dns.resolver.Resolver()
    except dns.resolver.NoResolverConfiguration:
        host = dns.resolver.Resolver(configure=False)
    own = name.derelativize(dns.name.root)
    ndots = 1 if host.ndots is None else host.ndots
    if len(name.labels) > ndots:
        yield own
    for suffix in host.search or [host.domain]:
        if suffix != dns.name.root:
            yield name.concatenate(suffix)
    if len(name.labels) <= ndots:
        yield own


async def _ask(target: Target, question: dns.message.Message) -> dns.message.Message:
    """The answer; over TCP if it does not fit into a datagram."""
    read = partial(_response, question)
    wire = question.to_wire()
    if target.protocol != "tcp":
        response = await datagram.ask(target, wire, every_s=_AGAIN_S, judge=read)
        if not response.flags & dns.flags.TC:
            return response
    async with dialogue(target) as server:
        await server.send(len(wire).to_bytes(2) + wire)
        heard = read(await server.hear_bytes(int.from_bytes(await server.hear_bytes(2))))
    if heard is None:
        raise CheckError("no usable answer: to another question")
    return heard


def _response(question: dns.message.Message, data: bytes) -> dns.message.Message | None:
    """What a message says; None for an answer to another question."""
    try:
        # ldirectord's library does not mind what stands behind a message either.
        response = dns.message.from_wire(data, ignore_trailing=True)
    except Exception as error:
        # Nor for all that it cannot read.
        raise CheckError(f"no usable answer: {error or type(error).__name__}") from error
    return response if question.is_response(response) else None


def _lack(response: dns.message.Message, name: str, kind: str) -> str:
    match response.rcode():
        case dns.rcode.NOERROR:
            return f"{name} has no {kind} record"
        case dns.rcode.NXDOMAIN:
            return f"{name}: no such name"
        case rcode:
            return f"no usable answer: {dns.rcode.to_text(rcode)}"


def _records(response: dns.message.Message, kind: str) -> list[dns.rdata.Rdata]:
    """Of this kind, in the answer of whatever name: aliases lead to others. ldirectord looks at
    an address and at a pointer whichever was asked for.
    """
    wanted = {dns.rdatatype.from_text(each) for each in _ALIKE.get(kind, {kind})}
    return [record for rrset in response.answer if rrset.rdtype in wanted for record in rrset]


async def _wanted(target: Target, records: list[dns.rdata.Rdata], *, where: str) -> str:
    """The first record in which `receive` is found: each is looked at by itself, because their
    order changes. Raises CheckError for none.
    """
    wanted, patience = target.check.receive, receive.Patience()
    for record in records:
        for text in _texts(record):
            if not wanted or await receive.found(wanted, text, patience=patience):
                return record.to_text()
    raise CheckError(f"{where} lacks {receive.shown(wanted)}")


def _texts(record: dns.rdata.Rdata) -> Iterator[str | bytes]:
    """How a record may be written: ldirectord's names end without a dot, and a long text is in
    pieces that are one to whoever reads it.
    """
    written = record.to_text()
    yield written
    if written.endswith("."):
        yield written[:-1]
    if isinstance(strings := getattr(record, "strings", None), tuple):
        yield b"".join(strings)


def _question(target: Target) -> tuple[str, str]:
    """What is asked: an address is asked for its name, a name for its address."""
    name = target.check.request.removeprefix("/") or "."
    kind = target.check.dns_type
    try:
        return dns.reversename.from_address(str(ip_address(name))).to_text(), kind or "PTR"
    except ValueError:
        # IPv6 servers are asked for A records too, as ldirectord does.
        return name, kind or "A"
