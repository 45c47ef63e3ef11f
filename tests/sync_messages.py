"""Synchronisation messages put together by hand, after kernel IPVS's layout."""

from __future__ import annotations

import struct
from ipaddress import IPv6Address

ESTABLISHED, FIN_WAIT = 1, 4
ACTIVE, INACTIVE, TEMPLATE = 0x83, 0x183, 0x1183


def connection(
    *,
    protocol: int = 6,
    state: int = ESTABLISHED,
    flags: int = ACTIVE,
    port: int = 1000,
    server: int = 1,
    timeout_s: int = 900,
    options: bytes = b"",
) -> bytes:
    """An entry of version 1, of client 10.1.0.1 and the VIP 10.9.0.100:80."""
    length = 36 + len(options)
    head = struct.pack("!BBHIHHHH", 0, protocol, length, flags, state, port, 80, 80)
    addresses = bytes([10, 1, 0, 1, 10, 9, 0, 100, 10, 9, 0, 10 + server])
    return head + struct.pack("!II", 0, timeout_s) + addresses + options + bytes(-length % 4)


def connection6(*, state: int = ESTABLISHED, flags: int = ACTIVE, server: int = 1) -> bytes:
    head = struct.pack("!BBHIHHHH", 1, 6, 72, flags, state, 1000, 80, 80)
    client, vip = (IPv6Address(f"fd00:{tail}").packed for tail in ("1::1", "9::100"))
    real = IPv6Address(f"fd00:9::{10 + server:x}").packed
    return head + struct.pack("!II", 0, 900) + client + vip + real


def old_connection(*, flags: int = ACTIVE, state: int = ESTABLISHED) -> bytes:
    addresses = bytes([10, 1, 0, 1, 10, 9, 0, 100, 10, 9, 0, 11])
    return struct.pack("!BBHHH", 0, 6, 1000, 80, 80) + addresses + struct.pack("!HH", flags, state)


def message(*entries: bytes, version: int = 1, syncid: int = 5) -> bytes:
    body = b"".join(entries)
    if version == 0:
        return struct.pack("!BBH", len(entries), syncid, 4 + len(body)) + body
    return struct.pack("!BBHBBH", 0, syncid, 8 + len(body), len(entries), 1, 0) + body
