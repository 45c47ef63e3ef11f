"""Acceptor: takes connections off a listening socket, and leaves descriptors for the checks.

asyncio's own accepting tries again at once when there are no descriptors left, as many times as
the backlog is long and with a traceback each: it fills a disk.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
from collections.abc import Callable

from ..checks.model import os_reason

_log = logging.getLogger(__name__)

RESERVE = 64
"""Descriptors that no client gets."""
_PAUSE_S = 1.0
_AT_ONCE = 16
"""Connections before the rest of the director has its turn."""
_OURS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
"""Shortages of this process or host: they pass, or do not, whatever the client does (accept(2))."""


class Acceptor:
    """Accepts from now on, until ``close``. The socket listens already and does not block."""

    def __init__(self, listening: socket.socket, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._listening = listening
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._entering: set[asyncio.Task[object]] = set()
        self._paused: asyncio.TimerHandle | None = None
        self._told = False
        self._resume()

    def close(self) -> None:
        """Accepts no more; those inside stay."""
        if self._paused is not None:
            self._paused.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()

    def _resume(self) -> None:
        self._paused = None
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connected, _ = self._listening.accept()
            except OSError as error:
                # Else there was none, or it has left already, or the network refused it.
                if error.errno in _OURS:
                    self._pause(os_reason(error))
                return
            if _is_scarce(connected):
                connected.close()
                self._pause("the last open files are kept for checks")
                return
            self._told = False
            self._enter(connected)

    def _enter(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        task: asyncio.Task[object] = self._loop.create_task(
            self._loop.connect_accepted_socket(self._protocol, connected)
        )
        self._entering.add(task)
        task.add_done_callback(self._entering.discard)

    def _pause(self, reason: str) -> None:
        """What waits in the backlog waits; said once, until somebody came in again."""
        self._loop.remove_reader(self._listening)
        self._paused = self._loop.call_later(_PAUSE_S, self._resume)
        if not self._told:
            name = self._listening.getsockname()
            _log.warning("Clients of %s have to wait: %s", name, reason)
        self._told = True


def _is_scarce(newest: socket.socket) -> bool:
    """A new descriptor is the lowest that is free, so its number says how many are left."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft != resource.RLIM_INFINITY and newest.fileno() >= soft - RESERVE
