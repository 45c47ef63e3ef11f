"""Capture files put together by hand: pcap and pcapng, in either byte order and any resolution."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Literal

Order = Literal["<", ">"]
Frame = tuple[int, bytes]
"""Nanoseconds since 1970, and the bytes."""

ETHERNET, RAW_IP, COOKED, COOKED_2 = 1, 101, 113, 276
BEGAN_NS = 1_700_000_000 * 10**9


def pcap(
    frames: Iterable[Frame],
    *,
    order: Order = "<",
    nanoseconds: bool = False,
    link: int = ETHERNET,
    version: int = 2,
    snap: int = 0,
) -> bytes:
    """A pcap file; with ``snap``, only so much of each frame."""
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    out = [struct.pack(order + "IHHiIII", magic, version, 4, 0, 0, snap or 262144, link)]
    for at_ns, frame in frames:
        caught = frame[:snap] if snap else frame
        fraction = at_ns % 10**9 // (1 if nanoseconds else 1000)
        head = (at_ns // 10**9, fraction, len(caught), len(frame))
        out += [struct.pack(order + "IIII", *head), caught]
    return b"".join(out)


def block(kind: int, body: bytes, *, order: Order = "<") -> bytes:
    """A pcapng block; the body is padded."""
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def option(code: int, value: bytes, *, order: Order = "<") -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(*, order: Order = "<", version: int = 1) -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, version, 0, -1), order=order)


def interface(
    *, order: Order = "<", link: int = ETHERNET, snap: int = 0, options: bytes = b""
) -> bytes:
    return block(1, struct.pack(order + "HHI", link, 0, snap) + options, order=order)


def resolution(value: int, *, order: Order = "<") -> bytes:
    """The option if_tsresol."""
    return option(9, bytes([value]), order=order)


def packet(
    stamp: int, frame: bytes, *, order: Order = "<", number: int = 0, comment: str = ""
) -> bytes:
    """An enhanced packet block; the stamp is in the interface's units."""
    head = (number, stamp >> 32, stamp & 0xFFFFFFFF, len(frame), len(frame))
    body = struct.pack(order + "IIIII", *head) + frame + bytes(-len(frame) % 4)
    if comment:
        body += option(1, comment.encode(), order=order) + option(0, b"", order=order)
    return block(6, body, order=order)


def pcapng(
    frames: Iterable[Frame], *, order: Order = "<", nanoseconds: bool = False, link: int = ETHERNET
) -> bytes:
    """A pcapng file of one interface."""
    options = resolution(9, order=order) if nanoseconds else b""
    head = section(order=order) + interface(order=order, link=link, options=options)
    unit_ns = 1 if nanoseconds else 1000
    return head + b"".join(packet(at_ns // unit_ns, each, order=order) for at_ns, each in frames)


def obsolete(stamp: int, frame: bytes, *, order: Order = "<") -> bytes:
    """A packet block, as it was before the enhanced one."""
    head = (0, 0xFFFF, stamp >> 32, stamp & 0xFFFFFFFF, len(frame), len(frame))
    return block(2, struct.pack(order + "HHIIII", *head) + frame, order=order)


def simple(frame: bytes, *, order: Order = "<") -> bytes:
    return block(3, struct.pack(order + "I", len(frame)) + frame, order=order)
