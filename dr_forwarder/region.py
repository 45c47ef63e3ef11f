"""Region: the memory that the core's state lives in, and how much room it has."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import room


@dataclass(frozen=True, slots=True)
class Limits:
    """Room of the tables, fixed for the life of a state file."""

    services: int = room.SERVICES
    servers: int = room.SERVERS
    connections: int = 1_048_576
    fragments: int = 256
    """That may wait for the first of their packet."""


def boot_id() -> int:
    """Names this boot's monotonic clock."""
    text = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return int(text.replace("-", "")[:16], 16)


def _with_large_pages(region: mmap.mmap) -> mmap.mmap:
    """With small ones a connection among many costs a walk through the page table too.

    Where there are none to be had, for a file on a disk for instance, it makes no difference.
    """
    with suppress(OSError):
        region.madvise(mmap.MADV_HUGEPAGE)
    return region


def mapped(path: Path | None, size: int) -> mmap.mmap:
    """So many bytes of a file that outlives the process, or of plain memory.

    A file of another size is emptied first; raises OSError.
    """
    if path is None:
        return _with_large_pages(mmap.mmap(-1, size))
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(descriptor).st_size != size:
            os.ftruncate(descriptor, 0)
            os.ftruncate(descriptor, size)
        return _with_large_pages(mmap.mmap(descriptor, size))
    finally:
        os.close(descriptor)
