"""Background: work that may wait for the world, one piece after the other, off the event loop."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

_log = logging.getLogger(__name__)

Found = TypeVar("Found")
_ROOM = 10_000


class Background:
    """A thread of its own. It never keeps the program from ending, whatever it waits for."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue(_ROOM)
        self._thread: threading.Thread | None = None
        self._full = False

    def do(self, job: Callable[[], object]) -> None:
        """Has it done later; drops it, and says so once, when too much waits already."""
        try:
            self._jobs.put_nowait(lambda: self._supervised(job))
        except queue.Full:
            if not self._full:
                _log.error("%s: %d jobs wait already; more are dropped", self._name, _ROOM)
            self._full = True
            return
        self._full = False
        if self._thread is None:
            # A pool would be joined at the end of the program, however long that takes.
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()

    def ask(self, question: Callable[[], Found]) -> Future[Found]:
        """Has it done later, for its answer."""
        future: Future[Found] = Future()

        def answer() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(question())
            except Exception as error:
                # It is raised where the answer is waited for.
                future.set_exception(error)

        self.do(answer)
        return future

    def close(self, *, limit_s: float) -> bool:
        """Waits until all is done, or for the limit; true if all is done."""
        if self._thread is None:
            return True
        try:
            self._jobs.put(None, timeout=limit_s)
        except queue.Full:
            return False
        self._thread.join(limit_s)
        return not self._thread.is_alive()

    def _supervised(self, job: Callable[[], object]) -> None:
        try:
            job()
        except Exception:
            # A bug in one job must not end the others.
            _log.exception("%s", self._name)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
