"""DNS: a question to the real server itself, over UDP or, with protocol=tcp, TCP."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
import dns.reversename

from dr_forwarder.checks import receive
from dr_forwarder.checks.model import CheckError, Target

_TRY_S: Final = 2.0


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
        raise _last(error) from error
    except dns.exception.DNSException as error:
        raise CheckError(f"{name}: {error}") from error
    records = [record.to_text() for record in answer] if answer.rrset else []
    if not records:
        raise CheckError(f"{name} has no {kind} record")
    await receive.require(target, "\n".join(records), where=f"{name} {kind}")
    return f"{name} {kind} {records[0]}"


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
    resolver.nameservers = [str(target.address)]
    resolver.port = target.port
    resolver.timeout = _TRY_S
    # The check's own limit ends it sooner.
    resolver.lifetime = target.check.negotiate_timeout_s + _TRY_S
    return resolver


def _last(error: dns.resolver.NoNameservers) -> Exception:
    """What the one server did: ``SERVFAIL``, a garbled message, a refused connection."""
    errors = error.kwargs.get("errors") or []
    last = errors[-1][3] if errors else "none"
    return last if isinstance(last, OSError) else CheckError(f"no usable answer: {last}")
