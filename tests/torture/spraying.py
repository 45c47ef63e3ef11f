"""Frames that nobody asked for, of every kind; a program that needs nothing but Python.

    python spraying.py KIND INTERFACE RATE SECONDS SEED TO_MAC VIP4 VIP6 PORT

Prints how many frames it sent. It gives them to the director's end of its cable, so that nobody
else on the switch is busy with them. Nobody's address is claimed but the director's own, since who
claims a client's or a server's is believed: that is ARP.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from flooding import SOURCES4, SOURCES6, checksum, syn

_BURST = 32
_TEMPLATES = 2048
_LONGEST = 1514
_BROADCAST = b"\xff" * 6
_IPV4, _IPV6, _ARP = b"\x08\x00", b"\x86\xdd", b"\x08\x06"
_ICMP, _TCP, _UDP, _ICMP6, _SCTP = 1, 6, 17, 58, 132
_NETWORK4 = IPv4Address("10.10.10.0")
_NETWORK6 = IPv6Address("fd77::")
_NEIGHBOURS = range(100, 250)
"""Few, and nobody's: each that asks a kernel has a place in its table of neighbours."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where all of it goes."""

    mac: bytes
    vip4: IPv4Address
    vip6: IPv6Address
    port: int


Make = Callable[[random.Random, Target], bytes]


def some_mac(chance: random.Random) -> bytes:
    return b"\x02\xaa" + chance.randbytes(4)


def source4(chance: random.Random) -> bytes:
    return (SOURCES4 + chance.randrange(1 << 20)).packed


def source6(chance: random.Random) -> bytes:
    return (SOURCES6 + chance.randrange(1 << 62)).packed


def ipv4(
    source: bytes, to: bytes, protocol: int, payload: bytes, *, fragment: int = 0, number: int = 1
) -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), number, fragment, 64, protocol, 0)
    head += source + to
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ipv6(source: bytes, to: bytes, following: int, payload: bytes, *, hops: int = 64) -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(payload), following, hops) + source + to + payload


def icmp6(source: bytes, to: bytes, message: bytes, *, hops: int = 255) -> bytes:
    """With its checksum, over the pseudo-header (RFC 8200 8.1)."""
    pseudo = source + to + struct.pack("!II", len(message), _ICMP6)
    message = message[:2] + struct.pack("!H", checksum(pseudo + message)) + message[4:]
    return ipv6(source, to, _ICMP6, message, hops=hops)


def to_us(chance: random.Random, target: Target, kind: bytes, packet: bytes) -> bytes:
    return target.mac + some_mac(chance) + kind + packet


# ---- What begins, or goes on with, connections ----


def syn4(chance: random.Random, target: Target) -> bytes:
    packet = syn(SOURCES4 + chance.randrange(1 << 20), target.vip4, target.port)
    return to_us(chance, target, _IPV4, with_port(chance, packet, 20))


def syn6(chance: random.Random, target: Target) -> bytes:
    packet = syn(SOURCES6 + chance.randrange(1 << 62), target.vip6, target.port)
    return to_us(chance, target, _IPV6, with_port(chance, packet, 40))


def with_port(chance: random.Random, packet: bytearray, at: int) -> bytes:
    """What a port adds to the checksum, the window loses."""
    port = chance.randrange(1024, 65000)
    struct.pack_into("!H", packet, at, port)
    struct.pack_into("!H", packet, at + 14, 0xFFFF - port)
    return bytes(packet)


def midstream(chance: random.Random, target: Target) -> bytes:
    """Of no connection, with any flags."""
    ports = struct.pack("!HH", chance.randrange(65536), target.port)
    segment = ports + chance.randbytes(8) + bytes([0x50, chance.randrange(256)])
    segment += chance.randbytes(6 + chance.randrange(64))
    if chance.random() < 0.5:
        packet = ipv4(source4(chance), target.vip4.packed, _TCP, segment)
        return to_us(chance, target, _IPV4, packet)
    packet = ipv6(source6(chance), target.vip6.packed, _TCP, segment)
    return to_us(chance, target, _IPV6, packet)


def udp_unserved(chance: random.Random, target: Target) -> bytes:
    datagram = struct.pack("!HHHH", chance.randrange(65536), chance.randrange(65536), 28, 0)
    datagram += chance.randbytes(20)
    if chance.random() < 0.5:
        packet = ipv4(source4(chance), target.vip4.packed, _UDP, datagram)
        return to_us(chance, target, _IPV4, packet)
    packet = ipv6(source6(chance), target.vip6.packed, _UDP, datagram)
    return to_us(chance, target, _IPV6, packet)


