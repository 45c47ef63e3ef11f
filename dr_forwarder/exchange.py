"""Exchange: one HTTP request over a Unix socket, and its answer. Imports nothing slow.

A command that asks a director and ends must not wait for `http.client`, which brings the mail
parser along. It asks by HTTP/1.0, so that no server may answer in chunks (RFC 9112 section 6.1):
a body has the length that Content-Length tells, or goes up to the end (section 6.3).
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

_READ_BYTES = 1 << 18
_MOST_HEADER_BYTES = 1 << 16


class BadAnswerError(OSError):
    """What came is no whole HTTP answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and what came with it."""

    status: int
    reason: str
    body: bytes


def exchange(
    path: str, method: str, target: str, body: bytes | None = None, *, limit_s: float
) -> Answer:
    """Asks and waits at most ``limit_s`` for each step; raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as where:
        _ask(where, path, method, target, body, limit_s)
        status, reason, length, begun = _head(where)
        rest = b"".join(_chunks(where, None if length is None else length - len(begun)))
        return Answer(status, reason, begun + rest)


def lines(path: str, target: str, *, limit_s: float | None) -> Iterator[bytes]:
    """The lines of an answer as they come, until it ends; raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as where:
        _ask(where, path, "GET", target, None, limit_s)
        status, reason, length, pending = _head(where)
        if status != 200:
            raise BadAnswerError(f"{status} {reason}")
        for chunk in _chunks(where, None if length is None else length - len(pending)):
            *whole, pending = (pending + chunk).split(b"\n")
            yield from whole


def _ask(
    where: socket.socket,
    path: str,
    method: str,
    target: str,
    body: bytes | None,
    limit_s: float | None,
) -> None:
    where.settimeout(limit_s)
    where.connect(path)
    head = f"{method} {target} HTTP/1.0\r\nHost: localhost\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    where.sendall(f"{head}\r\n".encode() + (body or b""))


def _head(where: socket.socket) -> tuple[int, str, int | None, bytes]:
    """Status, reason, length of the body if it is told, and what has come of it already."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = where.recv(_READ_BYTES)
        received += chunk
        if not chunk or len(received) > _MOST_HEADER_BYTES + _READ_BYTES:
            raise BadAnswerError("no HTTP answer")
    head, body = received.split(b"\r\n\r\n", 1)
    first, *fields = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    status, _, reason = rest.partition(" ")
    if not version.startswith("HTTP/1.") or not status.isdigit():
        raise BadAnswerError("no HTTP answer")
    return int(status), reason, _length(fields), body


def _length(fields: list[str]) -> int | None:
    for field in fields:
        name, _, value = field.partition(":")
        if name.lower() == "content-length" and value.strip().isdigit():
            return int(value)
    return None


def _chunks(where: socket.socket, left: int | None) -> Iterator[bytes]:
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
