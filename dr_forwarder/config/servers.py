"""Servers: the addresses of virtual services, real servers and fallbacks. Names via the reading."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from .draft import Reading, Spare, Target, meant, short, shown
from .model import Address, Real
from .values import check_pattern

MOST_OF_A_RANGE = 4096
LARGEST_MARK = 2**32 - 1
_METHODS = ("gate", "masq", "ipip")

_HOST = r"\[[^\]\s]*\]|[A-Za-z0-9._+-]+"
_PORT = r"[A-Za-z0-9_-]+"
_VIRTUAL = re.compile(rf"({_HOST}):({_PORT})([\s,#].*)?", re.DOTALL)
_MARK = re.compile(r"([0-9]+)(?:\s+(.*))?", re.DOTALL)
_QUAD = re.compile(r"[0-9]+(?:\.[0-9]+){3}(?=\s|$)")
_SERVER = re.compile(rf"({_HOST}?)(?:->({_HOST}))?(?::({_PORT}))?")
_REST = r'(?:\s+"([^"]*)"(?:,\s*|\s+)"([^"]*)")?(?:\s+l:([0-9]+))?(?:\s+u:([0-9]+))?\s*'
_AFTER_METHOD = re.compile(rf"(?:\s+([0-9]+))?{_REST}")
# ldirectord takes the first blank and digits for the weight and drops what is before them.
_AFTER_JUNK = re.compile(rf'(?!\s+-[0-9])((?:(?!\s[0-9])[^"])+)\s+([0-9]+){_REST}')
_UPPER_FIRST = re.compile(r"(.*?)\s+u:([0-9]+)\s+l:([0-9]+)\s*", re.DOTALL)


def virtual(text: str, family: int, reading: Reading, line: int) -> Target:
    """Read what stands after ``virtual=`` (family 4) or ``virtual6=``."""
    if found := _VIRTUAL.fullmatch(text):
        host, port, rest = found.groups()
        if host.startswith("[") and family == 4:
            reading.note_strict("ldirectord wants virtual6= for an IPv6 address", line)
            family = 6
        target = Target(family, _host(host, family, reading, line), port)
    elif found := _MARK.fullmatch(text):
        mark, rest = found.groups()
        target = Target(family, fwmark=_mark(mark, reading, line))
    else:
        raise reading.error(_no_target(text), line)
    if rest and rest.strip():
        reading.dropped(rest.strip(), line)
    return target


def _mark(text: str, reading: Reading, line: int) -> int:
    if len(text.lstrip("0")) > 10 or not 1 <= int(text[-10:]) <= LARGEST_MARK:
        raise reading.error(f"firewall mark {short(text)} is not in 1..{LARGEST_MARK}", line)
    return int(text[-10:])


def _no_target(text: str) -> str:
    if found := _QUAD.match(text):
        return (
            f"virtual={found.group()} has no port, and a dotted quad is never a firewall mark:"
            f" write virtual={found.group()}:80"
        )
    if text.count(":") > 1 and not text.startswith("["):
        return f"{shown(text)}: write an IPv6 address in brackets, [2001:db8::1]:80"
    return f"{shown(text)} is no virtual service: write ADDRESS:PORT, HOST:PORT or a firewall mark"


def fallback(text: str, family: int, reading: Reading, line: int) -> Spare | None:
    """Read ``HOST[:PORT] [gate]``; None if it is left out for its method."""
    where, *words = text.split()
    if len(words) > 1:
        raise reading.error(
            f"{shown(' '.join(words[1:]))} after the method: a fallback is HOST[:PORT] [gate],"
            " its weight is always 1",
            line,
        )
    addresses, port = _addresses(where, family, reading, line)
    if len(addresses) > 1:
        raise reading.error("a fallback is one server: write HOST[:PORT] [gate]", line)
    if not reached(words[0] if words else "gate", where, reading, line):
        return None
    return Spare(addresses[0], port, line)


def reals(text: str, family: int, reading: Reading, line: int) -> tuple[Real, ...]:
    """Read what stands after ``real=``; many servers if it is a range, none if left out."""
    where, *rest = text.split(maxsplit=1)
    if not rest:
        raise reading.error(
            f"real={short(where)} does not say how the server is reached: write"
            f" {short(where)} gate",
            line,
        )
    addresses, port = _addresses(where, family, reading, line)
    method, *options = re.split(r"(?=\s)", rest[0], maxsplit=1)
    if not reached(method, where, reading, line):
        return ()
    asked = _options("".join(options), reading, line)
    return make_reals(addresses, port or 0, asked, reading, line)


def real_addresses(
    text: str, family: int, reading: Reading, line: int
) -> tuple[tuple[Address, ...], int]:
    """Read ``HOST[->HOST2][:PORT]`` alone."""
    addresses, port = _addresses(text, family, reading, line)
    return addresses, port or 0


def reached(method: str, where: str, reading: Reading, line: int) -> bool:
    """Say whether a server is reached by direct routing; no is an error unless told to skip."""
    if method not in _METHODS:
        raise reading.error(
            f"{shown(method)} is no forwarding method: write gate{meant(method, _METHODS)}", line
        )
    if method == "gate":
        return True
    if not reading.skip_unsupported:
        reason = (
            f"{short(where)} {method}: this director does direct routing only, write gate"
            " (or leave it out: --skip-unsupported)"
        )
        reading.unreachable.append(reading.error(reason, line))
        return False
    reading.note(f"{short(where)} is left out: {method} is not direct routing", line)
    return False


@dataclass(frozen=True, slots=True)
class Options:
    """What may stand after the method of a real server."""

    weight: int = 1
    request: str | None = None
    receive: str | None = None
    lower: int = 0
    upper: int = 0


def make_reals(
    addresses: tuple[Address, ...], port: int, asked: Options, reading: Reading, line: int
) -> tuple[Real, ...]:
    """Make the real servers, all alike but for their address."""
    if asked.weight > 65535:
        raise reading.error(f"weight must be in 0..65535, not {asked.weight}", line)
    if asked.lower > asked.upper:
        raise reading.error(
            f"lower threshold {asked.lower} is above upper threshold {asked.upper}", line
        )
    if asked.receive is not None:
        check_pattern("receive", asked.receive, reading, line)
    return tuple(
        Real(
            address,
            port,
            asked.weight,
            with_slash(asked.request),
            asked.receive,
            asked.lower,
            asked.upper,
            line,
        )
        for address in addresses
    )


def with_slash(request: str | None) -> str | None:
    """Give a request its leading slash."""
    return request if request is None or request.startswith("/") else "/" + request


def _options(text: str, reading: Reading, line: int) -> Options:
    if turned := _UPPER_FIRST.fullmatch(text):
        before, upper, lower = turned.groups()
        reading.note_strict("ldirectord loses u: before l:, write l: first", line)
        text = f"{before} l:{lower} u:{upper}"
    if found := _AFTER_METHOD.fullmatch(text):
        weight, request, receive, lower, upper = found.groups()
    elif found := _AFTER_JUNK.fullmatch(text):
        junk, weight, request, receive, lower, upper = found.groups()
        reading.dropped(junk.strip(), line)
    else:
        raise reading.error(_no_options(text.strip()), line)
    if request is not None and weight is None and re.search(r" [0-9]", f"{request} {receive}"):
        reading.note_strict("ldirectord takes the number in the strings for the weight", line)
    if request is not None and re.match(r"[lu]:[0-9]", request):
        reading.note(f"{shown(request)} is read as a request: thresholds have no quotes", line)
    return Options(
        1 if weight is None else _count(weight, reading, line),
        request,
        receive,
        _count(lower or "0", reading, line),
        _count(upper or "0", reading, line),
    )


def _count(text: str, reading: Reading, line: int) -> int:
    if len(text.lstrip("0")) > 9:
        raise reading.error(f"{short(text)} is too large for a real server", line)
    return int(text[-9:])


def _no_options(text: str) -> str:
    if re.match(r"-[0-9]", text):
        return f"weight must be in 0..65535, not {shown(text)}"
    if text.count('"') in (1, 2, 3):
        return f'{shown(text)}: a real server has both strings or none: write "request", "receive"'
    return (
        f"{shown(text)} says nothing after the method: write gate [WEIGHT]"
        ' ["REQUEST", "RECEIVE"] [l:N] [u:N]'
    )


def _addresses(
    text: str, family: int, reading: Reading, line: int
) -> tuple[tuple[Address, ...], int | None]:
    found = _SERVER.fullmatch(text)
    if found is None:
        hint = ", IPv6 as [2001:db8::1]:80" if text.count(":") > 1 else ""
        raise reading.error(f"{shown(text)} is no server: write HOST or HOST:PORT{hint}", line)
    first, last, service = found.groups()
    for host in (first, last or ""):
        if re.search("[_+]", host):
            reading.note_strict(f"ldirectord takes only a part of {shown(host)} for the name", line)
    port = None if service is None else reading.port(service, "", line)
    address = _host(first, family, reading, line)
    if last is None:
        return (address,), port
    return _between(address, _host(last, family, reading, line), reading, line), port


def _between(first: Address, last: Address, reading: Reading, line: int) -> tuple[Address, ...]:
    if not isinstance(first, IPv4Address) or not isinstance(last, IPv4Address):
        raise reading.error("a range of real servers is IPv4 only: write one line a server", line)
    if first > last:
        raise reading.error(
            f"the range {first}->{last} runs backwards: write the lower first", line
        )
    if int(last) - int(first) >= MOST_OF_A_RANGE:
        raise reading.error(
            f"the range {first}->{last} has {int(last) - int(first) + 1} servers,"
            f" at most {MOST_OF_A_RANGE} are read",
            line,
        )
    return tuple(IPv4Address(number) for number in range(int(first), int(last) + 1))


def _host(text: str, family: int, reading: Reading, line: int) -> Address:
    if text.startswith("["):
        address = _ipv6(text, reading, line)
    elif re.fullmatch(r"[0-9.]+", text):
        address = _ipv4(text, reading, line)
    else:
        address = reading.address(text, family, line)
    if address.version != family:
        raise reading.error(
            f"{short(text)} is IPv{address.version}, but an IPv{family} address belongs here",
            line,
        )
    if address.is_multicast or address.is_unspecified or (family == 4 and address.is_reserved):
        raise reading.error(f"{address} is not the address of one host: write a unicast one", line)
    return address


def _ipv6(text: str, reading: Reading, line: int) -> Address:
    try:
        if not re.fullmatch(r"\[[0-9A-Fa-f:]+\]", text):
            raise ValueError("only hexadecimal digits and colons")
        return IPv6Address(text[1:-1])
    except ValueError as error:
        raise reading.error(f"{shown(text)} is no IPv6 address ({error})", line) from error


def _ipv4(text: str, reading: Reading, line: int) -> Address:
    try:
        return IPv4Address(text)
    except ValueError as error:
        raise reading.error(
            f"{shown(text)} is no IPv4 address: write four numbers of 0..255 without leading zeros",
            line,
        ) from error
