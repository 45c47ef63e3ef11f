"""Turns: hears a socket in the event loop so that a storm on it leaves time to all others.

In one turn only so many messages are taken, and after a full one the socket rests. What comes
meanwhile waits in the kernel, which drops what it has no room for, at no cost of ours.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Final

_log = logging.getLogger(__name__)

AT_ONCE: Final = 64
"""Messages in a turn."""
REST_S: Final = 0.0125
"""After a full turn: not more than 5,120 messages a second."""


class Turns:
    """Begins at once, in the running loop. The socket is the caller's, and does not block.

    ``hear`` gets each message, of up to ``room`` bytes; ``name`` is for the log.
    """

    def __init__(
        self, where: socket.socket, hear: Callable[[bytes], object], *, room: int, name: str
    ) -> None:
        self._socket = where
        self._hear = hear
        self._room = room
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._rest: asyncio.TimerHandle | None = None
        self._is_open = True
        self._begin()

    def close(self) -> None:
        """Hears no more, also within a turn; the socket must still be open."""
        self._is_open = False
        self._loop.remove_reader(self._socket)
        if self._rest is not None:
            self._rest.cancel()

    def _begin(self) -> None:
        self._rest = None
        self._loop.add_reader(self._socket, self._turn)

    def _turn(self) -> None:
        for _ in range(AT_ONCE):
            if not self._is_open:
                return
            try:
                data = self._socket.recv(self._room)
            except BlockingIOError:
                return
            except OSError as error:
                # As when the link goes down, which others tell of; reading clears the error.
                _log.debug("%s: %s", self._name, error)
                return
            self._hear(data)
        if self._is_open:
            self._loop.remove_reader(self._socket)
            self._rest = self._loop.call_later(REST_S, self._begin)
