"""A flood of SYNs from everywhere; a program that needs nothing but Python.

    python flooding.py INTERFACE TO_MAC VIP PORT RATE SECONDS

Prints how many frames it sent. Source addresses and ports differ from frame to frame; what a port
adds to the checksum the window takes from it, so that the checksum stays right.
"""

from __future__ import annotations

import random
import socket
import struct
import sys
import time
from ipaddress import IPv4Address, IPv6Address, ip_address

_BURST = 64
_TEMPLATES = 4096
_SYN = 0x02
_PORTS = range(1024, 61024)
SOURCES4 = IPv4Address("172.16.0.0")
SOURCES6 = IPv6Address("fd99::")


def checksum(data: bytes) -> int:
    """RFC 1071."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def syn(source: IPv4Address | IPv6Address, vip: IPv4Address | IPv6Address, port: int) -> bytearray:
    """An IP packet with a SYN whose checksums are right, from port 0."""
    addresses = source.packed + vip.packed
    header = struct.pack("!HHIIBBHHH", 0, port, 1, 0, 0x50, _SYN, 0xFFFF, 0, 0)
    pseudo = addresses + struct.pack("!II", len(header), 6)
    header = header[:16] + struct.pack("!H", checksum(pseudo + header)) + header[18:]
    if vip.version == 6:
        head = struct.pack("!IHBB", 6 << 28, len(header), 6, 64)
    else:
        head = struct.pack("!BBHHHBB", 0x45, 0, 40, 0, 0x4000, 64, 6)
        head += struct.pack("!H", checksum(head + bytes(2) + addresses))
    return bytearray(head + addresses + header)


def templates(to: bytes, vip: IPv4Address | IPv6Address, port: int) -> list[bytearray]:
    """Frames of many sources, the port still 0."""
    chance = random.Random(7)
    kind = b"\x86\xdd" if vip.version == 6 else b"\x08\x00"
    base = SOURCES6 if vip.version == 6 else SOURCES4
    head = to + bytes.fromhex("0200000000aa") + kind
    sources = [base + chance.randrange(1 << 20) for _ in range(_TEMPLATES)]
    return [bytearray(head) + syn(source, vip, port) for source in sources]


def main(interface: str, to: str, vip: str, port: str, rate: str, seconds: str) -> None:
    """The program."""
    chance = random.Random(time.time_ns())
    flood = templates(bytes.fromhex(to.replace(":", "")), ip_address(vip), int(port))
    tcp_at = len(flood[0]) - 20
    sent = 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
        out.bind((interface, 0))
        began_s = time.monotonic()
        while (now_s := time.monotonic() - began_s) < float(seconds):
            due = int(now_s * int(rate)) - sent
            if due < 1:
                time.sleep(0.0005)
                continue
            for _ in range(min(due, _BURST)):
                frame, source_port = chance.choice(flood), chance.choice(_PORTS)
                struct.pack_into("!H", frame, tcp_at, source_port)
                struct.pack_into("!H", frame, tcp_at + 14, 0xFFFF - source_port)
                try:
                    out.send(frame)
                except OSError:  # no room in the interface's queue
                    time.sleep(0.001)
                sent += 1
    print(sent)


if __name__ == "__main__":
    main(*sys.argv[1:])
