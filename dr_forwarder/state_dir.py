"""State directory: where a running director keeps its control socket, its lock and its state."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from . import own_files
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
    with contextlib.ExitStack() as held_too:
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if path.lstat().st_uid not in (0, os.geteuid()):
                raise SetupError(f"state directory {path} belongs to another user: --state-dir DIR")
            held_too.enter_context(own_files.hold(path))
            descriptor = own_files.opened(path / "pid", os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise SetupError(_refused(path, error)) from error
        held_too.callback(os.close, descriptor)
        _lock(path, descriptor)
        yield path
        os.ftruncate(descriptor, 0)


def _refused(path: Path, error: OSError) -> str:
    where = f"state directory {path}"
    if error.filename == str(path / "pid"):
        where = str(error.filename)
    elif error.errno == errno.ENOTDIR and path.is_symlink():
        return f"{where}: it is a symbolic link; choose what it leads to: --state-dir DIR"
    return f"{where}: {error.strerror}; choose another: --state-dir DIR"


def _lock(path: Path, descriptor: int) -> None:
    """Writes this process's number; raises SetupError where another one has the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        pid = os.read(descriptor, 32).decode(errors="replace").strip()
        raise SetupError(
            f"a director is running already in {path} (pid {pid}); stop it, or choose"
            " another directory: --state-dir DIR"
        ) from error
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        raise SetupError(
            f"state directory {path}: {error.strerror}; make room there, or choose another:"
            " --state-dir DIR"
        ) from error
