"""Segments: TCP over IPv4 or IPv6 over Ethernet, as frames (RFC 9293 section 3.1). Pure."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from ipaddress import ip_address

from ..checksum import internet_checksum
from ..config.model import Address

_ETHERNET = struct.Struct("!6s6sH")
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_IPV6 = struct.Struct("!IHBB16s16s")
_TCP = struct.Struct("!HHIIBBHHH")
_MSS = struct.Struct("!BBH")
_ETHERTYPE_IPV4, _ETHERTYPE_IPV6 = 0x0800, 0x86DD
_TCP_PROTOCOL = 6
_HOPS = 64
_DONT_FRAGMENT, _FRAGMENTED = 0x4000, 0x3FFF
_OPTION_END, _OPTION_NOTHING, _OPTION_MSS = 0, 1, 2
WINDOW = 0xFFFF
"""Bytes that we take at once; there is no window scaling."""
DEFAULT_MSS = 536
"""Of who does not tell it, section 3.7.1."""


class Flag(enum.IntFlag):
    """Control bits."""

    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    PSH = 0x08
    ACK = 0x10


@dataclass(frozen=True, slots=True)
class Ends:
    """Who sends to whom."""

    source_mac: bytes
    destination_mac: bytes
    source: Address
    destination: Address
    source_port: int
    destination_port: int


@dataclass(frozen=True, slots=True)
class Segment:
    """What one end says to the other."""

    sequence: int
    acknowledgement: int
    flags: Flag
    data: bytes = b""
    window: int = WINDOW
    mss: int = 0
    """The longest data that the sender takes, which goes with SYN; 0 where it is not told."""


def header_bytes(version: int) -> int:
    """What is around the data of a segment in an IP packet of this version."""
    return (_IPV4 if version == 4 else _IPV6).size + _TCP.size


def frame(ends: Ends, segment: Segment) -> bytes:
    """The segment with all around it."""
    option = _MSS.pack(_OPTION_MSS, _MSS.size, segment.mss) if segment.mss else b""
    blank = _tcp(ends, segment, option, checksum=0)
    pseudo = ends.source.packed + ends.destination.packed
    # One pseudo header does for both: 0s add nothing (RFC 9293 section 3.1, RFC 8200 section 8.1).
    pseudo += struct.pack("!II", len(blank), _TCP_PROTOCOL)
    message = _tcp(ends, segment, option, checksum=internet_checksum(pseudo + blank))
    is_ipv4 = ends.destination.version == 4
    header = _ipv4(ends, len(message)) if is_ipv4 else _ipv6(ends, len(message))
    ethertype = _ETHERTYPE_IPV4 if is_ipv4 else _ETHERTYPE_IPV6
    return _ETHERNET.pack(ends.destination_mac, ends.source_mac, ethertype) + header + message


def _tcp(ends: Ends, segment: Segment, option: bytes, *, checksum: int) -> bytes:
    header = _TCP.pack(
        ends.source_port,
        ends.destination_port,
        segment.sequence,
        segment.acknowledgement,
        (_TCP.size + len(option)) // 4 << 4,
        segment.flags,
        segment.window,
        checksum,
        0,
    )
    return header + option + segment.data


def _ipv4(ends: Ends, length: int) -> bytes:
    fields = (_IPV4.size + length, 0, _DONT_FRAGMENT, _HOPS, _TCP_PROTOCOL)
    addresses = (ends.source.packed, ends.destination.packed)
    checksum = internet_checksum(_IPV4.pack(0x45, 0, *fields, 0, *addresses))
    return _IPV4.pack(0x45, 0, *fields, checksum, *addresses)


def _ipv6(ends: Ends, length: int) -> bytes:
    addresses = (ends.source.packed, ends.destination.packed)
    return _IPV6.pack(6 << 28, length, _TCP_PROTOCOL, _HOPS, *addresses)


def parse(data: bytes) -> tuple[Ends, Segment] | None:
    """What an untagged frame says; None when it is no TCP segment, or a fragment of one.

    Checksums are not looked at: the other end of a veth, and a network card with offloads, hand
    over frames whose checksum is not made yet.
    """
    if len(data) < _ETHERNET.size:
        return None
    destination_mac, source_mac, ethertype = _ETHERNET.unpack_from(data)
    packet = data[_ETHERNET.size :]
    found = {_ETHERTYPE_IPV4: _of_ipv4, _ETHERTYPE_IPV6: _of_ipv6}.get(ethertype, _of_nothing)
    addresses, message = found(packet)
    if len(message) < _TCP.size:
        return None
    source_port, destination_port, *rest = _TCP.unpack_from(message)
    sequence, acknowledgement, offset, flags, window, _, _ = rest
    header = (offset >> 4) * 4
    if not _TCP.size <= header <= len(message):
        return None
    source, destination = (ip_address(each) for each in addresses)
    ends = Ends(source_mac, destination_mac, source, destination, source_port, destination_port)
    mss = _mss(message[_TCP.size : header])
    # The bits that we do not know are nobody's business here.
    known = Flag(flags & 0x1F)
    return ends, Segment(sequence, acknowledgement, known, message[header:], window, mss)


_NOTHING: tuple[tuple[bytes, ...], bytes] = ((), b"")


def _of_nothing(_: bytes) -> tuple[tuple[bytes, ...], bytes]:
    return _NOTHING


def _of_ipv4(packet: bytes) -> tuple[tuple[bytes, ...], bytes]:
    if len(packet) < _IPV4.size:
        return _NOTHING
    version, _, length, _, fragment, _, protocol, _, *addresses = _IPV4.unpack_from(packet)
    header = (version & 0x0F) * 4
    if version >> 4 != 4 or protocol != _TCP_PROTOCOL or fragment & _FRAGMENTED:
        return _NOTHING
    if not _IPV4.size <= header <= length <= len(packet):
        return _NOTHING
    return tuple(addresses), packet[header:length]


def _of_ipv6(packet: bytes) -> tuple[tuple[bytes, ...], bytes]:
    if len(packet) < _IPV6.size:
        return _NOTHING
    version, length, protocol, _, *addresses = _IPV6.unpack_from(packet)
    if version >> 28 != 6 or protocol != _TCP_PROTOCOL or len(packet) < _IPV6.size + length:
        return _NOTHING
    return tuple(addresses), packet[_IPV6.size : _IPV6.size + length]


def _mss(options: bytes) -> int:
    while options and options[0] != _OPTION_END:
        if options[0] == _OPTION_NOTHING:
            options = options[1:]
            continue
        if len(options) < 2 or options[1] < 2 or len(options) < options[1]:
            return 0
        if options[0] == _OPTION_MSS and options[1] == _MSS.size:
            return int.from_bytes(options[2:4])
        options = options[options[1] :]
    return 0
