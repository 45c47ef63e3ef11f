"""Frames of the recorded lab: made by hand with struct, and put into the recordings' words.

Sizes are the recordings': a SYN carries an MSS option, data is 18 bytes, a datagram 5.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address

DIRECTOR_MAC = bytes.fromhex("020000000002")
CLIENT_MAC = bytes.fromhex("020000000001")
DIRECTOR_ADDRESS = "10.9.0.2"
ETHERNET = 14
ARP, IPV4, IPV6 = b"\x08\x06", b"\x08\x00", b"\x86\xdd"
ICMP, TCP, UDP, FRAGMENT_HEADER, ICMPV6, SCTP = 1, 6, 17, 44, 58, 132
EXTENSIONS = frozenset({0, 43, 60})
"""IPv6 headers before the transport's: hop-by-hop, routing, destination options."""
MSS = bytes.fromhex("020405b4")
DATAGRAM = b"hello"
SIP = (5060, bytes(45))
"""To this port the lab sent messages of this size."""
LETTERS = "FSRPAUEC"  # from bit 0 on
WRITTEN = "SFRPAUEC"  # the order in which the recordings name them
BITS = {letter: 1 << bit for bit, letter in enumerate(LETTERS)}
PLACES = {CLIENT_MAC: "cl", DIRECTOR_MAC: "dir"} | {
    bytes((2, 0, 0, 0, 1, number)): f"rs{number}" for number in range(1, 6)
}


def server_mac(address: Address) -> bytes | None:
    """Of a server in the lab: 10.9.0.11 or fd00:9::11 is rs1; None for any other address."""
    number = address.packed[-1] - (10 if address.version == 4 else 0x10)
    network = "10.9.0.0" if address.version == 4 else "fd00:9::"
    if address.packed[:-1] != ip_address(network).packed[:-1] or not 1 <= number <= 5:
        return None
    return bytes((2, 0, 0, 0, 1, number))


def checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


@lru_cache(maxsize=4096)
def endpoint(text: str) -> tuple[Address, int]:
    """The address and port of ``10.1.0.1:1000`` or ``[fd00::1]:1000``."""
    host, _, port = text.rpartition(":")
    return ip_address(host.strip("[]")), int(port)


# ---- Making ----


def _ip_packet(protocol: int, source: Address, target: Address, payload: bytes) -> bytes:
    ends = source.packed + target.packed
    if source.version == 6:
        head = struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64)
        return IPV6 + head + ends + payload
    head = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(payload), 0x1234, 0x4000, 64, protocol)
    return IPV4 + head + struct.pack("!H", checksum(head + b"\0\0" + ends)) + ends + payload


def _summed(protocol: int, source: Address, target: Address, segment: bytes, at: int) -> bytes:
    pseudo = source.packed + target.packed + struct.pack("!II", len(segment), protocol)
    value = checksum(pseudo + segment)
    if protocol == UDP and value == 0:
        value = 0xFFFF  # RFC 768: 0 would say that there is none
    return segment[:at] + struct.pack("!H", value) + segment[at + 2 :]


def _from_client(protocol: int, source: Address, target: Address, segment: bytes) -> bytes:
    return DIRECTOR_MAC + CLIENT_MAC + _ip_packet(protocol, source, target, segment)


def tcp(flags: str, source: str, target: str) -> bytes:
    """``PA+18`` is 18 bytes of data, ``D`` the same, ``0`` and nothing at all are no flags."""
    letters, _, size = flags.replace("D", "PA+18").replace("0", "", flags == "0").partition("+")
    (client, client_port), (vip, port) = endpoint(source), endpoint(target)
    bits = sum(BITS[letter] for letter in letters)
    options = MSS if "S" in letters else b""
    offset = (20 + len(options)) << 2
    head = struct.pack(
        "!HHIIBBHHH", client_port, port, 1000, 0 if "S" in letters else 1, offset, bits, 64240, 0, 0
    )
    segment = head + options + bytes(int(size or 0))
    return _from_client(TCP, client, vip, _summed(TCP, client, vip, segment, 16))


