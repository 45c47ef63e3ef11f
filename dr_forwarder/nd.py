"""Neighbour discovery (RFC 4861) as bytes: what the director sends and hears besides answering
for its VIPs. Pure.

The twin of `arp` for IPv6: solicitations to real servers, and the announcements of VIPs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv6Address

from .checksum import internet_checksum

_ETHERNET = struct.Struct("!6s6sH")
_IPV6 = struct.Struct("!IHBB16s16s")
_MESSAGE = struct.Struct("!BBHI16s")
_ETHERTYPE_IPV6 = 0x86DD
_ICMPV6 = 58
_HOP_LIMIT = 255
"""RFC 4861 section 7.1: anything less has passed a router and is not believed."""
_SOLICITATION, _ADVERTISEMENT = 135, 136
_SOLICITED, _OVERRIDE = 0x40000000, 0x20000000
_SOURCE_MAC, _TARGET_MAC = 1, 2
_ALL_NODES = IPv6Address("ff02::1")
_SOLICITED_NODE = IPv6Address("ff02::1:ff00:0").packed[:13]
_MULTICAST = 0xFF


@dataclass(frozen=True, slots=True)
class Packet:
    """A solicitation's sender, or an advertisement's target, and the MAC address it has."""

    address: IPv6Address
    mac: bytes
    target: IPv6Address
    is_solicitation: bool


def solicited_node(address: IPv6Address) -> IPv6Address:
    """The group that whoever has ``address`` listens to (RFC 4291 section 2.7.1)."""
    return IPv6Address(_SOLICITED_NODE + address.packed[13:])


def group_mac(group: IPv6Address) -> bytes:
    """The MAC address of a group (RFC 2464 section 7)."""
    return b"\x33\x33" + group.packed[12:]


def solicitation(
    target: IPv6Address, *, sender: IPv6Address, sender_mac: bytes, to: bytes | None = None
) -> bytes:
    """A frame that asks who has ``target``: its group, by way of the MAC address ``to`` alone if
    there is one (RFC 6085).

    The group it is in any case: the answer to a question that is not for a group leaves out the
    MAC address (RFC 4861 section 7.2.4), and so would confirm a wrong one in the cache of our
    kernel, which has the same address as the sender here. From ``::`` it is a probe whether
    anybody has it (RFC 4862 section 5.4.2).
    """
    group = solicited_node(target)
    is_probe = sender == IPv6Address(0)
    option = b"" if is_probe else struct.pack("!BB6s", _SOURCE_MAC, 1, sender_mac)
    message = _MESSAGE.pack(_SOLICITATION, 0, 0, 0, target.packed) + option
    return _frame(to or group_mac(group), sender_mac, sender, group, message)


def unsolicited(vip: IPv6Address, *, mac: bytes) -> bytes:
    """A frame that tells everybody that ``vip`` is at ``mac`` (RFC 4861 section 7.2.6)."""
    option = struct.pack("!BB6s", _TARGET_MAC, 1, mac)
    message = _MESSAGE.pack(_ADVERTISEMENT, 0, 0, _OVERRIDE, vip.packed) + option
    return _frame(group_mac(_ALL_NODES), mac, vip, _ALL_NODES, message)


def parse(frame: bytes) -> Packet | None:
    """The solicitation or advertisement in a frame that says who has which MAC address.

    None for anything else, and for what RFC 4861 sections 7.1.1 and 7.1.2 have nobody believe.
    """
    if len(frame) < _ETHERNET.size + _IPV6.size + _MESSAGE.size:
        return None
    if _ETHERNET.unpack_from(frame)[2] != _ETHERTYPE_IPV6:
        return None
    first, length, next_header, hops, source, destination = _IPV6.unpack_from(frame, _ETHERNET.size)
    message = frame[_ETHERNET.size + _IPV6.size :][:length]
    if (first >> 28, next_header, hops, len(message)) != (6, _ICMPV6, _HOP_LIMIT, length):
        return None
    if length < _MESSAGE.size or _checksum(source, destination, message) != 0:
        return None
    kind, code, _, flags, target = _MESSAGE.unpack_from(message)
    options = _options(message[_MESSAGE.size :])
    if code != 0 or options is None or target[0] == _MULTICAST:
        return None
    if kind == _SOLICITATION:
        if not _may_ask(source, destination, tells_source=_SOURCE_MAC in options):
            return None
    elif kind != _ADVERTISEMENT or (destination[0] == _MULTICAST and flags & _SOLICITED):
        return None
    is_solicitation = kind == _SOLICITATION
    # A solicited answer may leave the option out; the frame then says it.
    mac = options.get(_SOURCE_MAC if is_solicitation else _TARGET_MAC, frame[6:12])
    if mac[0] & 1 or not any(mac):
        return None  # a group's, or nobody's
    address = IPv6Address(source if is_solicitation else target)
    return Packet(address, mac, IPv6Address(target), is_solicitation)


def _may_ask(source: bytes, destination: bytes, *, tells_source: bool) -> bool:
    """Who has no address yet asks a solicited-node group, and has no MAC address to tell."""
    if any(source):
        return source[0] != _MULTICAST
    return destination.startswith(_SOLICITED_NODE) and not tells_source


def _options(options: bytes) -> dict[int, bytes] | None:
    """The link-layer addresses in them, by kind; None when one is empty, cut off, or too long."""
    found: dict[int, bytes] = {}
    while options:
        if len(options) < 2 or not 0 < options[1] * 8 <= len(options):
            return None
        if options[0] in (_SOURCE_MAC, _TARGET_MAC):
            if options[1] != 1:
                return None
            found.setdefault(options[0], options[2:8])
        options = options[options[1] * 8 :]
    return found


def _frame(
    to: bytes, sender_mac: bytes, source: IPv6Address, destination: IPv6Address, message: bytes
) -> bytes:
    checksum = _checksum(source.packed, destination.packed, message)
    message = message[:2] + checksum.to_bytes(2) + message[4:]
    header = _IPV6.pack(
        6 << 28, len(message), _ICMPV6, _HOP_LIMIT, source.packed, destination.packed
    )
    return _ETHERNET.pack(to, sender_mac, _ETHERTYPE_IPV6) + header + message


def _checksum(source: bytes, destination: bytes, message: bytes) -> int:
    """RFC 8200 section 8.1."""
    pseudo = source + destination + struct.pack("!IxxxB", len(message), _ICMPV6)
    return internet_checksum(pseudo + message)
