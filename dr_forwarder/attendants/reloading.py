"""Reloading: reads a changed configuration file again by itself (`autoreload`)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

from ..director import Director
from .background import Background
from .file_watch import begin, look

_log = logging.getLogger(__name__)

_TICK_S = 1.0


async def _watch(
    director: Director, paths: tuple[Path, ...], reload: Callable[[], Awaitable[None]]
) -> None:
    background = Background("configuration file")
    watch = begin(look(paths))
    while True:
        await asyncio.sleep(_TICK_S)
        now = await asyncio.wrap_future(background.ask(partial(look, paths, watch.last)))
        watch, changed = watch.after(now)
        if not changed:
            continue
        names = ", ".join(map(str, paths))
        if director.config.auto_reload:
            _log.info("Configuration file %s has changed: it is read again", names)
            await reload()
        else:
            _log.info("Configuration file %s has changed, and autoreload=no: send SIGHUP", names)


@contextlib.asynccontextmanager
async def reloading(
    director: Director, paths: tuple[Path, ...], reload: Callable[[], Awaitable[None]]
) -> AsyncIterator[None]:
    """Watches the files as long as the context lasts."""
    watching = asyncio.create_task(_watch(director, paths, reload))
    try:
        yield
    finally:
        watching.cancel()
