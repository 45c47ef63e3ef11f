"""Entry: what the options of an ipvsadm command line have said so far, read one by one. Pure.

What they make together is `parse`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from ..endpoints import Address
from ..table import HOST_MASK, Key
from . import values
from .options import UNCHECKED, Option, UsageError
from .values import Names

_DEFAULT_PERSISTENT_S = 360
_MOST_TIMEOUT_S = 31 * 24 * 60 * 60
_MOST_SIGNED = 2**31 - 1
HOST_MASK_6 = IPv6Address(2**128 - 1)
_PROTOCOLS = {"tcp-service": "tcp", "udp-service": "udp", "sctp-service": "sctp"}
_METHODS = {"gatewaying": "gate", "ipip": "ipip", "masquerading": "masq"}


@dataclass(slots=True)
class Entry:
    """What the options have said so far, in their order, which matters to some."""

    names: Names
    given: dict[str, str] = field(default_factory=dict)
    """Values of the options by their names; empty for those that take none."""
    key: Key | None = None
    mask: Address = HOST_MASK
    server: tuple[Address, int] | None = None
    method: str = "gate"
    persistent_s: int | None = None
    numbers: dict[str, int] = field(default_factory=dict)
    group: Address | None = None

    @property
    def protocol(self) -> str:
        """Whose ports a name may be of; ipvsadm has none before it has seen a service."""
        if self.key is None:
            return ""
        return "tcp" if self.key.protocol == "fwm" else self.key.protocol


def take(entry: Entry, option: Option, value: str | None) -> None:
    """One more option; raises UsageError."""
    if option.called in entry.given and option.called not in UNCHECKED:
        raise UsageError(f"multiple '{option.called}' options specified")
    if option.called not in UNCHECKED:
        entry.given[option.called] = value or ""
    if option.called in _NUMBERS:
        least, most, said = _NUMBERS[option.called]
        found = values.number(value or "", least, most)
        if found is None:
            raise UsageError(f"illegal {said} specified")
        entry.numbers[option.called] = found
    elif option.called in _READERS:
        _READERS[option.called](entry, option.word, value)


_NUMBERS: Mapping[str, tuple[int, int, str]] = {
    "weight": (0, _MOST_SIGNED, "weight"),
    "u-threshold": (0, _MOST_SIGNED, "u_threshold"),
    "l-threshold": (0, _MOST_SIGNED, "l_threshold"),
    "syncid": (0, 255, "syncid"),
    "sync-maxlen": (1, 65507, "sync-maxlen"),
    "mcast-port": (1, 65535, "mcast-port"),
    "mcast-ttl": (1, 255, "mcast-ttl"),
    "tun-port": (1, 65535, "tunnel port"),
}
"""By option: the limits, and what the message calls it."""


def _read_service(entry: Entry, word: str, value: str | None) -> None:
    text = value or ""
    if word == "fwmark-service":
        mark = values.number(text, 1, 2**32 - 1)
        if mark is None:
            raise UsageError(f"invalid fwmark value `{text}' specified")
        entry.key = Key("fwm", IPv4Address(mark), 0)
        return
    found = values.endpoint(text, _PROTOCOLS[word], entry.names)
    if found is None:
        raise UsageError("illegal virtual server address[:port] specified")
    address, port = found
    entry.key = Key(_PROTOCOLS[word], address, port or 0)
    if address.version == 6:
        entry.mask = HOST_MASK_6


def _read_ipv6(entry: Entry, word: str, value: str | None) -> None:
    if entry.key is None or entry.key.protocol != "fwm":
        raise UsageError("-6 used before -f\n")
    entry.key = Key("fwm", IPv6Address(int(entry.key.address)), 0)
    entry.mask = HOST_MASK_6


def _read_mask(entry: Entry, word: str, value: str | None) -> None:
    text = value or ""
    if entry.key is not None and entry.key.address.version == 6:
        entry.mask = values.ipv6_mask(text)
        return
    mask = entry.names.address(text)
    if mask is None:
        raise UsageError("illegal virtual server persistent mask specified")
    entry.mask = mask


def _read_persistent(entry: Entry, word: str, value: str | None) -> None:
    entry.persistent_s = _DEFAULT_PERSISTENT_S if value is None else timeout(value, least=1)


def _read_server(entry: Entry, word: str, value: str | None) -> None:
    found = values.endpoint(value or "", entry.protocol, entry.names)
    if found is None:
        raise UsageError("illegal real server address[:port] specified")
    address, port = found
    service_port = entry.key.port if entry.key is not None else 0
    entry.server = address, service_port if port is None else port


def _read_method(entry: Entry, word: str, value: str | None) -> None:
    entry.method = _METHODS[word]


def _read_group(entry: Entry, word: str, value: str | None) -> None:
    entry.group = values.multicast_group(value or "")


def _read_tunnel_type(entry: Entry, word: str, value: str | None) -> None:
    if value not in ("ipip", "gue", "gre"):
        raise UsageError("illegal tunnel type specified")


_READERS: Mapping[str, Callable[[Entry, str, str | None], None]] = {
    "service-address": _read_service,
    "ipv6": _read_ipv6,
    "netmask": _read_mask,
    "persistent": _read_persistent,
    "real-server": _read_server,
    "forwarding-method": _read_method,
    "mcast-group": _read_group,
    "tun-type": _read_tunnel_type,
}


def timeout(text: str, *, least: int) -> int:
    """Seconds; raises UsageError."""
    found = values.number(text, least, _MOST_TIMEOUT_S)
    if found is None:
        raise UsageError(f"invalid timeout value `{text}' specified")
    return found
