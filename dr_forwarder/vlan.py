"""VLAN: the tags that the director's frames carry (IEEE 802.1Q), as bytes and as text. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_ADDRESSES = 12
_TAG = struct.Struct("!HH")
_CUSTOMER, _SERVICE = 0x8100, 0x88A8
_HIGHEST = 4094
TAG_BYTES = _TAG.size


@dataclass(frozen=True, slots=True)
class Vlan:
    """A stack of VLAN identifiers, the outer one first: none, one, or two (QinQ)."""

    identifiers: tuple[int, ...] = ()

    @property
    def number(self) -> int:
        """As the core has it; 0 is untagged."""
        number = 0
        for identifier in self.identifiers:
            number = number << 12 | identifier
        return number

    @property
    def inline_bytes(self) -> int:
        """What a packet socket has in the frame: the kernel takes the outer tag out."""
        return TAG_BYTES * max(0, len(self.identifiers) - 1)

    def __str__(self) -> str:
        return ".".join(map(str, self.identifiers))

    def tag(self, frame: bytes) -> bytes:
        """The frame with the tags; of two, the outer is a service tag (802.1ad)."""
        types = (_SERVICE, _CUSTOMER)[-len(self.identifiers) :]
        tags = zip(types, self.identifiers, strict=False)
        return frame[:_ADDRESSES] + b"".join(_TAG.pack(*each) for each in tags) + frame[_ADDRESSES:]

    def untag(self, frame: bytes) -> bytes:
        """A frame from a packet socket that lets in this VLAN only, without its tags."""
        return frame[:_ADDRESSES] + frame[_ADDRESSES + self.inline_bytes :]


UNTAGGED = Vlan()


def parse(text: str) -> Vlan:
    """Reads ``100``, or ``200.100`` for QinQ, outer first; raises ValueError."""
    parts = text.split(".")
    if len(parts) > 2 or not all(part.isascii() and part.isdecimal() for part in parts):
        raise ValueError(f"vlan must be like 100, or 200.100 for two tags, not {text[:40]!r}")
    identifiers = tuple(int(part[:9]) for part in parts)
    for identifier in identifiers:
        if not 1 <= identifier <= _HIGHEST:
            raise ValueError(f"a VLAN must be in 1..{_HIGHEST}, not {identifier}")
    return Vlan(identifiers)
