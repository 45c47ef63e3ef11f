"""BTF: the number by which a program calls a function of the running kernel. Pure.

Format: Documentation/bpf/btf.rst.
"""

from __future__ import annotations

import struct
from typing import Final

_MAGIC = 0xEB9F
_HEADER = struct.Struct("=HBBIIIII")
_TYPE = struct.Struct("=III")
_FUNCTION = 12
_FIXED: Final = {1: 4, 3: 12, 14: 4, 17: 4}
"""Of these kinds, what follows a type, in bytes: a number, an array, a variable, a tag."""
_EACH: Final = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}
"""And of these, what follows for each member: structures, enumerations, prototypes, sections."""


def function_number(types: bytes, name: str) -> int | None:
    """That of a function in what /sys/kernel/btf/vmlinux holds; None when it is not there."""
    if len(types) < _HEADER.size:
        return None
    magic, _, _, header, type_at, type_bytes, text_at, text_bytes = _HEADER.unpack_from(types)
    texts = header + text_at
    wanted = types.find(b"\0%s\0" % name.encode(), texts, texts + text_bytes)
    if magic != _MAGIC or wanted < 0:
        return None
    name_at = wanted + 1 - texts
    at, end, number = header + type_at, header + type_at + type_bytes, 1
    while at < end:
        text, info, _ = _TYPE.unpack_from(types, at)
        kind, members = info >> 24 & 0x1F, info & 0xFFFF
        if kind == _FUNCTION and text == name_at:
            return number
        at += _TYPE.size + _FIXED.get(kind, 0) + _EACH.get(kind, 0) * members
        number += 1
    return None
