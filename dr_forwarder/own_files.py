"""Own files: opened so that nobody but root and this user can have put something else there.

A directory is held by its descriptor (``hold``), and what is then opened, renamed or removed in it
is that directory's, whatever its name leads to by now. No symbolic link, FIFO, device or second
name of another file is taken for a file. What is refused is an OSError with the reason.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_ROOT: Final = 0
_held: dict[Path, int] = {}
"""The directories that this process holds, by the path they were opened at."""


class NotOursError(PermissionError):
    """Somebody else made what is there, or could have."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(errno.EPERM, reason, str(path))


@contextlib.contextmanager
def hold(path: Path) -> Iterator[int]:
    """Opens a directory that is ours alone and keeps to it; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _require_own(path, os.fstat(descriptor))
        before = _held.get(path)
        _held[path] = descriptor
        try:
            yield descriptor
        finally:
            _held.pop(path)
            if before is not None:
                _held[path] = before
    finally:
        os.close(descriptor)


def opened(path: Path, flags: int, mode: int = 0o600) -> int:
    """Descriptor of a plain file that has one name and is ours or root's; raises OSError."""
    name, directory = _at(path)
    flags |= os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(name, flags & ~os.O_TRUNC, mode, dir_fd=directory)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotOursError(path, "it is a symbolic link; remove it") from error
        if error.errno == errno.ENXIO:
            raise NotOursError(path, "it is no file; remove it") from error
        error.filename = str(path)
        raise
    try:
        _require_plain(path, os.fstat(descriptor))
        if flags & os.O_TRUNC:
            os.ftruncate(descriptor, 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def renamed(path: Path, to: Path) -> None:
    """Gives a file another name in the same directory, on the disk before this returns."""
    name, directory = _at(path)
    os.rename(name, _at(to)[0], src_dir_fd=directory, dst_dir_fd=directory)
    _to_disk(path.parent, directory)


def removed(path: Path) -> None:
    """Takes a name away, if it is there."""
    name, directory = _at(path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)


def status(path: Path) -> os.stat_result | None:
    """Of what has this name, links as such; None if nothing has."""
    name, directory = _at(path)
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def is_swapped(path: Path) -> bool:
    """Whether a path leads elsewhere than into the directory that is held."""
    there, held = os.stat(path, follow_symlinks=False), status(path)
    return held is None or (there.st_dev, there.st_ino) != (held.st_dev, held.st_ino)


def _at(path: Path) -> tuple[str, int | None]:
    directory = _held.get(path.parent)
    return (str(path), None) if directory is None else (path.name, directory)


def _to_disk(parent: Path, directory: int | None) -> None:
    if directory is not None:
        os.fsync(directory)
        return
    descriptor = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _require_own(path: Path, found: os.stat_result) -> None:
    if found.st_uid not in (_ROOT, os.geteuid()):
        raise NotOursError(path, "belongs to another user")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise NotOursError(path, f"others may write in it; chmod go-w {path}")


def _require_plain(path: Path, found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise NotOursError(path, "it is no file; remove it")
    if found.st_nlink > 1:
        raise NotOursError(path, "it is another file's second name (a hard link); remove it")
    if found.st_uid not in (_ROOT, os.geteuid()):
        raise NotOursError(path, "it belongs to another user; remove it")
