"""Kept table: what was set over the control socket, in a file, so that a restart has it.

The file is what ``ipvsadm -S`` prints, with thresholds and time-outs, and ``ipvsadm -R`` reads it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import atomic_file, own_files
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
        return tuple(map(self._apply, changes))

    def _apply(self, change: Change) -> int:
        assert change.service is not None
        key = change.service.key
        if change.operation is Operation.ADD_SERVICE:
            if key in self._services:
                return errno.EEXIST
            self._services[key] = change.service
        elif change.server is not None:
            if key not in self._services:
                return errno.ESRCH
            servers = self._servers.setdefault(key, [])
            name = change.server.address, change.server.port
            if any((each.address, each.port) == name for each in servers):
                return errno.EEXIST
            servers.append(change.server)
        return 0

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
_MOST_TOLD = 20


def parse(text: str, *, file: str) -> Kept:
    """Reads a kept table; raises SetupError with the file and each line that cannot be.

    Nothing of such a file is used: what it says is nowhere else, and is not to be lost unseen.
    """
    kept = Kept()
    wrong = [
        f"{file}:{number}: {error}"
        for number, line in enumerate(text.split("\n"), 1)
        if (error := _take(kept, line))
    ]
    if wrong:
        more = [f"and {len(wrong) - _MOST_TOLD} more"] if len(wrong) > _MOST_TOLD else []
        told = "\n".join(wrong[:_MOST_TOLD] + more)
        raise SetupError(f"{told}; mend the line, or remove the file")
    return kept


def _take(kept: Kept, line: str) -> str:
    """Carries a line out; or what is wrong with it."""
    from .ipvsadm import command  # late: most directors keep no table
    from .ipvsadm.names import SystemNames

    words = line.split()
    if not words:
        return ""
    if "\N{REPLACEMENT CHARACTER}" in line or not line.strip().replace("\t", " ").isprintable():
        return "it has bytes in it that are no text"
    if words[0] not in _COMMANDS:
        return f"{words[0]} is none of {', '.join(_COMMANDS)}"
    return command.run(words, kept, SystemNames()).error.strip()  # type: ignore[arg-type]


def read(path: Path) -> Kept:
    """Reads a kept table, an empty one where there is no file; raises SetupError."""
    try:
        with open(own_files.opened(path, os.O_RDONLY), "rb") as file:
            return parse(file.read().decode(errors="replace"), file=str(path))
    except FileNotFoundError:
        return Kept()
    except OSError as error:
        raise SetupError(
            f"kept table {path}: {error.strerror}; mend that, or start without --persist"
        ) from error


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
