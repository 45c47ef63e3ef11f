"""Files that a command reads and writes: what is wrong with them, in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ..errors import DataplaneError, ForwarderError


@contextlib.contextmanager
def file_errors(usual: Path | None = None) -> Iterator[None]:
    """Turns the system's refusals into an error that names the file, ``usual`` if none is told."""
    try:
        yield
    except (BrokenPipeError, DataplaneError):
        raise  # whoever read our output has left, which click ends quietly; not about a file
    except OSError as error:
        reason = error.strerror or str(error)
        raise ForwarderError(f"{error.filename or usual or 'a file'}: {reason}") from error


def refuse_overwriting(read: Path, *written: Path | None) -> None:
    """Raises ForwarderError when a file would be written over the one that is read."""
    for path in written:
        if path is not None and path.exists() and read.exists() and path.samefile(read):
            raise ForwarderError(f"{path} is the capture itself; write to another file")
