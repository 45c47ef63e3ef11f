"""The director as it looks from outside: its books, what it holds, what it writes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path

from dr_forwarder.client import Client
from dr_forwarder.errors import NotRunning, Refused

EVERY_S = 0.2
LOOKS = 40
"""Of which the least counts: a check or a command that is under way is nobody's leak."""
LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds, and how many descendants it has."""

    resident_kb: int
    descriptors: int
    threads: int
    children: int

    def least(self, other: Held) -> Held:
        """The smaller of each."""
        return Held(*(min(getattr(self, n.name), getattr(other, n.name)) for n in fields(self)))


def look(pid: int) -> Held:
    """At this moment."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines)
    descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    resident = int(status["VmRSS"].split()[0])
    return Held(resident, descriptors, int(status["Threads"]), len(list(descendants(pid))))


def command_of(pid: int) -> str:
    """Its command line; empty when it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


def descendants(pid: int) -> Iterator[int]:
    """Its children, and theirs."""
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                yield child
                yield from descendants(child)


def least(pid: int) -> Held:
    """Of some looks within ten seconds."""
    found = look(pid)
    for _ in range(LOOKS):
        time.sleep(LOOK_S)
        found = found.least(look(pid))
    return found


@dataclass
class Books:
    """Whether in each snapshot every frame has one verdict."""

    snapshots: int = 0
    unbalanced: list[str] = field(default_factory=list)
    unanswered: int = 0
    """Snapshots that were asked for while the director was to answer, and did not come."""
    slowest_s: float = 0.0
    slowest_paused_s: float = 0.0
    connections: int = 0
    most_connections: int = 0
    frames: int = 0
    """Of all lives of the director."""


class Watching(threading.Thread):
    """Looks at the books, until it is ended. Pauses are known by asking."""

    def __init__(self, client: Client, paused: Callable[[float, float], bool]) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._paused = paused
        self._over = threading.Event()
        self._frames = 0
        self.books = Books()

    def run(self) -> None:
        while not self._over.wait(EVERY_S):
            self._look()

    def end(self) -> None:
        self._over.set()
        self.join()

    def _look(self) -> None:
        began_s = time.monotonic()
        try:
            stats = self._client.stats()
        except (NotRunning, Refused):
            self.books.unanswered += not self._paused(began_s, time.monotonic())
            return
        ended_s = time.monotonic()
        books = self.books
        books.snapshots += 1
        if self._paused(began_s, ended_s):
            books.slowest_paused_s = max(books.slowest_paused_s, ended_s - began_s)
        else:
            books.slowest_s = max(books.slowest_s, ended_s - began_s)
        books.connections = stats.connections
        books.most_connections = max(books.most_connections, stats.connections)
        books.frames += stats.frames - (self._frames if stats.frames >= self._frames else 0)
        self._frames = stats.frames
        told = sum(stats.verdicts.values())
        if stats.frames != told or stats.created - stats.expired != stats.connections:
            books.unbalanced.append(
                f"{stats.frames} frames, {told} verdicts; {stats.created} made,"
                f" {stats.expired} expired, {stats.connections} there"
            )
