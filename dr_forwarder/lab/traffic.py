"""Traffic: what a client of a lab asks over HTTP, each time by a fresh connection.

The socket comes from the caller, already inside the client's namespace and not yet connected.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from dr_forwarder.lab.errors import LabError
from dr_forwarder.lab.topology import Address
from dr_forwarder.lab.webserver import payload

_BLOCK_BYTES = 1 << 16
_PAUSE_S = 0.0005
_TCP_CLOSE = 7  # include/net/tcp_states.h; the first byte of struct tcp_info


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes, from which port, and how long each of its steps may take."""

    address: Address
    port: int = 80
    source_port: int | None = None
    limit_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer that arrived byte-exact: who was at the other end, and of what."""

    server: str
    size_bytes: int
    sha256: str


def get(sock: socket.socket, target: Target, url_path: str) -> str:
    """Ask for a page; its text. OSError when nobody answers, LabError when not with 200."""
    with sock, closing(_connect(sock, target)) as connection:
        connection.request("GET", url_path, headers={"Connection": "close"})
        body = _body(connection)
        _see_the_end(sock)
    return body.decode()


def upload(sock: socket.socket, target: Target, size_bytes: int, seed: int) -> Transfer:
    """Send a stream of bytes; LabError when the server did not receive exactly these."""
    digest = hashlib.sha256()

    def blocks() -> Iterator[bytes]:
        for block in payload(size_bytes, seed):
            digest.update(block)
            yield block

    with sock, closing(_connect(sock, target)) as connection:
        headers = {"Content-Length": str(size_bytes), "Connection": "close"}
        connection.request("POST", "/upload", body=blocks(), headers=headers)
        answer = json.loads(_body(connection))
        _see_the_end(sock)
    received = Transfer(answer["server"], answer["bytes"], answer["sha256"])
    return _exact(received, size_bytes, digest.hexdigest())


def download(sock: socket.socket, target: Target, size_bytes: int) -> Transfer:
    """Fetch a stream of bytes; LabError when they are not exactly those the server sends."""
    expected, digest, count = hashlib.sha256(), hashlib.sha256(), 0
    for block in payload(size_bytes, seed=size_bytes):
        expected.update(block)
    with sock, closing(_connect(sock, target)) as connection:
        connection.request("GET", f"/bytes/{size_bytes}", headers={"Connection": "close"})
        with connection.getresponse() as response:
            while block := response.read(_BLOCK_BYTES):
                digest.update(block)
                count += len(block)
        _see_the_end(sock)
    return _exact(
        Transfer(str(target.address), count, digest.hexdigest()), size_bytes, expected.hexdigest()
    )


def _connect(sock: socket.socket, target: Target) -> http.client.HTTPConnection:
    sock.settimeout(target.limit_s)
    if target.source_port is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", target.source_port))
    sock.connect((str(target.address), target.port))
    connection = http.client.HTTPConnection(str(target.address), target.port)
    # http.client closes its socket with the answer, before we want to.
    connection.sock = sock.dup()
    return connection


def _body(connection: http.client.HTTPConnection) -> bytes:
    with connection.getresponse() as response:
        body = response.read()
        if response.status != 200:
            raise LabError(f"HTTP {response.status} {response.reason}")
        return body


def _see_the_end(sock: socket.socket) -> None:
    """Close after the server and wait for its last acknowledgement.

    The connection's last frame has then passed, so counters and taps stand still, and its port is
    free again: TIME_WAIT is with the server, which closed first.
    """
    if sock.recv(1):
        raise LabError("the server says more than its answer")
    sock.shutdown(socket.SHUT_WR)
    until = time.monotonic() + (sock.gettimeout() or 0.0)
    while sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != _TCP_CLOSE:
        if time.monotonic() > until:
            raise TimeoutError("the end of the connection is not acknowledged")
        time.sleep(_PAUSE_S)


def _exact(received: Transfer, size_bytes: int, sha256: str) -> Transfer:
    if received.size_bytes != size_bytes:
        raise LabError(f"{received.size_bytes} of {size_bytes} bytes arrived")
    if received.sha256 != sha256:
        raise LabError(f"{size_bytes} bytes arrived, but not the ones that were sent")
    return received
