"""Resolution: the frames of ARP and neighbour discovery behind one face. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from . import arp, nd
from .config.model import Address


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody says that an address is at a MAC address."""

    address: Address
    mac: bytes


@dataclass(frozen=True, slots=True)
class Probe:
    """Somebody asks from no address whether anybody has one."""

    address: Address
    mac: bytes


def heard(frame: bytes) -> Claim | Probe | None:
    """What a frame claims, or asks; None when it is neither ARP nor neighbour discovery."""
    packet = arp.parse(frame)
    if packet is not None:
        if packet.is_request and packet.sender == IPv4Address(0):
            return Probe(packet.target, packet.sender_mac)
        return Claim(packet.sender, packet.sender_mac)
    message = nd.parse(frame)
    if message is None:
        return None
    if message.is_solicitation and message.address == IPv6Address(0):
        return Probe(message.target, message.mac)
    return Claim(message.address, message.mac)


def question(
    target: Address, *, source: Address, source_mac: bytes, to: bytes | None = None
) -> bytes:
    """A frame that asks who has ``target``: everybody, or the MAC address ``to``."""
    if isinstance(target, IPv6Address):
        assert isinstance(source, IPv6Address)
        return nd.solicitation(target, sender=source, sender_mac=source_mac, to=to)
    assert isinstance(source, IPv4Address)
    return arp.request(target, sender=source, sender_mac=source_mac, to=to or arp.BROADCAST)


def probe(address: Address, *, mac: bytes) -> bytes:
    """A frame that asks whether anybody has ``address``, from nobody's address."""
    if isinstance(address, IPv6Address):
        return nd.solicitation(address, sender=IPv6Address(0), sender_mac=mac)
    return arp.probe(address, mac=mac)


def announcement(vip: Address, *, mac: bytes) -> bytes:
    """A frame that tells everybody that ``vip`` is at ``mac``."""
    if isinstance(vip, IPv6Address):
        return nd.unsolicited(vip, mac=mac)
    return arp.gratuitous(vip, mac=mac)
