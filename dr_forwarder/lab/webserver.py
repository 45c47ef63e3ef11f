"""Webserver: what a real server of the lab says over HTTP/1.1. Run by its path; standard library.

    GET /           This is VM2
    GET /test.html  foo
    GET /bytes/N    the N bytes of payload(N, seed=N)
    POST /upload    {"bytes": ..., "sha256": ..., "server": "VM2"} of the body

It prints READY when it listens and dies with the thread that started it.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import random
import signal
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

_BLOCK_BYTES = 1 << 16
_PR_SET_PDEATHSIG = 1


def payload(size_bytes: int, seed: int) -> Iterator[bytes]:
    """`size_bytes` pseudo-random bytes in blocks, the same for the same seed on both ends."""
    source = random.Random(seed)
    for start in range(0, size_bytes, _BLOCK_BYTES):
        yield source.randbytes(min(_BLOCK_BYTES, size_bytes - start))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One write an answer: head and body in separate segments would wait for a delayed ACK.
    wbufsize = _BLOCK_BYTES
    disable_nagle_algorithm = True
    greeting = ""

    def do_GET(self) -> None:
        size = self.path.removeprefix("/bytes/")
        if self.path == "/":
            self._answer(200, "text/plain", f"This is {self.greeting}\n".encode())
        elif self.path == "/test.html":
            self._answer(200, "text/html", b"foo\n")
        elif self.path != size and size.isascii() and size.isdecimal():
            self._head(200, "application/octet-stream", int(size))
            for block in payload(int(size), seed=int(size)):
                self.wfile.write(block)
        else:
            self._answer(404, "text/plain", b"not here\n")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != "/upload" or not length.isdecimal():
            # The body is left unread, so the connection cannot serve another request.
            self.close_connection = True
            self._answer(404 if length else 411, "text/plain", b"POST /upload with a length\n")
            return
        digest, left = hashlib.sha256(), int(length)
        while left and (block := self.rfile.read(min(left, _BLOCK_BYTES))):
            digest.update(block)
            left -= len(block)
        received = {"bytes": int(length) - left, "sha256": digest.hexdigest()}
        answer = json.dumps(received | {"server": self.greeting})
        self._answer(200, "application/json", answer.encode())

    def handle_expect_100(self) -> bool:
        """Tell a client that waits for leave (curl) to go on, now and not with the answer."""
        go_on = super().handle_expect_100()
        self.wfile.flush()
        return go_on

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self._head(status, kind, len(body))
        self.wfile.write(body)

    def _head(self, status: int, kind: str, length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: nobody reads this program's output after READY."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def server_bind(self) -> None:
        """Bind without HTTPServer's look-up of the own name: there is no DNS here."""
        TCPServer.server_bind(self)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that goes away in the middle is the lab's daily bread."""


class _DualServer(_Server):
    """Answers IPv4 and IPv6 by one socket (net.ipv6.bindv6only is 0 unless changed)."""

    address_family = socket.AF_INET6


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # It may have gone before we asked for the signal.
    if os.getppid() != parent:
        os._exit(1)


def main() -> None:
    """Serve until killed."""
    options = argparse.ArgumentParser()
    options.add_argument("--name", required=True)
    options.add_argument("--parent", type=int, required=True)
    options.add_argument("--port", type=int, default=80)
    options.add_argument("--ipv6", action="store_true")
    asked = options.parse_args()

    _die_with(asked.parent)
    _Handler.greeting = asked.name.upper()
    server = (
        _DualServer(("::", asked.port), _Handler)
        if asked.ipv6
        else _Server(("0.0.0.0", asked.port), _Handler)
    )
    print("READY", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