def udp(source: str, target: str, payload: bytes | None = None) -> bytes:
    """A datagram of 5 bytes, unless said otherwise."""
    (client, client_port), (vip, port) = endpoint(source), endpoint(target)
    if payload is None:
        payload = SIP[1] if port == SIP[0] else DATAGRAM
    segment = struct.pack("!HHHH", client_port, port, 8 + len(payload), 0) + payload
    return _from_client(UDP, client, vip, _summed(UDP, client, vip, segment, 6))


def sctp(chunk: int, source: str, target: str) -> bytes:
    """One chunk of this type; its checksum (CRC32c, RFC 9260) is left 0: nobody looks at it."""
    (client, client_port), (vip, port) = endpoint(source), endpoint(target)
    head = struct.pack("!HHII", client_port, port, 1, 0)
    return _from_client(SCTP, client, vip, head + struct.pack("!BBH", chunk, 0, 20) + bytes(16))


# ---- Reading ----


def place(frame: bytes) -> str:
    """Who gets it, by its destination MAC address."""
    return PLACES.get(frame[:6], frame[:6].hex(":"))


def ip_end(frame: bytes) -> int:
    """Where the IP packet ends; what follows is Ethernet padding."""
    if frame[12:14] == IPV4:
        return ETHERNET + int.from_bytes(frame[16:18], "big")
    if frame[12:14] == IPV6:
        return ETHERNET + 40 + int.from_bytes(frame[18:20], "big")
    return len(frame)


def ip_header(frame: bytes) -> int:
    """The length of an IPv4 header."""
    return (frame[14] & 0x0F) * 4


def describe(frame: bytes) -> str:
    """``icmp 3/3 from 10.9.0.100``, ``tcp RA from ...``, ``arp-reply 10.9.0.100``."""
    if frame[12:14] == ARP:
        kind = {1: "request", 2: "reply"}.get(frame[21], str(frame[21]))
        return f"arp-{kind} {IPv4Address(frame[28:32])}"
    source: Address
    if frame[12:14] == IPV4:
        protocol, source, at = frame[23], IPv4Address(frame[26:30]), ETHERNET + ip_header(frame)
    elif frame[12:14] == IPV6:
        protocol, source, at = frame[20], IPv6Address(frame[22:38]), ETHERNET + 40
    else:
        return f"ethertype {frame[12:14].hex()}"
    return f"{_transport(protocol, frame[at:])} from {source}"


def _transport(protocol: int, segment: bytes) -> str:
    if protocol in (ICMP, ICMPV6):
        return f"{'icmp' if protocol == ICMP else 'icmp6'} {segment[0]}/{segment[1]}"
    if protocol == TCP:
        return "tcp " + "".join(letter for letter in WRITTEN if segment[13] & BITS[letter])
    return {UDP: "udp", SCTP: "sctp"}.get(protocol, f"protocol {protocol}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a frame: in the recordings' words, in the core's, and what was sent."""

    text: str
    verdict: str
    sent: tuple[bytes, ...] = ()


def outcome_of(sent: tuple[bytes, ...], verdict: str) -> Outcome:
    """Names what was sent after the one who got it."""
    if not sent:
        return Outcome("drop", verdict)
    who = place(sent[0])
    text = f"client gets {describe(sent[0])}" if who == "cl" else who
    return Outcome(text, verdict, sent)


def source_of(frame: bytes) -> str:
    """``[fd00::1]:1000`` of TCP or UDP in IPv6, behind what headers ever."""
    kind, at = frame[20], ETHERNET + 40
    while kind in EXTENSIONS:
        kind, at = frame[at], at + 8 * (frame[at + 1] + 1)
    return f"[{IPv6Address(frame[22:38])}]:{int.from_bytes(frame[at : at + 2], 'big')}"


def is_fragment(frame: bytes) -> bool:
    """Whether the packet is one part of a larger one."""
    if frame[12:14] == IPV4:
        return bool(int.from_bytes(frame[20:22], "big") & 0x3FFF)
    return frame[12:14] == IPV6 and frame[20:21] == bytes([FRAGMENT_HEADER])
