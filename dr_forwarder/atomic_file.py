"""Atomic file: a file's contents exchanged in one piece, and on the disk before it counts."""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, text: str) -> None:
    """Whoever reads finds the old contents or the new, also after a crash; raises OSError."""
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