def sctp(chance: random.Random, target: Target) -> bytes:
    chunk = struct.pack("!HHII", chance.randrange(65536), target.port, 0, chance.getrandbits(32))
    chunk += bytes([chance.randrange(16), 0, 0, 20]) + chance.randbytes(16)
    packet = ipv4(source4(chance), target.vip4.packed, _SCTP, chunk)
    return to_us(chance, target, _IPV4, packet)


# ---- Fragments ----


def fragments4(chance: random.Random, target: Target) -> bytes:
    """First ones without later ones, later ones without a first, and such as overlap."""
    offset = chance.choice((0, 0, 1, 3, 185, 8191))
    more = 0x2000 if offset == 0 or chance.random() < 0.5 else 0
    payload = struct.pack("!HH", chance.randrange(65536), target.port) + chance.randbytes(60)
    packet = ipv4(
        *(source4(chance), target.vip4.packed, chance.choice((_TCP, _UDP)), payload),
        fragment=more | offset,
        number=chance.randrange(65536),
    )
    return to_us(chance, target, _IPV4, packet)


def fragments6(chance: random.Random, target: Target) -> bytes:
    offset = chance.choice((0, 0, 1, 3, 185, 8191))
    following = chance.choice((_TCP, _UDP, _ICMP6, 44, 60))
    word = offset << 3 | chance.randrange(2)
    extension = struct.pack("!BBHI", following, 0, word, chance.getrandbits(32))
    payload = struct.pack("!HH", chance.randrange(65536), target.port) + chance.randbytes(60)
    packet = ipv6(source6(chance), target.vip6.packed, 44, extension + payload)
    return to_us(chance, target, _IPV6, packet)


# ---- ICMP ----


def icmp_errors(chance: random.Random, target: Target) -> bytes:
    """About packets that a server never sent, and echo requests among them."""
    client = source4(chance)
    ports = struct.pack("!HHI", target.port, chance.randrange(65536), 0)
    quoted = ipv4(target.vip4.packed, client, chance.choice((_TCP, _UDP, _ICMP)), ports)
    head = struct.pack("!BBHI", chance.choice((3, 3, 3, 5, 8, 11, 12)), chance.randrange(16), 0, 0)
    message = head + quoted[: chance.choice((8, 20, 28, 28, 28))]
    message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
    return to_us(chance, target, _IPV4, ipv4(client, target.vip4.packed, _ICMP, message))


def icmp6_errors(chance: random.Random, target: Target) -> bytes:
    client = source6(chance)
    ports = struct.pack("!HHI", target.port, chance.randrange(65536), 0)
    quoted = ipv6(target.vip6.packed, client, chance.choice((_TCP, _UDP, _ICMP6)), ports)
    head = struct.pack("!BBHI", chance.choice((1, 1, 2, 3, 4, 128)), chance.randrange(8), 0, 1280)
    message = head + quoted[: chance.choice((8, 40, 48, 48))]
    return to_us(chance, target, _IPV6, icmp6(client, target.vip6.packed, message))


# ---- ARP and neighbour discovery ----


def arp(chance: random.Random, target: Target) -> bytes:
    """Questions for the VIP and for others, answers nobody asked for, and what is no ARP at all."""
    mac = chance.choice((some_mac(chance), target.mac))
    sender = (_NETWORK4 + chance.choice(_NEIGHBOURS)).packed
    asked = (_NETWORK4 + chance.choice((60, 60, 61, *_NEIGHBOURS))).packed
    operation = chance.choice((1, 1, 1, 2, 2, 0, 3, 65535))
    packet = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    packet += mac + sender + bytes(6) + asked
    to = chance.choice((_BROADCAST, target.mac))
    packet = packet[: chance.choice((28, 28, 28, 28, 27, 8, 0))] + bytes(chance.randrange(20))
    return to + mac + _ARP + packet


