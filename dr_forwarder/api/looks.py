"""Looks: the calls that read."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TypeVar

from ..border import VERDICTS
from ..config import Config
from ..config.secrecy import without_secrets
from ..daemons import SyncDaemon
from ..link_state import LinkState
from ..records import Record, Traced
from ..table import Connection, ServiceRow, Stats
from . import examples
from .bodies import AskedTrace, Standby, Timeouts
from .calls import Call, Served
from .tracing import traced, watch

_SLICE = 256
"""Connections that are read and written at once, in a few milliseconds."""

_Line = TypeVar("_Line")
Lines = AsyncIterator[AsyncIterator[Sequence[_Line]]]
"""The context of a stream, as a generator."""


async def services(served: Served) -> tuple[ServiceRow, ...]:
    """Of the core, as it is now."""
    return served.director.services()


@contextlib.asynccontextmanager
async def connections(served: Served) -> Lines[Connection]:
    """Slice by slice, so that a million of them hold up nobody."""
    yield _slices(served.director.each_connection())


async def _slices(connections: Iterable[Connection]) -> AsyncIterator[Sequence[Connection]]:
    left = iter(connections)
    while some := tuple(itertools.islice(left, _SLICE)):
        yield some


@contextlib.asynccontextmanager
async def trace(served: Served, asked: AskedTrace) -> Lines[Traced]:
    """As decisions are made."""
    with contextlib.closing(watch(served.director, asked.read(VERDICTS))) as opened:
        yield ((each,) async for each in traced(opened))


async def drops(served: Served) -> tuple[Record, ...]:
    """Of the core, by their time."""
    return served.director.drops()


async def stats(served: Served) -> Stats:
    """Of the core, consistent."""
    return served.director.stats()


async def timeouts(served: Served) -> Timeouts:
    """Of the core."""
    return Timeouts(*served.director.timeouts())


async def daemons(served: Served) -> tuple[SyncDaemon, ...]:
    """That run, the master first."""
    return tuple(served.director.sync.daemons())


async def standby(served: Served) -> Standby:
    """Of the director."""
    return Standby(served.director.standby)


async def link(served: Served) -> LinkState:
    """Of the director's interface."""
    return served.director.link


async def config(served: Served) -> Config:
    """As it runs, without its secrets."""
    return without_secrets(served.director.config)


LOOKS = (
    Call(
        "GET",
        "/services",
        "The table: services with their servers, counters and rates",
        tuple[ServiceRow, ...],
        services,
        examples.SERVICES,
        details="Servers come the newest first, as in the kernel's list.",
    ),
    Call(
        "GET",
        "/connections",
        "The connection table",
        Connection,
        connections,
        examples.CONNECTIONS,
        lines=True,
        details="In the table's order. What changes meanwhile may or may not be seen.",
    ),
    Call(
        "GET",
        "/stats",
        "What became of the frames, and all counters",
        Stats,
        stats,
        examples.STATS,
        details="One consistent snapshot: `frames` is the sum of `verdicts`.",
    ),
    Call(
        "GET",
        "/config",
        "The configuration that is running",
        Config,
        config,
        examples.CONFIG,
        details="With every default resolved, passwords and secrets hidden.",
    ),
    Call(
        "GET",
        "/trace",
        "Decisions as they are made, frame by frame",
        Traced,
        trace,
        examples.TRACE,
        parameters=AskedTrace,
        lines=True,
        endless=True,
        details="Without end. Each second a line says what is missing so far, because there is a"
        " limit a second or the reader is too slow.",
    ),
    Call(
        "GET",
        "/drops",
        "The last frames that were dropped, and why",
        tuple[Record, ...],
        drops,
        examples.DROPS,
        details="Up to 16 for each verdict, by their time.",
    ),
    Call("GET", "/timeouts", "The time-outs", Timeouts, timeouts, examples.TIMEOUTS),
    Call(
        "GET",
        "/daemons",
        "The synchronisation daemons that run",
        tuple[SyncDaemon, ...],
        daemons,
        examples.DAEMONS,
    ),
    Call(
        "GET",
        "/standby",
        "Whether the VIPs are another director's",
        Standby,
        standby,
        examples.STANDBY,
    ),
    Call(
        "GET",
        "/link",
        "How it stands with the interface",
        LinkState,
        link,
        examples.LINK,
    ),
)
"""In the order of the documentation."""
