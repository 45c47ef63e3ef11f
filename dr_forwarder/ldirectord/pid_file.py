"""Pid file: `ldirectord.NAME.pid`, by which init scripts and cluster agents know a director."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .. import own_files
from ..errors import SetupError

DIRECTORY_VARIABLE = "DR_LDIRECTORD_PID_DIR"
_DIRECTORY = "/var/run"
_LOOK_S = 0.05
_FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL


@dataclass(frozen=True, slots=True)
class PidFile:
    """Where the number of a running director's process is written."""

    path: Path

    @property
    def written(self) -> int | None:
        """The number in it; None: there is no such file, or no number in it."""
        try:
            return int(self.path.read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None

    @property
    def running(self) -> int | None:
        """The director's process; None if there is none, whatever the file says."""
        pid = self.written
        return pid if pid is not None and is_ldirectord(pid) else None

    def gone(self, pid: int, *, limit_s: float) -> bool:
        """Waits until the process has ended, or for the limit; true if it has."""
        until_s = time.monotonic() + limit_s
        while is_ldirectord(pid):
            if time.monotonic() >= until_s:
                return False
            time.sleep(_LOOK_S)
        return True

    def remove_stale(self) -> None:
        """Takes the file away if no director runs."""
        if self.running is None:
            self.path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Holds this process's number as long as the context lasts; raises SetupError."""
        try:
            own_files.removed(self.path)  # whatever it was, it is not written to
            descriptor = own_files.opened(self.path, _FRESH, 0o644)
            with open(descriptor, "w", encoding="ascii") as file:
                file.write(f"{os.getpid()}\n")
        except OSError as error:
            raise SetupError(f"pid file {self.path}: {error.strerror}") from error
        try:
            yield
        finally:
            if self.written == os.getpid():
                self.path.unlink(missing_ok=True)


def of(name: str) -> PidFile:
    """That of a configuration's name."""
    directory = os.environ.get(DIRECTORY_VARIABLE) or _DIRECTORY
    return PidFile(Path(directory) / f"ldirectord.{name}.pid")


def is_ldirectord(pid: int) -> bool:
    """As ldirectord tells: its command line has the word in it. One that ended has none."""
    try:
        return b"ldirectord" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
