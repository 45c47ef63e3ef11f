"""Region: the memory that the core's state lives in, and how much room it has."""

from __future__ import annotations

import errno
import mmap
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import own_files, room
from .errors import SetupError

_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Room of the tables, fixed for the life of a state file."""

    services: int = room.SERVICES
    servers: int = room.SERVERS
    connections: int = 1_048_576
    fragments: int = 256
    """That may wait for the first of their packet."""


def boot_id() -> int:
    """Names this boot's monotonic clock; 0 where /proc does not tell."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return 0
    return int(text.replace("-", "")[:16], 16)


def _with_large_pages(region: mmap.mmap) -> mmap.mmap:
    """With small ones a connection among many costs a walk through the page table too.

    Where there are none to be had, for a file on a disk for instance, it makes no difference.
    """
    with suppress(OSError, AttributeError):
        region.madvise(mmap.MADV_HUGEPAGE)
    return region


def _mapped(descriptor: int, size: int) -> mmap.mmap:
    try:
        return _with_large_pages(mmap.mmap(descriptor, size))
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        raise SetupError(
            f"no memory for the state, {megabytes(size)}: raise the limit (ulimit -v, MemoryMax=),"
            " or give the director a smaller `connections =`"
        ) from error


def plain(size: int) -> mmap.mmap:
    """So many zeros in memory that ends with the process; raises SetupError."""
    return _mapped(-1, size)


def allocated(path: Path, size: int) -> mmap.mmap:
    """So many bytes of a file that outlives the process, zeros where it had none.

    They are on the file system before this returns: what is not there when a frame needs it would
    end the process by SIGBUS. Raises OSError, and leaves no file that it made; SetupError for want
    of memory.
    """
    is_new = own_files.status(path) is None
    descriptor = own_files.opened(path, os.O_RDWR | os.O_CREAT)
    try:
        _reserve(descriptor, size)
        return _mapped(descriptor, size)
    except BaseException:
        if is_new:
            own_files.removed(path)
        raise
    finally:
        os.close(descriptor)


def _reserve(descriptor: int, size: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        for at in range(0, size, _PIECE_BYTES):
            length = min(_PIECE_BYTES, size - at)
            piece = os.pread(descriptor, length, at)
            os.pwrite(descriptor, piece.ljust(length, b"\0"), at)


def copied(path: Path) -> mmap.mmap:
    """A file's contents in memory; raises OSError, SetupError."""
    with open(own_files.opened(path, os.O_RDONLY), "rb") as file:
        memory = plain(os.fstat(file.fileno()).st_size)
        at = 0
        while count := file.readinto(memoryview(memory)[at : at + _PIECE_BYTES]):
            at += count
    return memory


def free_bytes(path: Path) -> int | None:
    """What an ordinary user may still write there; None if that is not known."""
    try:
        status = os.statvfs(path)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize


def can_hold_another_file(path: Path) -> bool:
    """False where the file system has no inode left; some do not count them."""
    status = os.statvfs(path)
    return status.f_files == 0 or status.f_favail > 0


def megabytes(size: int) -> str:
    """For people: rounded up to a tenth."""
    return f"{-(-size // 100_000) / 10:.1f} MB"
