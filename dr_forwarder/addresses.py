"""Addresses: with which MAC the VIPs are announced, and which frames are then ours. Pure.

A VIP is never an address of the director's kernel: that would answer every packet it does not know
with a RST. The director answers ARP for it in user space instead.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address

from .config.model import MacMode
from .errors import SetupError
from .interfaces import Interface

_VIRTUAL_PREFIX = bytes.fromhex("00005e0001")
"""IANA's block for IPv4 virtual routers (RFC 9568 section 7.3)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The MAC address that the VIPs have."""

    mac: bytes
    is_virtual: bool


def identity(
    mode: MacMode, interface: Interface, *, virtual_router_id: int, is_forwarding: bool
) -> Identity:
    """Chooses the MAC; raises SetupError where it could not work, with the cure.

    A macvlan hands on only frames for its own MAC address, so a virtual one never arrives there.
    With its own MAC address the kernel sees the VIPs' frames too, and with forwarding on it would
    send each a second time.
    """
    if interface.kind == "ipvlan":
        raise SetupError(
            f"{interface.name} is an ipvlan: it hands frames on by IP address, so those of a VIP"
            " never arrive; use a macvlan or a veth"
        )
    shares_mac = interface.kind == "macvlan" and interface.macvlan_mode != "passthru"
    if mode is MacMode.AUTO:
        mode = MacMode.NIC if shares_mac else MacMode.VIRTUAL
    if mode is MacMode.VIRTUAL:
        if shares_mac:
            raise SetupError(
                f"{interface.name} is a macvlan: frames for a virtual MAC address never arrive"
                " there; set mac = nic"
            )
        return Identity(_VIRTUAL_PREFIX + bytes([virtual_router_id]), is_virtual=True)
    if is_forwarding:
        raise SetupError(
            f"mac = nic with forwarding on: the kernel would forward every frame of a VIP a second"
            f" time; run: sysctl -w net.ipv4.conf.{interface.name}.forwarding=0 (or set"
            " mac = virtual, or for each VIP: ip route add blackhole VIP/32)"
        )
    return Identity(interface.mac, is_virtual=False)


def refuse_local(vips: Collection[IPv4Address], interfaces: Collection[Interface]) -> None:
    """Raises SetupError when the kernel has a VIP for an address of its own."""
    for interface in interfaces:
        for vip in vips:
            if vip in interface.addresses:
                raise SetupError(
                    f"VIP {vip} is an address of this host's kernel (on {interface.name}), which"
                    f" would answer its packets with a RST; run: ip addr del {vip} dev"
                    f" {interface.name}"
                )


# ---- The socket filter (classic BPF, Documentation/networking/filter.rst) ----

Instruction = tuple[int, int, int, int]

_LOAD_WORD, _LOAD_HALF, _LOAD_LENGTH = 0x20, 0x28, 0x80
_JUMP_EQUAL, _JUMP_GREATER, _RETURN = 0x15, 0x25, 0x06
_ALL = 0x40000
_ETHERTYPE_ARP, _ETHERTYPE_IPV4 = 0x0806, 0x0800
_MOST_VIPS = 1000
"""A filter has at most 4,096 instructions; beyond this many VIPs the core alone looks."""


def frame_filter(
    identity: Identity, vips: Collection[IPv4Address], *, limit: int, longer: bool
) -> tuple[Instruction, ...]:
    """Lets in ARP and the VIPs' frames, of at most ``limit`` bytes, or only those ``longer``.

    At a virtual MAC address everything is ours; at the interface's own only what is for a VIP, so
    that the host's other traffic is never copied.
    """
    body = [*_arp_or_mac(identity.mac)]
    if identity.is_virtual or len(vips) > _MOST_VIPS:
        body.append((_RETURN, 0, 0, _ALL))
    else:
        body += [
            (_LOAD_HALF, 0, 0, 12),
            (_JUMP_EQUAL, 1, 0, _ETHERTYPE_IPV4),
            (_RETURN, 0, 0, 0),
            (_LOAD_WORD, 0, 0, 30),
        ]
        for vip in sorted(vips):
            body += [(_JUMP_EQUAL, 0, 1, int(vip)), (_RETURN, 0, 0, _ALL)]
        body.append((_RETURN, 0, 0, 0))
    wanted = (1, 0) if longer else (0, 1)
    return ((_LOAD_LENGTH, 0, 0, 0), (_JUMP_GREATER, *wanted, limit), (_RETURN, 0, 0, 0), *body)


def _arp_or_mac(mac: bytes) -> tuple[Instruction, ...]:
    return (
        (_LOAD_HALF, 0, 0, 12),
        (_JUMP_EQUAL, 0, 1, _ETHERTYPE_ARP),
        (_RETURN, 0, 0, _ALL),
        (_LOAD_WORD, 0, 0, 2),
        (_JUMP_EQUAL, 1, 0, int.from_bytes(mac[2:])),
        (_RETURN, 0, 0, 0),
        (_LOAD_HALF, 0, 0, 0),
        (_JUMP_EQUAL, 1, 0, int.from_bytes(mac[:2])),
        (_RETURN, 0, 0, 0),
    )
