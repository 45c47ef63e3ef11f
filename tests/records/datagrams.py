"""Datagrams in fragments: what was sent and what left, put together, so that both can be compared.

The kernel collects a datagram, judges it, and cuts it again; the director passes each piece on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .wire import ETHERNET, FRAGMENT_HEADER, IPV4, ip_end, ip_header, place

_V6_NEXT = ETHERNET + 6
_V6_HEADER = ETHERNET + 40


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a datagram's payload."""

    start: int
    data: bytes
    is_last: bool

    @property
    def end(self) -> int:
        return self.start + len(self.data)


@dataclass(frozen=True, slots=True)
class Datagram:
    """Who gets it, its header without what differs from piece to piece, and its payload."""

    place: str
    header: bytes
    payload: bytes

    @property
    def size(self) -> int:
        """As the kernel counts it: of IPv6 without fragment header."""
        return len(self.header) + len(self.payload)


def _piece(frame: bytes) -> Piece:
    if frame[12:14] == IPV4:
        field = int.from_bytes(frame[20:22], "big")
        data = frame[ETHERNET + ip_header(frame) : ip_end(frame)]
        return Piece((field & 0x1FFF) * 8, data, not field & 0x2000)
    if frame[_V6_NEXT] != FRAGMENT_HEADER:
        return Piece(0, frame[_V6_HEADER:], is_last=True)
    field = int.from_bytes(frame[_V6_HEADER + 2 : _V6_HEADER + 4], "big")
    return Piece(field & 0xFFF8, frame[_V6_HEADER + 8 : ip_end(frame)], not field & 1)


def _header(frame: bytes) -> bytes:
    """Of the first piece: without its length, its place in the datagram, and its ECN mark."""
    if frame[12:14] == IPV4:
        header = bytearray(frame[ETHERNET : ETHERNET + ip_header(frame)])
        for at, size in ((2, 2), (6, 2), (10, 2)):
            header[at : at + size] = bytes(size)
        header[1] &= 0xFC
        return bytes(header)
    header = bytearray(frame[ETHERNET:_V6_HEADER])
    header[4:6] = bytes(2)
    header[1] &= 0xCF
    if frame[_V6_NEXT] == FRAGMENT_HEADER:
        header[6] = frame[_V6_HEADER]
    return bytes(header)


def _fit(frames: Iterable[bytes]) -> Iterator[tuple[Piece, bytes]]:
    """In order and each once; nothing when they overlap, or leave a gap or no end."""
    pieces = {_piece(frame): frame for frame in frames}
    ordered = sorted(pieces, key=lambda piece: piece.start)
    whole = bool(ordered) and ordered[0].start == 0 and ordered[-1].is_last
    for before, piece in pairwise(ordered):
        whole = whole and before.end == piece.start
    if whole:
        yield from ((piece, pieces[piece]) for piece in ordered)


def joined(frames: Sequence[bytes]) -> Datagram | None:
    """The datagram of these frames; None when it is not whole, or not all go to one place."""
    fitting = list(_fit(frames))
    places = {place(frame) for frame in frames}
    if not fitting or len(places) != 1:
        return None
    payload = b"".join(piece.data for piece, _ in fitting)
    return Datagram(places.pop(), _header(fitting[0][1]), payload)
