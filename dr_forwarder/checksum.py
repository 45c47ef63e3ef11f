"""Checksum: the Internet's, of IPv4 headers, ICMP and TCP (RFC 1071). Pure."""

from __future__ import annotations

import struct


def internet_checksum(data: bytes) -> int:
    """Of the data as it is; 0 when it has its right checksum in it."""
    whole = data + b"\0" if len(data) % 2 else data
    total: int = sum(struct.unpack(f"!{len(whole) // 2}H", whole))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
