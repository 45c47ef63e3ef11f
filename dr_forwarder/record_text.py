"""Records as lines to read. Pure."""

from __future__ import annotations

from .endpoints import bracketed, endpoint
from .records import Record

_SECOND_NS = 10**9


def line(record: Record, when: str) -> str:
    """One line: number, time, verdict, who wants what, which real server, and why in short."""
    number = str(record.frame or "held")
    server = f" -> {record.server}" if record.server else ""
    return (
        f"{number:>7} {when} {record.verdict:<14} {flow(record):<44}{server}  {short(record)}"
    ).rstrip()


def short(record: Record) -> str:
    """The first sentence of why; what changed in a frame is the second."""
    first, dot, _ = record.why.partition(". ")
    return first + dot.strip()


def flow(record: Record) -> str:
    """``tcp 10.0.0.9:1000 > 10.0.0.1:80``, or as much as was understood of it."""
    if record.client is None or record.address is None:
        return record.protocol or "?"
    if not record.client_port and not record.port:
        return f"{record.protocol} {bracketed(record.client)} > {bracketed(record.address)}"
    client = endpoint(record.client, record.client_port)
    return f"{record.protocol} {client} > {endpoint(record.address, record.port)}"


def since(record: Record, began_ns: int) -> str:
    """Seconds after the first frame."""
    return f"{(record.at_ns - began_ns) / _SECOND_NS:12.6f}"
