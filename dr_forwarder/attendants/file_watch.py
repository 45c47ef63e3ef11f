"""File watch: when a configuration file has changed, and settled. Pure but for `look`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

Stamp = tuple[int, int, int] | None
"""Modification time in ns, length and inode; None: there is no such file now."""


@dataclass(frozen=True, slots=True)
class Look:
    """How the files are at one moment."""

    stamps: tuple[Stamp, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class FileWatch:
    """Remembers how the files were when they were last read.

    A change counts once the files have stood still between two looks, so that nobody reads half a
    file, and only if the contents differ: a `touch` is no change. While a file is gone nothing
    has changed: editors replace files so.
    """

    read: Look
    last: Look

    def after(self, now: Look) -> tuple[FileWatch, bool]:
        """The watch after another look, and whether the files are to be read again."""
        still = now == self.last
        changed = still and None not in now.stamps and now.digest != self.read.digest
        return replace(self, read=now if changed else self.read, last=now), changed


def begin(now: Look) -> FileWatch:
    """A watch over files that are being read now."""
    return FileWatch(now, now)


def look(paths: tuple[Path, ...], before: Look | None = None) -> Look:
    """Looks at the files; reads them only if their stamps are not as before."""
    stamps = tuple(_stamp(path) for path in paths)
    if before is not None and stamps == before.stamps:
        return before
    whole = hashlib.sha256()
    for path in paths:
        try:
            whole.update(path.read_bytes())
        except OSError:
            stamps = tuple(
                None if each == path else s for each, s in zip(paths, stamps, strict=True)
            )
        whole.update(b"\0")
    return Look(stamps, whole.hexdigest())


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
