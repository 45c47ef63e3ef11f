"""DNS: a question to the real server itself, over UDP or, with protocol=tcp, TCP."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.message
import dns.rdata
import dns.rdatatype
import dns.resolver
import dns.reversename

from dr_forwarder.checks import receive
from dr_forwarder.checks.model import CheckError, Target

_TRY_S: Final = 2.0
_ALIKE: Final = {"A": {"A", "PTR"}, "PTR": {"A", "PTR"}}


async def check(target: Target) -> str:
    """Passes when the answer has a record of `dnstype` in which `receive`, if any, is found."""
    name, kind = _question(target)
    resolver = _resolver(target)
    try:
        answer = await resolver.resolve(
            name, kind, tcp=target.protocol == "tcp", search=True, raise_on_no_answer=False
        )
    except dns.resolver.NXDOMAIN as error:
        raise CheckError(f"{name}: no such name") from error
    except dns.resolver.NoNameservers as error:
        response, reason = _last(error)
        if response is None:
            raise reason from error
    except dns.exception.DNSException as error:
        raise CheckError(f"{name}: {error}") from error
    except Exception as error:
        # The library names no errors for all that it cannot read.
        raise CheckError(f"{name}: {type(error).__name__}: {error}") from error
    else:
        response, reason = answer.response, CheckError(f"{name} has no {kind} record")
    records = _records(response, kind)
    if not records:
        raise reason
    return f"{name} {kind} {await _wanted(target, records, where=f'{name} {kind}')}"


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
    for record in records:
        for text in _texts(record):
            try:
                await receive.require(target, text, where=where)
            except CheckError as error:
                last = error
            else:
                return text
    raise last


def _texts(record: dns.rdata.Rdata) -> Iterator[str]:
    """How a record may be written: ldirectord's names end without a dot, and a long text is in
    pieces that are one to whoever reads it.
    """
    written = record.to_text()
    yield written
    if written.endswith("."):
        yield written[:-1]
    if isinstance(strings := getattr(record, "strings", None), tuple):
        yield b"".join(strings).decode("utf-8", "replace")


def _question(target: Target) -> tuple[str, str]:
    """What is asked: an address is asked for its name, a name for its address."""
    name = target.check.request.removeprefix("/") or "."
    kind = target.check.dns_type
    try:
        return dns.reversename.from_address(str(ip_address(name))).to_text(), kind or "PTR"
    except ValueError:
        # IPv6 servers are asked for A records too, as ldirectord does.
        return name, kind or "A"


def _resolver(target: Target) -> dns.asyncresolver.Resolver:
    """The host's own, for its search list, but asking this server alone."""
    try:
        resolver = dns.asyncresolver.Resolver()
    except dns.resolver.NoResolverConfiguration:
        resolver = dns.asyncresolver.Resolver(configure=False)
    # What else resolv.conf says is for the servers in it: EDNS, for one, this one may not know.
    resolver.use_edns(False)
    resolver.rotate = False
    resolver.nameservers = [str(target.address)]
    resolver.port = target.port
    resolver.timeout = _TRY_S
    # The check's own limit ends it sooner.
    resolver.lifetime = target.check.negotiate_timeout_s + _TRY_S
    return resolver


def _last(error: dns.resolver.NoNameservers) -> tuple[dns.message.Message | None, Exception]:
    """What the one server did: ``SERVFAIL``, a garbled message, a refused connection; with its
    answer, for there are servers that say one and do the other.
    """
    errors = error.kwargs.get("errors") or [(None, None, None, "none", None)]
    reason, response = errors[-1][3], errors[-1][4]
    if isinstance(reason, OSError):
        return response, reason
    return response, CheckError(f"no usable answer: {reason}")
