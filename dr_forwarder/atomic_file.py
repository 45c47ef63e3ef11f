"""Atomic file: a file's contents exchanged in one piece, and on the disk before it counts."""

from __future__ import annotations

import os
from pathlib import Path

from . import own_files


def write(path: Path, text: str) -> None:
    """Whoever reads finds the old contents or the new, also after a crash; raises OSError.

    The file is its owner's alone. What stands where it is prepared is taken away, not written to.
    """
    fresh = path.with_name(f"{path.name}.new")
    own_files.removed(fresh)
    descriptor = own_files.opened(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    own_files.renamed(fresh, path)
