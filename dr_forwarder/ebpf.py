"""eBPF: programs as data, so that no compiler is needed; and the one that steers frames. Pure.

Encoding: Documentation/bpf/standardization/instruction-set.rst.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Final

from .config.model import Address

Instruction = tuple[int, int, int, int, int]
"""Operation, target register, source register, offset, immediate value."""

_SCTP, _FRAGMENT = 132, 44
_IPV4, _IPV6 = (int.from_bytes(ethertype, sys.byteorder) for ethertype in (b"\x08\0", b"\x86\xdd"))
_PASS = 2  # XDP_PASS
_LOOK_UP, _REDIRECT_MAP = 1, 51
_DATA, _DATA_END, _QUEUE = 0, 4, 16  # offsets in struct xdp_md
_BYTE, _HALF, _WORD, _DOUBLE = 0x71, 0x69, 0x61, 0x79  # loads

KEY_BYTES: Final = 16
TAG_FUNCTION: Final = "bpf_xdp_metadata_rx_vlan_tag"


def encode(program: Sequence[Instruction]) -> bytes:
    """The program as bpf(2) takes it."""
    little = sys.byteorder == "little"
    return b"".join(
        struct.pack(
            "<BBhi" if little else ">BBhi",
            operation,
            target | source << 4 if little else target << 4 | source,
            offset,
            value,
        )
        for operation, target, source, offset, value in program
    )


def move(register: int, value: int) -> Instruction:
    """Sets a register to a value of 32 bits."""
    return (0xB4, register, 0, 0, value)


def copy(target: int, source: int) -> Instruction:
    """Sets a register to what another holds."""
    return (0xBF, target, source, 0, 0)


def call(helper: int) -> Instruction:
    """Calls a helper of the kernel (bpf-helpers(7))."""
    return (0x85, 0, 0, 0, helper)


EXIT: Final[Instruction] = (0x95, 0, 0, 0, 0)


def key_of(vip: Address) -> bytes:
    """A VIP as the program looks it up: an IPv4 one as IPv6 maps it (RFC 4291 section 2.5.5.2)."""
    if isinstance(vip, IPv4Address):
        return bytes(10) + b"\xff\xff" + vip.packed
    return vip.packed


# ---- The program: registers 2 and 3 are the frame's beginning and end, 6 is the context ----


def steering_program(
    mac: bytes, *, vips: int, sockets: int, tag_of: int | None = None
) -> tuple[Instruction, ...]:
    """Hands on frames for this MAC address and a VIP to the AF_XDP socket of their queue.

    ``vips`` and ``sockets`` are descriptors of maps: by ``key_of``, and by the queue's number.
    ``tag_of`` is the number of ``TAG_FUNCTION``, which tells of tags that the device took out.
    All else takes the way it would: ARP, other hosts' frames, those with a tag, and SCTP, whose
    checksum, if offloads left it unfinished, only the rings carry on.
    """
    start = (copy(6, 1), (_WORD, 2, 6, _DATA, 0), (_WORD, 3, 6, _DATA_END, 0))
    body = [*start, *_reaches(34), *_at_mac(mac), (_HALF, 1, 2, 12, 0)]
    hand_on = [
        copy(2, 10),
        _add(2, -KEY_BYTES),
        *_map(1, vips),
        call(_LOOK_UP),
        _pass_if(0x15, 0, 0),
        *(() if tag_of is None else _without_tag(tag_of)),
        (_WORD, 2, 6, _QUEUE, 0),
        *_map(1, sockets),
        move(3, _PASS),
        call(_REDIRECT_MAP),
        EXIT,
    ]
    four, six = _key_of_ipv4(), _key_of_ipv6()
    body += [(0x56, 1, 0, len(four) + 1, _IPV4), *four]
    body += [(0x05, 0, 0, len(six) + 1, 0)]
    body += [_pass_if(0x56, 1, _IPV6), *six, *hand_on]
    return (*_resolved(body), move(0, _PASS), EXIT)


_TO_END: Final = -1
"""An offset that stands for the end, where a frame is let pass."""


def _pass_if(operation: int, register: int, value: int) -> Instruction:
    return (operation, register, 0, _TO_END, value)


def _resolved(body: Sequence[Instruction]) -> tuple[Instruction, ...]:
    jumps = 0x05, 0x06  # the classes
    return tuple(
        (op, target, source, len(body) - 1 - i if offset == _TO_END else offset, value)
        if op & 0x07 in jumps
        else (op, target, source, offset, value)
        for i, (op, target, source, offset, value) in enumerate(body)
    )


def _add(register: int, value: int) -> Instruction:
    return (0x07, register, 0, 0, value)


def _map(register: int, descriptor: int) -> tuple[Instruction, Instruction]:
    return ((0x18, register, 1, 0, descriptor), (0, 0, 0, 0, 0))


def _reaches(length: int) -> tuple[Instruction, ...]:
    """A frame that is shorter is let pass; the verifier wants to see that."""
    return (copy(4, 2), _add(4, length), (0x2D, 4, 3, _TO_END, 0))


def _at_mac(mac: bytes) -> tuple[Instruction, ...]:
    # Compared are 32 bits, in the host's order, whose sign is of no matter.
    first, second = struct.unpack("=iH", mac)
    return (
        (_WORD, 1, 2, 0, 0),
        _pass_if(0x56, 1, first),
        (_HALF, 1, 2, 4, 0),
        _pass_if(0x56, 1, second),
    )


def _key_of_ipv4() -> tuple[Instruction, ...]:
    (prefix,) = struct.unpack("=i", b"\0\0\xff\xff")
    return (
        (_BYTE, 1, 2, 23, 0),
        _pass_if(0x15, 1, _SCTP),
        (0x7A, 10, 0, -16, 0),
        (0x62, 10, 0, -8, prefix),
        (_WORD, 1, 2, 30, 0),
        (0x63, 10, 1, -4, 0),
    )


def _key_of_ipv6() -> tuple[Instruction, ...]:
    """In a fragment header the protocol is that of the whole packet (RFC 8200 section 4.5)."""
    fragment = (*_reaches(62), (_BYTE, 1, 2, 54, 0), _pass_if(0x15, 1, _SCTP))
    return (
        *_reaches(54),
        (_BYTE, 1, 2, 20, 0),
        _pass_if(0x15, 1, _SCTP),
        (0x55, 1, 0, len(fragment), _FRAGMENT),
        *fragment,
        (_DOUBLE, 1, 2, 38, 0),
        (0x7B, 10, 1, -16, 0),
        (_DOUBLE, 1, 2, 46, 0),
        (0x7B, 10, 1, -8, 0),
    )


def _without_tag(function: int) -> tuple[Instruction, ...]:
    """Of the tag, which it writes to the stack, only whether there is one counts."""
    return (
        (0x62, 10, 0, -24, 0),
        copy(1, 6),
        copy(2, 10),
        _add(2, -24),
        copy(3, 10),
        _add(3, -22),
        (0x85, 0, 2, 0, function),
        _pass_if(0x15, 0, 0),
    )
