"""Record file: records as pcapng: the frames as they came, with verdict and reason as comments."""

from __future__ import annotations

from collections.abc import Iterable

from . import capturing
from .records import Record

begin = capturing.begin


def block(record: Record) -> bytes:
    """One frame: as much of it as the record has."""
    comment = f"{record.verdict}: {record.why}"
    return capturing.frame(record.head, length=record.length, at_ns=record.at_ns, comment=comment)


def contents(records: Iterable[Record]) -> bytes:
    """A whole file."""
    return begin() + b"".join(map(block, records))
