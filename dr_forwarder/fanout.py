"""Fanout: which of several workers a frame is for. Pure (classic BPF, filter.rst of the kernel).

Workers share one table, so any of them decides the same; that all frames of a client, fragments
too, come to the same one is only for their order.
"""

from __future__ import annotations

from .addresses import Instruction

_LOAD_WORD, _JUMP_EQUAL, _RETURN, _RETURN_IT = 0x20, 0x15, 0x06, 0x16
_KEEP, _XOR_KEPT, _MULTIPLY, _SHIFT_RIGHT = 0x07, 0xAC, 0x24, 0x74
_PROTOCOL = 0xFFFFF000
_NETWORK = 0xFFF00000
"""Offsets from here on are from the IP header, whatever link headers there are."""
_IPV4, _IPV6 = 0x0800, 0x86DD
_GOLDEN = 0x9E3779B1


def by_client() -> tuple[Instruction, ...]:
    """A number from the source address of an IP packet; 0 for all else. The kernel takes its rest.

    Multiplied, so that clients whose addresses differ in few bits are spread too.
    """
    first, *others = (8, 12, 16, 20)
    six = [(_LOAD_WORD, 0, 0, _NETWORK + first)]
    for at in others:
        six += [(_KEEP, 0, 0, 0), (_LOAD_WORD, 0, 0, _NETWORK + at), (_XOR_KEPT, 0, 0, 0)]
    mix = ((_MULTIPLY, 0, 0, _GOLDEN), (_SHIFT_RIGHT, 0, 0, 16), (_RETURN_IT, 0, 0, 0))
    four = ((_LOAD_WORD, 0, 0, _NETWORK + 12), *mix)
    return (
        (_LOAD_WORD, 0, 0, _PROTOCOL),
        (_JUMP_EQUAL, 0, len(four), _IPV4),
        *four,
        (_JUMP_EQUAL, 1, 0, _IPV6),
        (_RETURN, 0, 0, 0),
        *six,
        *mix,
    )
