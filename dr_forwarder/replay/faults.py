"""Faults: why a capture cannot be read, or not to its end, and what to do about it. Pure."""

from __future__ import annotations

from ..capturing import Report

_LINKS = {
    0: "BSD loopback, without Ethernet headers",
    12: "raw IP, without Ethernet headers",
    101: "raw IP, without Ethernet headers",
    105: "802.11 (Wi-Fi)",
    108: "OpenBSD loopback, without Ethernet headers",
    113: "Linux cooked (SLL), without the destination's MAC address",
    127: "802.11 (Wi-Fi) with radiotap headers",
    276: "Linux cooked (SLL2), without the destination's MAC address",
}
"""https://www.tcpdump.org/linktypes.html"""

_MAGIC = {
    0x1F8B: "is compressed with gzip; decompress it first: gunzip FILE",
    0x28B5: "is compressed with zstd; decompress it first: unzstd FILE",
    0xFD37: "is compressed with xz; decompress it first: unxz FILE",
    0x425A: "is compressed with bzip2; decompress it first: bunzip2 FILE",
}


def kind_of(link: int) -> str:
    """What frames of a link type are."""
    return _LINKS.get(link, f"of link type {link}")


def _not_ethernet(kind: str) -> str:
    return (
        f"is not of Ethernet frames: they are {kind}, and a director decides by MAC addresses;"
        " capture on the interface itself (tcpdump -i eth0, not -i any)"
    )


def problem(report: Report) -> str | None:
    """What kept a capture from being read to its end; None: nothing did."""
    value = report.fault_value
    match report.fault:
        case "unknown":
            other = f"is neither pcap nor pcapng: it begins with {value:08x}"
            return _MAGIC.get(value >> 16, other)
        case "version":
            return f"is of version {value}, which is not known"
        case "link":
            return _not_ethernet(kind_of(value))
        case "block":
            return f"is damaged at byte {report.offset}: a block of {value} bytes"
        case "length":
            return f"is damaged at byte {report.offset}: a frame of {value} bytes"
        case "interfaces":
            return f"has more than {value} interfaces in one section"
        case "no_interface":
            return f"is damaged at byte {report.offset}: interface {value} was not described"
    if report.foreign and report.frames == 0:
        return _not_ethernet(" and ".join(kind_of(link) for link, _ in report.foreign))
    if report.offset == 0 and report.pending == 0:
        return "is empty"
    if report.pending:
        return f"is cut off: its last frame, from byte {report.offset} on, is not whole"
    return None
