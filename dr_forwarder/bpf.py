"""bpf(2): maps, programs and links, each a descriptor that lives as long as somebody has it open.

Every call raises OSError; PermissionError is CAP_BPF or CAP_NET_ADMIN.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence

from .ebpf import Instruction, encode

_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "s390x": 351, "ppc64le": 361}
_MAP_CREATE, _MAP_UPDATE, _MAP_DELETE, _PROG_LOAD, _LINK_CREATE = 0, 2, 3, 5, 28
ATTRIBUTES = 128
"""Bytes of what is given to bpf(2); zeros behind what a kernel knows are allowed."""

_DEVICE_BOUND = 1 << 6
_LICENCE = b"Dual MIT/GPL"
"""The kernel's own functions are for programs whose licence goes with its."""

HASH, XSKMAP = 1, 17
NO_PREALLOC = 1
SCHED_CLS, XDP = 3, 6
TCX_INGRESS, ON_XDP = 46, 37
NATIVE = 1 << 2
"""XDP_FLAGS_DRV_MODE."""


def create_map(kind: int, *, key: int, value: int, entries: int, flags: int = 0) -> int:
    """A map; ``key`` and ``value`` are bytes."""
    return _bpf(_MAP_CREATE, struct.pack("=IIIII", kind, key, value, entries, flags))


def update(descriptor: int, key: bytes, value: bytes) -> None:
    """Sets what a map has for a key."""
    held = tuple(ctypes.create_string_buffer(each, len(each)) for each in (key, value))
    pointers = (ctypes.addressof(each) for each in held)
    _bpf(_MAP_UPDATE, struct.pack("=IIQQQ", descriptor, 0, *pointers, 0))


def delete(descriptor: int, key: bytes) -> None:
    """Takes a key out of a map."""
    held = ctypes.create_string_buffer(key, len(key))
    _bpf(_MAP_DELETE, struct.pack("=IIQ", descriptor, 0, ctypes.addressof(held)))


def load(kind: int, program: Sequence[Instruction], *, bound_to: int = 0) -> int:
    """A program that the kernel's verifier has let through.

    Who calls functions of an interface's driver is ``bound_to`` that interface.
    """
    held = tuple(ctypes.create_string_buffer(each) for each in (encode(program), _LICENCE))
    pointers = (ctypes.addressof(each) for each in held)
    flags = _DEVICE_BOUND if bound_to else 0
    what = struct.pack("=IIQQ", kind, len(program), *pointers)
    return _bpf(_PROG_LOAD, what + struct.pack("=20xI16xI", flags, bound_to))


def link(program: int, interface_index: int, where: int, *, flags: int = 0) -> int:
    """Attaches a program to an interface; it is detached when the link is closed."""
    return _bpf(_LINK_CREATE, struct.pack("=IIII", program, interface_index, where, flags))


def _bpf(command: int, attributes: bytes) -> int:
    return system_call(command, ctypes.create_string_buffer(attributes, ATTRIBUTES))


def system_call(command: int, attributes: ctypes.Array[ctypes.c_char]) -> int:
    """bpf(2) as it is; the kernel may answer in ``attributes``, too."""
    number = _NUMBERS.get(os.uname().machine)
    if number is None:
        raise OSError(f"the number of bpf(2) on {os.uname().machine} is not known")
    libc = ctypes.CDLL(None, use_errno=True)
    result = int(libc.syscall(number, command, attributes, len(attributes)))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
