"""Daemon: a process of its own, whose starter learns whether the director is up, or why not."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from .. import early_signals

_UP = b"up"


class Report:
    """What the starter waits for; it is told once."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def up(self) -> None:
        """The director is up."""
        self._tell(_UP)

    def failed(self, status: int, reason: str) -> None:
        """It is not, and never will be."""
        self._tell(f"{status} {reason}".encode("utf-8", "surrogateescape"))

    def _tell(self, words: bytes) -> None:
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            os.write(descriptor, words)
        except OSError:
            pass  # the starter has been ended meanwhile; the director goes on
        os.close(descriptor)


def start(serve: Callable[[Report], int]) -> tuple[int, str]:
    """Has ``serve`` run in a daemon; returns 0 once it is up, or its exit status and the reason.

    The process that calls this must have no thread and no event loop.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _become_daemon(serve, Report(writing))
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as report:
        said = report.read()
    if said == _UP:
        return 0, ""
    status, _, reason = said.decode("utf-8", "surrogateescape").partition(" ")
    if not status:
        return 1, "the director ended while it was starting; the log may say why"
    return int(status), reason


def _become_daemon(serve: Callable[[Report], int], report: Report) -> None:
    status = 1
    early_signals.hold()
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.chdir("/")
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        status = serve(report)
    except BaseException as error:
        # Nobody above this: the starter is told, and the process ends.
        report.failed(1, f"{type(error).__name__}: {error}")
    finally:
        sys.stdout.flush()
        os._exit(status)
