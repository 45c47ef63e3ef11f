"""Values: numbers, addresses and masks as ipvsadm reads them from its command line. Pure.

Names are somebody else's knowledge: Names.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from ..endpoints import Address
from ..flags import ServiceFlag
from .options import UsageError

TYPE_CHECKING = False  # as in typing, whose import would take a quick command's time
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object

_BLANKS = " \t\n\v\f\r"
_FLAGS = {
    "flag-1": ServiceFlag.SCHEDULER_1,
    "flag-2": ServiceFlag.SCHEDULER_2,
    "flag-3": ServiceFlag.SCHEDULER_3,
    "sh-fallback": ServiceFlag.SCHEDULER_1,
    "sh-port": ServiceFlag.SCHEDULER_2,
    "mh-fallback": ServiceFlag.SCHEDULER_1,
    "mh-port": ServiceFlag.SCHEDULER_2,
}


class Names(Protocol):
    """Who knows what hosts and ports are called. None where nobody does."""

    def host(self, address: Address) -> str | None:
        """Give an address's name."""

    def port(self, number: int, protocol: str) -> str | None:
        """Give the name of a port of ``tcp``, ``udp``, ``sctp``."""

    def address(self, text: str) -> IPv4Address | None:
        """Give what inet_aton or, for a name, gethostbyname makes of it."""

    def number(self, port: str, protocol: str) -> int | None:
        """Give the number of a named port."""


def number(text: str, least: int, most: int) -> int | None:
    """A decimal number as strtol takes it, if it is within the limits."""
    digits = text.lstrip(_BLANKS)
    sign = -1 if digits.startswith("-") else 1
    digits = digits[1:] if digits[:1] in ("+", "-") else digits
    if not (digits.isascii() and digits.isdigit()):
        return None
    value = sign * int(digits)
    return value if least <= value <= most else None


def endpoint(text: str, protocol: str, names: Names) -> tuple[Address, int | None] | None:
    """``host``, ``host:port``, ``[v6]:port``: the address, and the port if there is one."""
    if not text or text.isdigit():
        return None
    port: str | None = None
    if text.startswith("["):
        text, bracket, port = text[1:].partition("]")
        if not bracket or not port.startswith(":"):
            return None
        port = port[1:]
    address: Address | None = _ipv6(text)
    if address is None:
        # What stood after a bracket counts only for IPv6.
        host, colon, port = text.rpartition(":")
        host, port = (host, port) if colon else (text, None)
        address = names.address(host)
    if address is None:
        return None
    if port is None:
        return address, None
    found = number(port, 0, 65535)
    if found is None:
        found = names.number(port, protocol)
    return None if found is None else (address, found)


def _ipv6(text: str) -> IPv6Address | None:
    try:
        return IPv6Address(text) if "%" not in text else None
    except ValueError:
        return None


def ipv6_mask(text: str) -> IPv6Address:
    """A prefix length as atoi reads it: what follows its digits does not matter."""
    digits = text.lstrip(_BLANKS).removeprefix("+")
    end = next((i for i, letter in enumerate(digits) if letter not in "0123456789"), len(digits))
    length = int(digits[:end] or 0)
    if not 1 <= length <= 128:
        raise UsageError("illegal ipv6 netmask specified")
    return IPv6Address((2**128 - 1) ^ (2 ** (128 - length) - 1))


def scheduler_flags(text: str, scheduler: str) -> ServiceFlag:
    """``sh-fallback,sh-port``."""
    flags = ServiceFlag(0)
    for name in _words(text):
        if name not in _FLAGS:
            raise UsageError(f"invalid scheduler flag `{name}'")
        if name[:2] in ("sh", "mh") and name[:2] != scheduler:
            raise UsageError(f"incompatible scheduler flag `{name}'")
        flags |= _FLAGS[name]
    return flags


def _words(text: str) -> Sequence[str]:
    return [name for name in text.split(",") if name]


def multicast_group(text: str) -> Address:
    """Of the synchronisation daemon."""
    address = _ipv6(text)
    if address is not None:
        if not address.is_multicast:
            raise UsageError(f"invalid IPv6 mcast-group `{text}'")
        return address
    try:
        group = IPv4Address(text)
    except ValueError:
        group = None
    if group is None or not group.is_multicast:
        raise UsageError(f"invalid IPv4 mcast-group `{text}'")
    return group
