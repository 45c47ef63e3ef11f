"""Site: where a forwarder is started, and what one that runs is known by."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field

from ..lab.namespace import Namespace

LIMIT_S = 300
"""No forwarder runs for longer than this, whatever becomes of the benchmark."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a forwarder is started with, where it has such a thing."""

    connections: int = 1_048_576
    """Room in the director's table."""
    busy_poll_us: int = 0
    """How long the director stays awake after a frame."""
    workers: int = 1
    """Threads of the director, or of bare rings."""
    realtime: bool = False
    """Whether the director goes before the kernel's packet threads."""
    cpus: int = 1
    """So many are the forwarder's; its workers share them."""


DEFAULT = Shape()


@dataclass(frozen=True, slots=True)
class Site:
    """One interface in one namespace, and the CPUs that are the forwarder's."""

    inside: Namespace
    interface: str
    cpus: tuple[int, ...]
    shape: Shape


@dataclass(frozen=True, slots=True)
class Running:
    """A forwarder that runs."""

    cpus: tuple[int, ...]
    tasks: tuple[str, ...]
    """Its threads, as directories of /proc; none when it is the kernel itself."""
    said: dict[str, int] = field(default_factory=dict)
    """What it says of itself when its context has ended."""


def say(inside: Namespace, *argv: str, text: str | None = None) -> str:
    """Run a program there to its end; what it printed. CalledProcessError unless it was content."""
    process = inside.popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    printed, _ = process.communicate(text, timeout=LIMIT_S)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, argv, printed)
    return printed
