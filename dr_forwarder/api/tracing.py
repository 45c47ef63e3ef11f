"""Tracing over the control socket: a line for each decision that somebody wants to see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from ..director import Director, epoch_ns
from ..errors import DataplaneError
from ..records import Filter, Traced
from ..tracing import Trace
from .reading import Invalid

USUAL_PER_S = 1000
MOST_PER_S = 5000
"""Records a second, so that whoever watches cannot take the director's time."""
_LOOK_S = 0.05
_TOLD_S = 1.0


def bounded(asked: Filter) -> Filter:
    """With a limit a second, whatever was asked for."""
    return replace(asked, per_s=min(asked.per_s or USUAL_PER_S, MOST_PER_S))


def watch(director: Director, asked: Filter) -> Trace:
    """Opens a trace; raises Invalid when too many watch already."""
    try:
        return director.trace(bounded(asked))
    except DataplaneError as error:
        raise Invalid("the trace", "four watch already; end one of them first") from error


async def traced(trace: Trace) -> AsyncIterator[Traced]:
    """Records as they come, and every second what is missing so far.

    The latter also goes to whom no record goes, so that one who has left is noticed.
    """
    clock, epoch = asyncio.get_running_loop().time, epoch_ns()
    due_s = 0.0
    while not trace.closed:
        records = trace.read(epoch_ns=epoch)
        for record in records:
            yield Traced(record=record)
        if clock() >= due_s:
            due_s = clock() + _TOLD_S
            yield Traced(losses=trace.losses)
        await asyncio.sleep(0 if records else _LOOK_S)
