"""Losses watch: looks at the counters of what found no room, every second."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from ..director import Director
from ..losses import Losses

_TICK_S = 1.0


@contextlib.asynccontextmanager
async def watching(director: Director) -> AsyncIterator[None]:
    """Emits what there is to tell as long as the context lasts."""
    task = asyncio.create_task(_watch(director))
    try:
        yield
    finally:
        task.cancel()


async def _watch(director: Director) -> None:
    losses = Losses(director.config.settings.connections)
    while True:
        for event in losses.look(director.stats(), time.monotonic()):
            director.events.emit(event)
        await asyncio.sleep(_TICK_S)
