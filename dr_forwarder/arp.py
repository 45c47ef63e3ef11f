"""ARP (RFC 826) as bytes: what the director sends and hears besides answering for its VIPs. Pure.

The core answers questions for VIPs; here are the questions to real servers and the gratuitous
announcements.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

BROADCAST = b"\xff" * 6
_ETHERNET = struct.Struct("!6s6sH")
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_ETHERTYPE_ARP = 0x0806
_FIXED = (1, 0x0800, 6, 4)
_REQUEST, _REPLY = 1, 2
_MINIMUM = 60
"""Of an Ethernet frame, without its checksum."""


@dataclass(frozen=True, slots=True)
class Packet:
    """An ARP packet for IPv4 over Ethernet."""

    is_request: bool
    sender_mac: bytes
    sender: IPv4Address
    target: IPv4Address


def parse(frame: bytes) -> Packet | None:
    """The ARP packet in a frame; None when it is something else."""
    if len(frame) < _ETHERNET.size + _ARP.size:
        return None
    if _ETHERNET.unpack_from(frame)[2] != _ETHERTYPE_ARP:
        return None
    *fixed, operation, sender_mac, sender, _, target = _ARP.unpack_from(frame, _ETHERNET.size)
    if tuple(fixed) != _FIXED or operation not in (_REQUEST, _REPLY):
        return None
    if sender_mac[0] & 1 or not any(sender_mac):
        return None  # a group's, or nobody's
    return Packet(operation == _REQUEST, sender_mac, IPv4Address(sender), IPv4Address(target))


def request(
    target: IPv4Address, *, sender: IPv4Address, sender_mac: bytes, to: bytes = BROADCAST
) -> bytes:
    """A frame that asks who has ``target``."""
    return _frame(to, sender_mac, sender, target)


def probe(address: IPv4Address, *, mac: bytes) -> bytes:
    """A frame that asks whether anybody has ``address`` (RFC 5227 section 2.1.1)."""
    return _frame(BROADCAST, mac, IPv4Address(0), address)


def gratuitous(vip: IPv4Address, *, mac: bytes) -> bytes:
    """A frame that tells everybody that ``vip`` is at ``mac`` (RFC 5944 section 4.6)."""
    return _frame(BROADCAST, mac, vip, vip)


def _frame(to: bytes, sender_mac: bytes, sender: IPv4Address, target: IPv4Address) -> bytes:
    frame = _ETHERNET.pack(to, sender_mac, _ETHERTYPE_ARP) + _ARP.pack(
        *_FIXED, _REQUEST, sender_mac, sender.packed, bytes(6), target.packed
    )
    return frame.ljust(_MINIMUM, b"\0")
