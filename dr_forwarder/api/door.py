"""Door: who may come in, how many, and how long anybody may keep others waiting.

The same before the control socket and before the TCP address of the page and the metrics.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

from .acceptor import Acceptor
from .reading import Invalid

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED
_LOOKS = 3
"""At each client, in the shorter of the times that it may keep others waiting."""
_ROOT = 0
_READ_BYTES = 1 << 14
"""At a time. Asyncio reads 256 KiB, and of a head that is too long aiohttp's fault and the answer
tell all of it, several times over."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may take of what others need too."""

    clients: int = 128
    """At a time."""
    followers: int = 64
    """Of these, whose answers have no end; the other places are for short questions."""
    kept: int = 8
    """More of each, for root."""
    body_bytes: int = 32 << 20
    head_s: float = 10.0
    """For the first request's head to come."""
    body_s: float = 30.0
    """For a request's body to come."""
    idle_s: float = 60.0
    """Between two requests."""
    stalled_s: float = 15.0
    """With an answer that is not read on."""


USUAL = Limits()
LOOKING = Limits(clients=64, kept=0, body_bytes=64 << 10)
"""Over TCP, where everybody is a stranger."""
Server = Callable[[], asyncio.Protocol]
"""Makes the protocol of a connection."""


def peer_uid(connected: socket.socket) -> int:
    """Who opened the other end of a Unix socket."""
    raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(raw)[1])


@dataclass(slots=True)
class _Visit:
    since_s: float
    """It came, or its last question was answered."""
    uid: int | None
    """None: over TCP."""
    asked: bool = False
    """A whole head has come."""
    waiting: int = 0
    """Questions that are not answered yet."""
    follows: bool = False
    unread_bytes: int = 0
    looks: int = 0
    """In a row, at which nothing had been read since the one before."""


@dataclass(slots=True)
class Door:
    """Stands before a server's protocol."""

    limits: Limits = USUAL
    _visits: dict[asyncio.BaseTransport, _Visit] = field(default_factory=dict)
    _looking: asyncio.TimerHandle | None = None

    @contextlib.asynccontextmanager
    async def open(self, listening: socket.socket, server: Server) -> AsyncIterator[None]:
        """Lets clients in as long as the context lasts, and closes the listening socket."""
        acceptor = Acceptor(listening, lambda: _Entering(self, server))
        try:
            yield
        finally:
            acceptor.close()

    @contextlib.contextmanager
    def asking(self, transport: asyncio.BaseTransport | None) -> Iterator[None]:
        """A request's head has come; the context lasts until it is answered."""
        visit = None if transport is None else self._visits.get(transport)
        if visit is None:
            yield
            return
        visit.asked = True
        visit.waiting += 1
        try:
            yield
        finally:
            visit.waiting -= 1
            visit.since_s = asyncio.get_running_loop().time()

    @contextlib.contextmanager
    def following(self, transport: asyncio.BaseTransport | None) -> Iterator[None]:
        """The answer has no end; raises Invalid when too many have such a one."""
        visit = None if transport is None else self._visits.get(transport)
        if visit is None:
            yield
            return
        self._forget_those_who_left()
        followers = sum(each.follows for each in self._visits.values())
        if followers >= self.limits.followers + self._kept_for(visit.uid):
            raise Invalid("the call", "too many follow events or a trace already", status=503)
        visit.follows = True
        try:
            yield
        finally:
            visit.follows = False

    def admit(self, transport: asyncio.Transport, server: Server) -> None:
        """Lets a connection in to the server, or sends it away with the reason."""
        self._forget_those_who_left()
        connected = transport.get_extra_info("socket")
        uid = peer_uid(connected) if connected.family == socket.AF_UNIX else None
        if uid not in (os.geteuid(), _ROOT, None):
            _send_away(transport, "403 Forbidden", "only the director's user and root may ask")
            return
        if len(self._visits) >= self.limits.clients and not self._make_room():
            most = self.limits.clients + self._kept_for(uid)
            if len(self._visits) >= most:
                _send_away(transport, "503 Service Unavailable", "there are too many clients")
                return
        transport.max_size = _READ_BYTES  # type: ignore[attr-defined] # of selectors' transports
        self._visits[transport] = _Visit(asyncio.get_running_loop().time(), uid)
        self._look_again()
        protocol = server()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)

    def _kept_for(self, uid: int | None) -> int:
        return self.limits.kept if uid == _ROOT else 0

    def _make_room(self) -> bool:
        """Who asks nothing gives way to who may: the one that has said nothing for longest."""
        idle = [each for each, visit in self._visits.items() if not visit.waiting]
        if not idle:
            return False
        longest = min(idle, key=lambda each: self._visits[each].since_s)
        assert isinstance(longest, asyncio.Transport)
        del self._visits[longest]
        longest.abort()
        return True

    def _forget_those_who_left(self) -> None:
        self._visits = {t: visit for t, visit in self._visits.items() if not _has_left(t)}

    # ---- Those who keep others waiting ----

    def _look_again(self) -> None:
        if self._looking is None:
            after_s = min(self.limits.head_s, self.limits.stalled_s) / _LOOKS
            self._looking = asyncio.get_running_loop().call_later(after_s, self._look)

    def _look(self) -> None:
        self._looking = None
        self._forget_those_who_left()
        for transport, visit in tuple(self._visits.items()):
            assert isinstance(transport, asyncio.Transport)
            if self._is_slow(transport, visit):
                transport.abort()
        if self._visits:
            self._look_again()

    def _is_slow(self, transport: asyncio.Transport, visit: _Visit) -> bool:
        """Says nothing, or lets the same bytes lie at every look."""
        waited_s = asyncio.get_running_loop().time() - visit.since_s
        unread = transport.get_write_buffer_size()
        visit.looks = visit.looks + 1 if unread and unread == visit.unread_bytes else 0
        visit.unread_bytes = unread
        stalled_looks = self.limits.stalled_s / min(self.limits.head_s, self.limits.stalled_s)
        return visit.looks >= _LOOKS * stalled_looks or (
            not visit.asked and waited_s > self.limits.head_s
        )


def _has_left(transport: asyncio.BaseTransport) -> bool:
    assert isinstance(transport, asyncio.Transport)
    return transport.is_closing() and not transport.get_write_buffer_size()


class _Entering(asyncio.Protocol):
    """A connection that has not been looked at yet."""

    def __init__(self, door: Door, server: Server) -> None:
        self._door = door
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._door.admit(transport, self._server)


def _send_away(transport: asyncio.Transport, status: str, reason: str) -> None:
    body = json.dumps({"error": reason, "field": None})
    transport.write(
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Connection: close\r\n\r\n{body}".encode()
    )
    transport.close()
