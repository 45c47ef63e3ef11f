"""Log queue: lines on their way to a place that may be slow, full, hung or gone.

Whoever logs never waits: a thread of the queue's own writes, and what the queue has no room for is
dropped and counted.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable

_log = logging.getLogger(__name__)

Write = Callable[[str], None]
"""Writes one line, and may take its time; raises OSError."""

ROOM_BYTES = 4 << 20
"""Some 40,000 lines: what ten thousand servers have to say when they all change at once."""
RETRY_S = 1.0
FLUSH_S = 2.0
"""At the end, for what still waits."""


class QueuedHandler(logging.Handler):
    """Hands formatted lines to ``write``, in a thread that never keeps the program from ending.

    A place that cannot be written is told of once, to the other handlers; its lines wait.
    """

    def __init__(
        self, write: Write, place: str, *, room_bytes: int = ROOM_BYTES, retry_s: float = RETRY_S
    ) -> None:
        super().__init__()
        self._write = write
        self._place = place
        self._room_bytes = room_bytes
        self._retry_s = retry_s
        self._lines: deque[str] = deque()
        # Its lock may be taken again by the thread that has it: logging happens anywhere.
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._dropped = 0
        self._failing = False
        self._closed = False

    def emit(self, record: logging.LogRecord) -> None:
        """Puts it into the queue, or counts it as dropped."""
        line = self._formatted(record)
        with self._changed:
            if self._dropped or self._room_bytes < len(line):
                # Those that come later wait behind the word of those that are missing.
                self._dropped += 1
            else:
                self._put(line)

    def flush(self, limit_s: float = FLUSH_S) -> None:
        """Waits until all is written, or cannot be, or for the limit."""
        with self._changed:
            self._changed.wait_for(lambda: not self._lines or self._failing, limit_s)

    def close(self) -> None:
        """Takes no more; what waits is still written while the program lasts."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        super().close()

    def _formatted(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record)
        except Exception as error:
            # A wrong argument somewhere is no reason to lose the line, or to write to stderr.
            return f"{record.levelname} {record.msg!r} {record.args!r}: {error}"

    def _put(self, line: str) -> None:
        self._lines.append(line)
        self._room_bytes -= len(line)
        self._changed.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="log", daemon=True)
            self._thread.start()

    # ---- The thread ----

    def _work(self) -> None:
        while (line := self._next()) is not None:
            try:
                self._write(line)
            except OSError as error:
                if not self._wait_after(error):
                    return
                continue
            self._written(line)

    def _next(self) -> str | None:
        """The line that is to be written; None: there will be none any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._closed)
            return self._lines[0] if self._lines else None

    def _written(self, line: str) -> None:
        with self._changed:
            self._failing = False
            self._lines.popleft()
            self._room_bytes += len(line)
            if self._dropped and not self._lines:
                count, self._dropped = self._dropped, 0
                words = f"{count} log lines were dropped: {self._place} was too slow, or gone"
                self._put(self._formatted(_warning(words)))
            self._changed.notify_all()

    def _wait_after(self, error: OSError) -> bool:
        """False: the handler is closed, and what waits is lost."""
        with self._changed:
            told, self._failing = self._failing, True
            self._changed.notify_all()
        if not told:
            _log.warning(
                "The log cannot be written to %s: %s; it is tried again each %g s",
                self._place,
                error.strerror or error,
                self._retry_s,
            )
        with self._changed:
            return not self._changed.wait_for(lambda: self._closed, self._retry_s)


def _warning(text: str) -> logging.LogRecord:
    return logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, None, None)


def to_descriptor(descriptor: int) -> Write:
    """Writes to an open file, past Python's own buffers, whose locks are waited for at the end."""

    def write(line: str) -> None:
        left = f"{line}\n".encode(errors="backslashreplace")
        while left:
            left = left[os.write(descriptor, left) :]

    return write
