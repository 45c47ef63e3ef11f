"""Addresses: with which MAC the VIPs are announced, and which frames are then ours. Pure.

A VIP is never an address of the director's kernel: that would answer every packet it does not know
with a RST. The director answers ARP for it in user space instead.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from . import nd
from .config.model import Address, MacMode
from .errors import SetupError
from .interfaces import LOOPBACK, Interface
from .vlan import UNTAGGED, Vlan

_VIRTUAL_PREFIX = bytes.fromhex("00005e0001")
"""IANA's block for IPv4 virtual routers (RFC 9568 section 7.3)."""


def virtual_mac(virtual_router_id: int) -> bytes:
    """The MAC address that an interface can have beside its own."""
    return _VIRTUAL_PREFIX + bytes([virtual_router_id])


@dataclass(frozen=True, slots=True)
class Identity:
    """The MAC address that the VIPs have."""

    mac: bytes
    is_virtual: bool


def identity(
    mode: MacMode,
    interface: Interface,
    *,
    virtual_router_id: int,
    is_forwarding: bool,
    kernel_name: str = "",
) -> Identity:
    """Chooses the MAC; raises SetupError where it could not work, with the cure.

    A macvlan hands on only frames for its own MAC address, so a virtual one never arrives there.
    With its own MAC address the kernel sees the VIPs' frames too, and with forwarding on it would
    send each a second time; it sees those of a VLAN on an interface of its own, ``kernel_name``.
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
        # A macvlan in mode passthru hands all frames to the kernel as its own.
        if interface.kind == "macvlan" and is_forwarding:
            raise SetupError(_forwarding(interface, kernel_name, "on a macvlan the kernel"))
        return Identity(virtual_mac(virtual_router_id), is_virtual=True)
    if is_forwarding:
        raise SetupError(_forwarding(interface, kernel_name, "with mac = nic the kernel"))
    return Identity(interface.mac, is_virtual=False)


def _forwarding(interface: Interface, kernel_name: str, who: str) -> str:
    # A dot in a name would be read as another level of the tree.
    name = (kernel_name or interface.name).replace(".", "/")
    other = "" if interface.kind == "macvlan" else "set mac = virtual, or "
    return (
        f"forwarding is on, and {who} would forward every frame of a VIP a second time; run:"
        f" sysctl -w net.ipv4.conf.{name}.forwarding=0 and, for IPv6, sysctl -w"
        f" net.ipv6.conf.all.forwarding=0 (or {other}for each VIP: ip route add blackhole VIP/32,"
        " ip -6 route add blackhole VIP/128)"
    )


def refuse_local(vips: Collection[Address], interfaces: Collection[Interface]) -> None:
    """Raises SetupError when the kernel has VIPs for addresses of its own, all in one."""
    found = local_vips(vips, interfaces)
    if found:
        raise SetupError("; ".join(why_local(vip, where) for vip, where in found.items()))


def local_vips(
    vips: Collection[Address],
    interfaces: Collection[Interface],
    *,
    on_loopback: Collection[Address] = (),
) -> dict[Address, Interface]:
    """VIPs that the kernel has for addresses of its own, and on which interface.

    Those ``on_loopback`` may be there, because this host is a real server of theirs.
    """
    wanted, quiet = set(vips), set(on_loopback)
    return {
        vip: interface
        for interface in interfaces
        for vip in interface.addresses
        if vip in wanted and not (interface.index == LOOPBACK and vip in quiet)
    }


def why_local(vip: Address, where: Interface) -> str:
    """What that does, and the cure."""
    return (
        f"VIP {vip} is an address of this host's kernel (on {where.name}), which"
        f" would answer its packets with a RST; run: {where.removal(vip)}"
    )


# ---- The socket filter (classic BPF, Documentation/networking/filter.rst) ----

Instruction = tuple[int, int, int, int]

_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE, _LOAD_LENGTH = 0x20, 0x28, 0x30, 0x80
_JUMP, _JUMP_EQUAL, _JUMP_GREATER, _JUMP_AT_LEAST = 0x05, 0x15, 0x25, 0x35
_RETURN, _AND = 0x06, 0x54
_OUTER_TAG, _HAS_OUTER_TAG = 0xFFFFF000 + 44, 0xFFFFF000 + 48
_IDENTIFIER = 0xFFF
_ALL = 0x40000
_ETHERTYPE_ARP, _ETHERTYPE_IPV4, _ETHERTYPE_IPV6 = 0x0806, 0x0800, 0x86DD
_ETHERTYPE_8021Q = 0x8100
_ICMPV6, _SOLICITATION, _ADVERTISEMENT = 58, 135, 136
_MOST_VIPS = 300
"""The old filter and the new one must fit into net.core.optmem_max together, which is 20,480 bytes
before Linux 6.8; beyond this many VIPs the core alone looks."""
_TO, _FROM = (30, 38), (26, 22)
"""Where a frame without tags has its addresses, of IPv4 and of IPv6."""
_IN_ARP, _IN_ND = (28, 38), (34, 74)
"""Where sender and target are in a frame without tags: of IPv6 the last four bytes of each."""
_RTM_NEWNEIGH, _NUD_REACHABLE, _NDA_DST, _AF_INET = 28, 2, 1, 2
_NEAR = 128
"""A conditional jump reaches 255 instructions."""
_FEW, _MANY = 64, 150
"""What a look for addresses may take, in instructions: in ARP in a ring's filter, and in the filter
for neighbours. Beyond, what lies between addresses that are near each other is let in too."""


NOTHING: Final[tuple[Instruction, ...]] = ((_RETURN, 0, 0, 0),)
"""Lets in no frame."""


def frame_filter(
    identity: Identity,
    vips: Collection[Address],
    *,
    limit: int,
    longer: bool,
    whole_mac: bool = False,
    vlan: Vlan = UNTAGGED,
) -> tuple[Instruction, ...]:
    """Lets in ARP and solicitations about VIPs, and their frames, up to ``limit`` bytes or those
    ``longer``.

    At a virtual MAC address everything is ours; at the interface's own only what is for a VIP, so
    that the host's other traffic is never copied, unless ``whole_mac`` says to. The kernel has
    taken the outer tag out; whether the tags are right, the core looks and counts.
    """
    tags = vlan.inline_bytes
    body = [*_arp(vips, tags), *_solicited_nodes(vips), *_at_mac(identity.mac)]
    if identity.is_virtual or whole_mac or len(vips) > _MOST_VIPS:
        body.append((_RETURN, 0, 0, _ALL))
    else:
        body += _with_vips(vips, _TO, tags)
    wanted = (1, 0) if longer else (0, 1)
    return ((_LOAD_LENGTH, 0, 0, 0), (_JUMP_GREATER, *wanted, limit), (_RETURN, 0, 0, 0), *body)


def _arp(vips: Collection[Address], tags: int) -> tuple[Instruction, ...]:
    """From or about a VIP; other ARP is dropped where it costs least."""
    values = [int(vip) for vip in vips if isinstance(vip, IPv4Address)]
    look = _either(_IN_ARP, values, tags, room=_FEW)
    return _when((_LOAD_HALF, 12 + tags, _ETHERTYPE_ARP), look)


def _solicited_nodes(vips: Collection[Address]) -> tuple[Instruction, ...]:
    """Questions for a VIP go to a group."""
    groups = {nd.group_mac(nd.solicited_node(v)) for v in vips if isinstance(v, IPv6Address)}
    if not groups:
        return ()
    last = [int.from_bytes(mac[2:]) for mac in groups]
    return _when((_LOAD_HALF, 0, 0x3333), ((_LOAD_WORD, 0, 0, 2), *_any_of(last, _MOST_VIPS)))


def _at_mac(mac: bytes) -> tuple[Instruction, ...]:
    return (
        (_LOAD_WORD, 0, 0, 2),
        (_JUMP_EQUAL, 1, 0, int.from_bytes(mac[2:])),
        (_RETURN, 0, 0, 0),
        (_LOAD_HALF, 0, 0, 0),
        (_JUMP_EQUAL, 1, 0, int.from_bytes(mac[:2])),
        (_RETURN, 0, 0, 0),
    )


def _with_vips(vips: Collection[Address], at: tuple[int, int], tags: int) -> Iterator[Instruction]:
    """An address is a VIP, and the ethertype that of its family, behind the tags.

    It is the one ``at`` these bytes, of IPv4 and of IPv6.
    """
    four = [int(vip) for vip in vips if isinstance(vip, IPv4Address)]
    six: dict[bytes, list[int]] = {}
    for vip in vips:
        if isinstance(vip, IPv6Address):
            six.setdefault(vip.packed[:12], []).append(int(vip) & 0xFFFFFFFF)
    in_four = ((_LOAD_WORD, 0, 0, at[0] + tags), *_any_of(four, _MOST_VIPS), (_RETURN, 0, 0, 0))
    yield from _when((_LOAD_HALF, 12 + tags, _ETHERTYPE_IPV4), in_four)
    yield (_JUMP_EQUAL, 1, 0, _ETHERTYPE_IPV6)
    yield (_RETURN, 0, 0, 0)
    for prefix in sorted(six):
        last = at[1] + 12 + tags
        inner: tuple[Instruction, ...] = (
            (_LOAD_WORD, 0, 0, last),
            *_any_of(six[prefix], _MOST_VIPS),
        )
        for part in (8, 4, 0):
            value = int.from_bytes(prefix[part : part + 4])
            inner = _when((_LOAD_WORD, at[1] + part + tags, value), inner)
        yield from inner
    yield (_RETURN, 0, 0, 0)


def _any_of(values: Iterable[int], room: int) -> Iterator[Instruction]:
    """Lets in when what was loaded is one of these, else goes on behind.

    Of values for which ``room`` instructions do not suffice, those that lie closest together take
    what is between them along.
    """
    left = _ranges(values)
    if sum(map(_cost, left)) > room:
        left = _joined(left, room // 2)
    while left:
        some, left = left[: _NEAR // 2], left[_NEAR // 2 :]
        to_end = sum(map(_cost, some))
        for first, last in some:
            to_end -= _cost((first, last))
            if first == last:
                yield (_JUMP_EQUAL, to_end + 1, 0, first)
            else:
                yield (_JUMP_AT_LEAST, 0, 1, first)
                yield (_JUMP_GREATER, 0, to_end + 1, last)
        yield (_JUMP, 0, 0, 1)
        yield (_RETURN, 0, 0, _ALL)


_Range = tuple[int, int]
"""The first value and the last."""


def _cost(range_: _Range) -> int:
    return 1 if range_[0] == range_[1] else 2


def _ranges(values: Iterable[int]) -> list[_Range]:
    """Values that follow each other are one."""
    found: list[_Range] = []
    for value in sorted(set(values)):
        if found and found[-1][1] == value - 1:
            found[-1] = (found[-1][0], value)
        else:
            found.append((value, value))
    return found


def _joined(ranges: Sequence[_Range], most: int) -> list[_Range]:
    """Not more than so many, with the widest gaps between them."""
    gaps = sorted(range(1, len(ranges)), key=lambda i: ranges[i - 1][1] - ranges[i][0])
    begins = [0, *sorted(gaps[: most - 1])]
    ends = [*(begin - 1 for begin in begins[1:]), len(ranges) - 1]
    return [(ranges[a][0], ranges[b][1]) for a, b in zip(begins, ends, strict=True)]


def _when(field: tuple[int, int, int], body: tuple[Instruction, ...]) -> tuple[Instruction, ...]:
    """Does the body only when the field (how to load, where, value) is equal."""
    load, where, value = field
    return ((load, 0, 0, where), *_when_loaded(value, body))


def _when_loaded(value: int, body: tuple[Instruction, ...]) -> tuple[Instruction, ...]:
    return ((_JUMP_EQUAL, 1, 0, value), (_JUMP, 0, 0, len(body)), *body)


def _in_vlan(vlan: Vlan) -> tuple[Instruction, ...]:
    """Refuses frames of any other; identifier 0 tells a priority and no VLAN."""
    outer = vlan.identifiers[0] if vlan.identifiers else 0
    own = (
        (_LOAD_HALF, 0, 0, _OUTER_TAG),
        (_AND, 0, 0, _IDENTIFIER),
        (_JUMP_EQUAL, 1, 0, outer),
        (_RETURN, 0, 0, 0),
    )
    inner = (
        (_LOAD_HALF, 0, 0, 12),
        (_JUMP_EQUAL, 1, 0, _ETHERTYPE_8021Q),
        (_RETURN, 0, 0, 0),
        (_LOAD_HALF, 0, 0, 14),
        (_AND, 0, 0, _IDENTIFIER),
        (_JUMP_EQUAL, 1, 0, vlan.identifiers[-1] if vlan.identifiers else 0),
        (_RETURN, 0, 0, 0),
    )
    without_tag = (
        ((_JUMP_EQUAL, 1, 0, 1), (_RETURN, 0, 0, 0)) if outer else ((_JUMP_EQUAL, 0, len(own), 1),)
    )
    load = (_LOAD_HALF, 0, 0, _HAS_OUTER_TAG)
    return (load, *without_tag, *own, *(inner if vlan.inline_bytes else ()))


def neighbour_filter(
    vlan: Vlan = UNTAGGED, addresses: Collection[Address] | None = None
) -> tuple[Instruction, ...]:
    """Lets in this VLAN's ARP, and ICMPv6 solicitations and advertisements without extension
    headers.

    With ``addresses``, only what is from or about one of these; of IPv6 addresses the last four
    bytes count. It is exact for 150 addresses, or 75 blocks of addresses that follow each other;
    beyond, what lies in the narrowest gaps is let in too.
    """
    tags = vlan.inline_bytes
    all_of_them = addresses is None
    four = [int(each) for each in addresses or () if isinstance(each, IPv4Address)]
    six = [int(each) & 0xFFFFFFFF for each in addresses or () if isinstance(each, IPv6Address)]
    return (
        *_in_vlan(vlan),
        (_LOAD_HALF, 0, 0, 12 + tags),
        *_when_loaded(
            _ETHERTYPE_ARP,
            ((_RETURN, 0, 0, _ALL),) if all_of_them else _either(_IN_ARP, four, tags, room=_MANY),
        ),
        (_JUMP_EQUAL, 1, 0, _ETHERTYPE_IPV6),
        (_RETURN, 0, 0, 0),
        (_LOAD_BYTE, 0, 0, 20 + tags),
        (_JUMP_EQUAL, 1, 0, _ICMPV6),
        (_RETURN, 0, 0, 0),
        (_LOAD_BYTE, 0, 0, 54 + tags),
        (_JUMP_EQUAL, 2, 0, _SOLICITATION),
        (_JUMP_EQUAL, 1, 0, _ADVERTISEMENT),
        (_RETURN, 0, 0, 0),
        *(((_RETURN, 0, 0, _ALL),) if all_of_them else _either(_IN_ND, six, tags, room=_MANY)),
    )


def _either(
    at: tuple[int, int], values: Collection[int], tags: int, *, room: int
) -> tuple[Instruction, ...]:
    """Lets in what has one of these values at one of two places, and nothing else."""
    looks = (((_LOAD_WORD, 0, 0, where + tags), *_any_of(values, room)) for where in at)
    return (*(each for look in looks for each in look), (_RETURN, 0, 0, 0))


def neighbour_events_filter(
    kernel_index: int, addresses: Collection[Address]
) -> tuple[Instruction, ...]:
    """For a netlink socket: lets in that the kernel has reached one of these by this interface.

    A header (netlink(7)), a ``struct ndmsg`` (rtnetlink(7)), both in the host's byte order, and the
    address as the first attribute. Whoever asks for this host's MAC address is a neighbour too, so
    that strangers could make any number of other events.
    """
    four = [int(each) for each in addresses if isinstance(each, IPv4Address)]
    six = [int(each) & 0xFFFFFFFF for each in addresses if isinstance(each, IPv6Address)]
    wanted = (
        (_LOAD_HALF, 4, _of_host(_RTM_NEWNEIGH, 2)),
        (_LOAD_WORD, 20, _of_host(kernel_index, 4)),
        (_LOAD_HALF, 24, _of_host(_NUD_REACHABLE, 2)),
        (_LOAD_HALF, 30, _of_host(_NDA_DST, 2)),
    )
    looks = tuple(
        each
        for load, where, value in wanted
        for each in ((load, 0, 0, where), (_JUMP_EQUAL, 1, 0, value), (_RETURN, 0, 0, 0))
    )
    refused = ((_RETURN, 0, 0, 0),)
    in_four = ((_LOAD_WORD, 0, 0, 32), *_any_of(four, 2 * _MANY), *refused)
    in_six = ((_LOAD_WORD, 0, 0, 44), *_any_of(six, 2 * _MANY), *refused)
    return (*looks, *_when((_LOAD_BYTE, 16, _AF_INET), in_four), *in_six)


def _of_host(value: int, length: int) -> int:
    """A filter loads in the network's byte order."""
    return int.from_bytes(value.to_bytes(length, sys.byteorder))


def answers_filter(
    mac: bytes, vips: Collection[Address], vlan: Vlan = UNTAGGED
) -> tuple[Instruction, ...]:
    """Lets in what comes from a VIP to the interface's own MAC address, in this VLAN.

    Beyond what a filter has room for, it is all that comes to that address.
    """
    body: tuple[Instruction, ...] = ((_RETURN, 0, 0, _ALL),)
    if len(vips) <= _MOST_VIPS:
        body = tuple(_with_vips(vips, _FROM, vlan.inline_bytes))
    return (*_in_vlan(vlan), *_at_mac(mac), *body)
