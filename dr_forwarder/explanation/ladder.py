"""Ladder: a record as a picture's data: parties, arrows, and the Ethernet header by field. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from ..endpoints import endpoint
from ..record_text import flow
from ..records import MAC_BYTES, Record

_BROADCAST = b"\xff" * MAC_BYTES
_TYPES = {
    0x0800: "IPv4",
    0x0806: "ARP",
    0x86DD: "IPv6",
    0x8100: "802.1Q tag",
    0x88A8: "802.1ad tag",
}
_FLAGS = ((0x02, "SYN"), (0x10, "ACK"), (0x08, "PSH"), (0x01, "FIN"), (0x04, "RST"))


class Party(enum.Enum):
    """Who stands in the picture, from left to right."""

    CLIENT = "client"
    DIRECTOR = "director"
    SERVER = "real server"


@dataclass(frozen=True, slots=True)
class Standing:
    """A party with its addresses."""

    party: Party
    mac: bytes | None
    address: str
    """IP address, with the port where there is one."""


@dataclass(frozen=True, slots=True)
class Arrow:
    """A frame on its way."""

    source: Party
    target: Party
    mac_from: bytes
    mac_to: bytes
    text: str


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the Ethernet header, before and after."""

    name: str
    before: bytes
    after: bytes | None
    """None: nothing was sent."""

    def changed(self) -> tuple[bool, ...]:
        """For each byte of ``before``, whether it is another one afterwards."""
        if self.after is None:
            return (False,) * len(self.before)
        return tuple(a != b for a, b in zip(self.before, self.after, strict=True))

    @property
    def summary(self) -> str:
        """How much of it changed, for where there is no colour."""
        count = sum(self.changed())
        return f"{count} of {len(self.before)} bytes" if count else ""

    @property
    def meaning(self) -> str:
        """In words, where the bytes alone say little."""
        if self.name == "type":
            return _TYPES.get(int.from_bytes(self.before, "big"), "")
        return "everybody" if self.before == _BROADCAST else ""


@dataclass(frozen=True, slots=True)
class Ladder:
    """The picture of one decision."""

    title: str
    parties: tuple[Standing, ...]
    arrows: tuple[Arrow, ...]
    ends_here: bool
    """Nothing leaves the director."""
    header: tuple[Field, ...]
    record: Record


def ladder(record: Record) -> Ladder:
    """The picture of this record."""
    return Ladder(
        title=f"Frame {record.frame or '(held)'}: {flow(record)} - {record.verdict}",
        parties=tuple(_parties(record)),
        arrows=tuple(_arrows(record)),
        ends_here=not record.sent,
        header=tuple(_header(record)),
        record=record,
    )


def _goes_to_server(record: Record) -> bool:
    return record.sent and record.verdict in ("forwarded", "icmp_forwarded")


def _parties(record: Record) -> Iterator[Standing]:
    before, after = record.before, record.after
    client = "" if record.client is None else endpoint(record.client, record.client_port)
    vip = "" if record.address is None else endpoint(record.address, record.port)
    yield Standing(Party.CLIENT, before[MAC_BYTES:] or None, client)
    mine = after[MAC_BYTES:] if after is not None else before[:MAC_BYTES]
    yield Standing(Party.DIRECTOR, mine or None, f"VIP {vip}" if vip else "")
    if record.server is not None:
        mac = after[:MAC_BYTES] if after is not None and _goes_to_server(record) else None
        yield Standing(Party.SERVER, mac, str(record.server))


def _what(record: Record) -> str:
    """``SYN``, ``FIN ACK``: what a client's segment says; else the protocol."""
    at = 14 + 4 * ((record.vlan > 0) + (record.vlan > 0xFFF))
    if record.protocol != "tcp" or len(record.head) <= at:
        return record.protocol.upper() or "frame"
    version = record.head[at] >> 4
    transport = at + ((record.head[at] & 15) * 4 if version == 4 else 40)
    if version == 6 and record.head[at + 6] != 6:
        return "TCP"  # behind extension headers
    if len(record.head) < transport + 14:
        return "TCP"
    bits = record.head[transport + 13]
    return " ".join(name for bit, name in _FLAGS if bits & bit) or "TCP"


def _arrows(record: Record) -> Iterator[Arrow]:
    before, after, what = record.before, record.after, _what(record)
    yield Arrow(Party.CLIENT, Party.DIRECTOR, before[MAC_BYTES:], before[:MAC_BYTES], what)
    if after is None:
        return
    ends = after[MAC_BYTES:], after[:MAC_BYTES]
    if _goes_to_server(record):
        yield Arrow(Party.DIRECTOR, Party.SERVER, *ends, f"the same {what}")
    else:
        yield Arrow(Party.DIRECTOR, Party.CLIENT, *ends, "an answer")


def _header(record: Record) -> Iterator[Field]:
    before, after = record.ethernet_header, record.ethernet_header_after
    if not _goes_to_server(record):
        after = None  # an answer is another frame, not this one changed
    names = ["destination", "source", *["tag"] * ((len(before) - 14) // 4), "type"]
    at = 0
    for name in names:
        end = at + {"tag": 4, "type": 2}.get(name, MAC_BYTES)
        if len(before) < end:
            return
        yield Field(name, before[at:end], None if after is None else after[at:end])
        at = end
