"""Servers: two thousand web servers that are one program, and the clients of their services.

    python -m bench.scale_servers INTERFACE MAC VIP FRAMES_A_SECOND

Answers HTTP on every address of its namespace, sends frames to the VIP at a steady pace, and at
SIGTERM says in one line of JSON how regularly each address was asked. Says "ready" when it listens.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import struct
import sys
import time
from ipaddress import IPv4Address
from typing import cast

PORT = 80
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
_CLIENT = IPv4Address("10.3.0.1")
_FLOWS = 1000
_BATCH_S = 0.01


class Book:
    """When each address was asked."""

    def __init__(self) -> None:
        self.last_s: dict[str, float] = {}
        self.gaps_s: list[float] = []

    def asked(self, address: str) -> None:
        now_s = time.monotonic()
        if address in self.last_s:
            self.gaps_s.append(now_s - self.last_s[address])
        self.last_s[address] = now_s


class Page(asyncio.Protocol):
    """One answer a connection."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._book.asked(transport.get_extra_info("sockname")[0])

    def data_received(self, data: bytes) -> None:
        self._transport.write(PAGE)
        self._transport.close()


def frames(mac: bytes, vip: IPv4Address) -> list[bytes]:
    """The first segment of each of a thousand connections, which is then sent again and again."""
    ethernet = mac + bytes.fromhex("020000000001") + b"\x08\x00"
    made = []
    for port in range(10_000, 10_000 + _FLOWS):
        tcp = struct.pack("!HHIIBBHHH", port, PORT, 1, 0, 5 << 4, 2, 8192, 0, 0)
        made.append(ethernet + _ip_header(vip, 20 + len(tcp)) + tcp + bytes(6))
    return made


def _ip_header(vip: IPv4Address, length: int) -> bytes:
    parts = [0x4500, length, 0, 0x4000, 64 << 8 | 6, 0, *_halves(_CLIENT), *_halves(vip)]
    total = sum(parts)
    parts[5] = ~(total + (total >> 16)) & 0xFFFF  # RFC 1071
    return struct.pack("!10H", *parts)


def _halves(address: IPv4Address) -> tuple[int, int]:
    return int(address) >> 16, int(address) & 0xFFFF


async def send_for_ever(interface: str, todo: list[bytes], a_second: int) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((interface, 0))
        sent, began_s = 0, time.monotonic()
        while True:
            due = int((time.monotonic() - began_s) * a_second)
            for number in range(sent, due):
                out.send(todo[number % len(todo)])
            sent = due
            await asyncio.sleep(_BATCH_S)


async def serve(interface: str, mac: str, vip: str, a_second: str) -> None:
    loop, book, over = asyncio.get_running_loop(), Book(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    # SIGUSR1: what was until now was the beginning, and does not count.
    loop.add_signal_handler(signal.SIGUSR1, book.gaps_s.clear)
    await loop.create_server(lambda: Page(book), "0.0.0.0", PORT, backlog=4096)
    print("ready", flush=True)
    todo = frames(bytes.fromhex(mac), IPv4Address(vip))
    sending = asyncio.create_task(send_for_ever(interface, todo, int(a_second)))
    await over.wait()
    sending.cancel()
    print(json.dumps({"addresses": len(book.last_s), "gaps_s": sorted(book.gaps_s)}), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