def nd(chance: random.Random, target: Target) -> bytes:
    """Solicitations, advertisements, with and without options, some with lengths of 0."""
    mac = chance.choice((some_mac(chance), target.mac))
    sender = (_NETWORK6 + (0x7700 + chance.choice(_NEIGHBOURS))).packed
    sender = chance.choice((sender, sender, bytes(16)))
    asked = chance.choice((target.vip6.packed, target.vip6.packed, source6(chance)))
    kind = chance.choice((135, 135, 135, 136, 134, 137, 133))
    option = bytes([chance.choice((1, 2, 14)), chance.choice((1, 1, 1, 0, 9))]) + mac
    message = struct.pack("!BBHI", kind, 0, 0, chance.getrandbits(32)) + asked
    message += option * chance.choice((0, 1, 1, 3))
    group = bytes.fromhex("ff0200000000000000000001ff") + asked[13:]
    to, to_mac = chance.choice(
        ((group, b"\x33\x33" + group[12:]), (target.vip6.packed, target.mac))
    )
    packet = icmp6(sender, to, message, hops=chance.choice((255, 255, 255, 64)))
    return to_mac + mac + _IPV6 + packet


def looped(chance: random.Random, target: Target) -> bytes:
    """What the director said to all, come back to it."""
    announced = target.mac + target.vip4.packed
    packet = struct.pack("!HHBBH", 1, 0x0800, 6, 4, chance.choice((1, 2))) + announced * 2
    if chance.random() < 0.7:
        return _BROADCAST + target.mac + _ARP + packet
    segment = bytes(syn(SOURCES4 + chance.randrange(1 << 20), target.vip4, target.port))
    return _BROADCAST + target.mac + _IPV4 + segment


# ---- Garbage ----


def garbage(chance: random.Random, target: Target) -> bytes:
    """Any bytes behind any type, of any length."""
    kinds = (_IPV4, _IPV6, _ARP, b"\x81\x00\x00\x64\x08\x00", b"\x88\xa8\x00\x01\x81\x00")
    kind = chance.choice((*kinds, chance.randbytes(2)))
    to = chance.choice((target.mac, target.mac, _BROADCAST, some_mac(chance)))
    frame = to + some_mac(chance) + kind + chance.randbytes(chance.randrange(_LONGEST - 18))
    return frame[: chance.choice((14, 20, 34, _LONGEST, _LONGEST))]


def nearly(chance: random.Random, target: Target) -> bytes:
    """A good frame with a few other bytes, or without its end."""
    frame = bytearray(chance.choice(_SOUND)(chance, target))
    for _ in range(chance.randrange(1, 4)):
        frame[chance.randrange(12, len(frame))] = chance.randrange(256)
    return bytes(frame[: chance.choice((len(frame), len(frame), chance.randrange(12, len(frame))))])


_SOUND: tuple[Make, ...] = (
    *(syn4, syn6, udp_unserved, sctp, fragments4, fragments6),
    *(icmp_errors, icmp6_errors, arp, nd),
)
KINDS: dict[str, Make] = {
    each.__name__: each for each in (*_SOUND, midstream, looped, garbage, nearly)
}


def spray(interface: str, frames: list[bytes], chance: random.Random, rate: int, s: float) -> int:
    """How many were taken by the interface, which may come and go meanwhile."""
    sent = 0
    began_s = time.monotonic()
    while (left_s := s - (time.monotonic() - began_s)) > 0:
        with contextlib.suppress(OSError), _packet_socket() as out:
            out.bind((interface, 0))
            sent += _spray(out, frames, chance, rate, left_s)
        time.sleep(0.02)
    return sent


def _packet_socket() -> socket.socket:
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)


def _spray(
    out: socket.socket, frames: list[bytes], chance: random.Random, rate: int, s: float
) -> int:
    sent = tried = 0
    began_s = time.monotonic()
    while (now_s := time.monotonic() - began_s) < s:
        due = int(now_s * rate) - tried
        if due < 1:
            time.sleep(0.001)
            continue
        for frame in chance.choices(frames, k=min(due, _BURST)):
            tried += 1
            try:
                sent += bool(out.send(frame))
            except BlockingIOError:
                time.sleep(0.001)
            except OSError as error:
                if error.errno != 105:  # ENOBUFS: no room in the interface's queue
                    return sent
        tried = max(tried, int(now_s * rate) - 10 * _BURST)  # what is late is not made up for
    return sent


def main(kind: str, interface: str, rate: str, seconds: str, seed: str, *to: str) -> None:
    """The program."""
    mac, vip4, vip6, port = to
    target = Target(
        bytes.fromhex(mac.replace(":", "")), IPv4Address(vip4), IPv6Address(vip6), int(port)
    )
    chance = random.Random(seed)
    frames = [KINDS[kind](chance, target) for _ in range(_TEMPLATES)]
    print(spray(interface, frames, chance, int(rate), float(seconds)))


if __name__ == "__main__":
    main(*sys.argv[1:])
