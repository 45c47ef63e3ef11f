"""Stalls: notices an event loop that does not turn: then nothing is checked, announced or answered.

A thread has the loop say that it turns. One that holds the interpreter's lock as well is beyond
it: there the service manager's watchdog acts, and Python says at its SIGABRT where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_log = logging.getLogger(__name__)

_EVERY_S: Final = 2.0
_LIMIT_S: Final = 3.0
_WOKEN_S: Final = 0.5
"""A process that was stopped for a while gets so long to turn before it is called stalled."""
_FRAMES: Final = 12


class Stalls:
    """Counts them, and logs each when it begins, with the place, and when it is over."""

    def __init__(self, *, every_s: float = _EVERY_S, limit_s: float = _LIMIT_S) -> None:
        self.count = 0
        self._every_s = every_s
        self._limit_s = limit_s
        self._over = threading.Event()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watches the running loop, which is this thread's."""
        with contextlib.suppress(OSError, ValueError, RuntimeError):  # no standard error
            faulthandler.enable()
        loop, thread = asyncio.get_running_loop(), threading.get_ident()
        watcher = threading.Thread(
            target=self._watch, args=(loop, thread), name="stalls", daemon=True
        )
        watcher.start()
        try:
            yield
        finally:
            self._over.set()
            watcher.join(self._limit_s)

    def _watch(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        while not self._over.wait(self._every_s):
            turned = threading.Event()
            began_s = time.monotonic()
            try:
                loop.call_soon_threadsafe(turned.set)
            except RuntimeError:
                return  # it is closed
            if not turned.wait(self._limit_s) and not turned.wait(_WOKEN_S):
                self._tell(turned, began_s, thread)

    def _tell(self, turned: threading.Event, began_s: float, thread: int) -> None:
        self.count += 1
        waited_s = time.monotonic() - began_s
        _log.error("The event loop has not turned for %.1f s: it is in %s", waited_s, where(thread))
        while not turned.wait(self._every_s):
            if self._over.is_set():
                return
        _log.warning("The event loop turns again, after %.1f s", time.monotonic() - began_s)


def where(thread: int) -> str:
    """Where it is, the innermost place first, in one line."""
    frame = sys._current_frames().get(thread)
    places = reversed(traceback.extract_stack(frame)[-_FRAMES:])
    return " < ".join(f"{each.name} ({Path(each.filename).name}:{each.lineno})" for each in places)
