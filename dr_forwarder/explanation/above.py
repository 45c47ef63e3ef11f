"""Above: what is above Ethernet in a frame, decoded by scapy where that is installed."""

from __future__ import annotations

from ..records import Record

_ETHERNET = 14


def layers(record: Record) -> tuple[str, ...]:
    """A line for each header above Ethernet; none without scapy, which the director never needs."""
    try:
        from scapy.layers.inet import ICMP, TCP, UDP  # noqa: F401 - registers what is in Ethernet
        from scapy.layers.inet6 import IPv6  # noqa: F401
        from scapy.layers.l2 import Ether
    except ImportError:
        return ()
    if len(record.head) < _ETHERNET:
        return ()
    packet = Ether(record.head).payload
    lines = []
    while packet and packet.name not in ("NoPayload", "Raw", "Padding"):
        fields = (
            f"{field.name}={packet.sprintf(f'%{field.name}%')}"
            for field in packet.fields_desc
            if field.name in packet.fields and packet.fields[field.name] not in (None, [], b"")
        )
        lines.append(f"{packet.name}: {' '.join(fields)}")
        packet = packet.payload
    return tuple(lines)
