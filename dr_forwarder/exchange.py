"""Exchange: one HTTP request over a Unix socket, and its answer. Imports nothing slow.

A command that asks a director and ends must not wait for `http.client`, which brings the mail
parser along. It asks by HTTP/1.0, so that no server may answer in chunks (RFC 9112 section 6.1):
a body has the length that Content-Length tells, or goes up to the end (section 6.3). Only a stream
is asked for by HTTP/1.1, because its last chunk says that it is whole (section 7.1).
"""

from __future__ import annotations

import _socket
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

_READ_BYTES = 1 << 18
_MOST_HEADER_BYTES = 1 << 16
_QUEUE_S = 10.0
"""For which a place in the socket's queue is waited for, where nothing else is said."""
_AGAIN_S = 0.01
_ROOT = 0
_CREDENTIALS_BYTES = 12
"""Process, user, group, an int each: unix(7), SO_PEERCRED."""


class StrangerError(OSError):
    """Neither root nor this user listens at the socket."""


class BadAnswerError(OSError):
    """What came is no whole HTTP answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and what came with it."""

    status: int
    reason: str
    body: bytes


class NoStreamError(OSError):
    """Something else was answered than the stream that was asked for."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status} {answer.reason}")
        self.answer = answer


def exchange(
    path: str, method: str, target: str, body: bytes | None = None, *, limit_s: float
) -> Answer:
    """Asks and waits at most ``limit_s`` for each step; raises OSError."""
    with contextlib.closing(_unix_socket()) as where:
        _ask(where, path, method, target, body, limit_s)
        return _whole(where, _head(where))


def lines(path: str, target: str, *, limit_s: float | None) -> Iterator[bytes]:
    """The lines of a stream as they come, until it ends.

    Raises NoStreamError when another answer comes, TimeoutError when nothing comes for
    ``limit_s``, OSError when it is cut off.
    """
    with contextlib.closing(_unix_socket()) as where:
        _ask(where, path, "GET", target, None, limit_s, version="1.1")
        answer = _head(where)
        if answer.status != 200 or not answer.chunked:
            raise NoStreamError(_whole(where, answer))
        pending = b""
        for chunk in _unchunked(where, answer.begun):
            if b"\n" not in chunk:
                pending += chunk
                continue
            *whole, pending = (pending + chunk).split(b"\n")
            yield from whole


def _unix_socket() -> _socket.socket:
    """By ``_socket``: what ``socket`` adds for all the families takes a third of the time."""
    return _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)


def _ask(
    where: _socket.socket,
    path: str,
    method: str,
    target: str,
    body: bytes | None,
    limit_s: float | None,
    *,
    version: str = "1.0",
) -> None:
    where.settimeout(limit_s)
    _connect(where, path, _QUEUE_S if limit_s is None else limit_s)
    _require_trusted(where)
    head = f"{method} {target} HTTP/{version}\r\nHost: localhost\r\nConnection: close\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    with contextlib.suppress(BrokenPipeError):  # who sends us away has said why
        where.sendall(f"{head}\r\n".encode() + (body or b""))


def _require_trusted(where: _socket.socket) -> None:
    """Root may ask any user's director, as it may do anything; others only root's and their own.

    A user that is not mapped into this namespace reads as the overflow user, and is a stranger.
    """
    user = int.from_bytes(_credentials(where)[4:8], sys.byteorder)
    if os.geteuid() not in (_ROOT, user) and user != _ROOT:
        raise StrangerError(f"user {user} listens at its socket, neither root nor you")


def _credentials(where: _socket.socket) -> bytes:
    return where.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _CREDENTIALS_BYTES)


def _connect(where: _socket.socket, path: str, limit_s: float) -> None:
    """Waits while the socket's queue is full, of which the kernel says EAGAIN at once: unix(7)."""
    until_s = time.monotonic() + limit_s
    while True:
        try:
            return where.connect(path)
        except BlockingIOError:
            if time.monotonic() >= until_s:
                raise
            time.sleep(_AGAIN_S)


@dataclass(frozen=True, slots=True)
class _Head:
    """What comes before a body."""

    status: int
    reason: str
    length: int | None
    """Of the body, if it is told."""
    chunked: bool
    begun: bytes
    """What has come of the body already."""


def _head(where: _socket.socket) -> _Head:
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = where.recv(_READ_BYTES)
        received += chunk
        if not chunk or len(received) > _MOST_HEADER_BYTES + _READ_BYTES:
            raise BadAnswerError("no HTTP answer")
    head, body = received.split(b"\r\n\r\n", 1)
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    status, _, reason = rest.partition(" ")
    if not version.startswith("HTTP/1.") or not status.isdigit():
        raise BadAnswerError("no HTTP answer")
    fields = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    length = fields.get("content-length", "")
    chunked = fields.get("transfer-encoding") == "chunked"
    return _Head(int(status), reason, int(length) if length.isdigit() else None, chunked, body)


def _whole(where: _socket.socket, head: _Head) -> Answer:
    left = None if head.length is None else head.length - len(head.begun)
    return Answer(head.status, head.reason, head.begun + b"".join(_chunks(where, left)))


def _chunks(where: _socket.socket, left: int | None) -> Iterator[bytes]:
    """Raises BadAnswerError when less comes than was told."""
    while left is None or left > 0:
        chunk = where.recv(_READ_BYTES)
        if not chunk:
            if left is not None:
                raise BadAnswerError("half an answer")
            return
        yield chunk
        if left is not None:
            left -= len(chunk)


def _unchunked(where: _socket.socket, begun: bytes) -> Iterator[bytes]:
    """The contents of a chunked body; raises BadAnswerError when its last chunk does not come."""
    pending = begun
    while True:
        size, end, rest = pending.partition(b"\r\n")
        length = _size(size) if end else 0
        if not end or len(rest) < length + 2:
            chunk = where.recv(_READ_BYTES)
            if not chunk:
                raise BadAnswerError("half an answer")
            pending += chunk
            continue
        if length == 0:
            return
        yield rest[:length]
        pending = rest[length + 2 :]


def _size(text: bytes) -> int:
    try:
        return int(text.partition(b";")[0], 16)
    except ValueError:
        raise BadAnswerError("no HTTP answer") from None
