"""State directory: where a running director keeps its control socket, its lock and its state."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from .errors import SetupError
from .location import default_state_dir

_MOST_SOCKET_BYTES = 107
"""Of the path of a Unix socket (unix(7)), less the zero at its end."""


def default() -> Path:
    """That of this user's director."""
    return Path(default_state_dir())


@contextlib.contextmanager
def held(path: Path) -> Iterator[Path]:
    """Makes the directory (mode 0700) and holds it for this process alone; raises SetupError."""
    if len(os.fsencode(path / "control")) > _MOST_SOCKET_BYTES:
        raise SetupError(f"state directory {path}: too long a name for its socket: --state-dir DIR")
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.stat().st_uid != os.geteuid():
            raise SetupError(f"state directory {path} belongs to another user: --state-dir DIR")
        descriptor = os.open(path / "pid", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SetupError(
            f"state directory {path}: {error.strerror}; choose another: --state-dir DIR"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.read(descriptor, 32).decode().strip()
            raise SetupError(
                f"a director is running already in {path} (pid {pid}); stop it, or choose"
                " another directory: --state-dir DIR"
            ) from error
        os.ftruncate(descriptor, 0)
        try:
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            raise SetupError(
                f"state directory {path}: {error.strerror}; make room there, or choose another:"
                " --state-dir DIR"
            ) from error
        yield path
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)
