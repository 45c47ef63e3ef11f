"""Kept table: what was set over the control socket, in a file, so that a restart has it.

The file is what ``ipvsadm -S`` prints, with thresholds and time-outs, and ``ipvsadm -R`` reads it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import atomic_file
from .errors import SetupError
from .plan import Wanted
from .table import Change, Key, Operation, Server, Service, ServiceRow

_log = logging.getLogger(__name__)

FILE_NAME = "table"

Timeouts = tuple[int, int, int]
"""Seconds: established TCP, TCP after a FIN, UDP; 0: as the configuration says."""


@dataclass(slots=True)
class Kept:
    """What a file says, as the commands in it are carried out."""

    timeouts: Timeouts = (0, 0, 0)
    _services: dict[Key, Service] = field(default_factory=dict)
    _servers: dict[Key, list[Server]] = field(default_factory=dict)

    def apply(self, changes: Sequence[Change]) -> tuple[int, ...]:
        """As `ipvsadm.ipvs.Ipvs`."""
        for change in changes:
            assert change.service is not None
            key = change.service.key
            if change.operation is Operation.ADD_SERVICE:
                self._services[key] = change.service
            elif change.server is not None:
                self._servers.setdefault(key, []).append(change.server)
        return (0,) * len(changes)

    def set_timeouts(self, *, tcp_s: int = 0, tcp_fin_s: int = 0, udp_s: int = 0) -> None:
        """As `ipvsadm.ipvs.Ipvs`."""
        self.timeouts = (tcp_s, tcp_fin_s, udp_s)

    @property
    def goal(self) -> tuple[Wanted, ...]:
        """The services with their servers, in the file's order."""
        return tuple(
            Wanted(service, tuple(self._servers.get(key, ())))
            for key, service in self._services.items()
        )


_COMMANDS = ("-A", "-a", "--set")


def parse(text: str, *, file: str) -> Kept:
    """Reads a kept table; raises SetupError with file and line."""
    from .ipvsadm import command  # late: most directors keep no table
    from .ipvsadm.names import SystemNames

    kept = Kept()
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        error = f"{words[0]} is none of {', '.join(_COMMANDS)}"
        if words[0] in _COMMANDS:
            done = command.run(words, kept, SystemNames())  # type: ignore[arg-type]
            error = done.error.strip()
        if error:
            raise SetupError(f"{file}:{number}: {error}; mend the line, or remove the file")
    return kept


def read(path: Path) -> Kept:
    """Reads a kept table, an empty one where there is no file; raises SetupError."""
    try:
        return parse(path.read_text(encoding="utf-8"), file=str(path))
    except FileNotFoundError:
        return Kept()
    except (OSError, UnicodeError) as error:
        raise SetupError(f"kept table {path}: {error}") from error


def text(rows: Sequence[ServiceRow], timeouts: Timeouts | None) -> str:
    """What is to be kept of a table; ``timeouts`` is None where they are the configuration's."""
    from .ipvsadm import listing, save

    lines = save.kept(rows, listing.numeric)
    if timeouts is None:
        return lines
    return f"--set {' '.join(map(str, timeouts))}\n{lines}"


class Keeper:
    """Writes what is to be kept; changes that come while one is written are written together."""

    def __init__(self, path: Path, contents: Callable[[], str]) -> None:
        self._path = path
        self._contents = contents
        self._asked = self._done = 0
        self._writing = asyncio.Lock()

    async def keep(self) -> str | None:
        """Returns when all that has changed so far is on the disk; or why it is not."""
        self._asked += 1
        mine = self._asked
        async with self._writing:
            if self._done >= mine:
                return None
            upto, contents = self._asked, self._contents()
            try:
                await asyncio.to_thread(atomic_file.write, self._path, contents)
            except OSError as error:
                _log.error("%s: not kept: %s", self._path, error.strerror)
                return f"{self._path}: not kept: {error.strerror}"
            self._done = upto
            return None
