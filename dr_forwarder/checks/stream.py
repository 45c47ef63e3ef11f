"""Stream: bytes to and from one real server, plain, in TLS, or on the clients' way to the VIP.

asyncio's own streams forget what has been received when the connection is reset or a write fails,
and there are servers that answer before they are asked and reset what they have not read. What has
come here can be read, whatever came after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from dr_forwarder.checks.model import CheckError, Target, os_reason

CHUNK_BYTES: Final = 64 * 1024
_REST_BYTES: Final = 4 * CHUNK_BYTES
"""So much of what has come and is not wanted is taken, for the sake of a clean end."""

Step = TypeVar("Step")
Connected = Callable[[Target], socket.socket]

# Firewall marks hide the protocol; ldirectord connects with TCP, and so do we.
_PROTOCOL: Final = {"sctp": socket.IPPROTO_SCTP}


class Stream(Protocol):
    """What the kinds have in common."""

    async def send(self, data: bytes) -> None:
        """All of it; that a server does not want it is no error, for it may have answered."""

    async def receive(self) -> bytes:
        """What comes next, nothing at the end; raises OSError."""

    def close(self, last: bytes = b"") -> None:
        """Says the last if there is room for it, ends cleanly if it can, and waits for nothing."""


async def connected(target: Target) -> socket.socket:
    """A connection to the server's check port; raises OSError, CheckError without a port.

    A server that accepts and resets at once has accepted: connect(2) says ECONNRESET or nothing,
    as it happens, for what answered the SYN with a RST is ECONNREFUSED (Linux, tcp_reset).
    """
    if not target.port:
        raise CheckError("no port to connect to: set checkport")
    family = socket.AF_INET6 if target.address.version == 6 else socket.AF_INET
    protocol = _PROTOCOL.get(target.protocol, socket.IPPROTO_TCP)
    made = socket.socket(family, socket.SOCK_STREAM, protocol)
    try:
        made.setblocking(False)
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            await asyncio.get_running_loop().sock_connect(made, (str(target.address), target.port))
    except BaseException:
        made.close()
        raise
    return made


class Plain:
    """Over a socket, which it closes."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    async def send(self, data: bytes) -> None:
        """See `Stream`."""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            await asyncio.get_running_loop().sock_sendall(self._socket, data)

    def end(self) -> None:
        """Says that nothing more is sent."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    async def receive(self) -> bytes:
        """See `Stream`."""
        # Of a server that talks without end there is always more: others have their turn too.
        await asyncio.sleep(0)
        return await asyncio.get_running_loop().sock_recv(self._socket, CHUNK_BYTES)

    def close(self, last: bytes = b"") -> None:
        """See `Stream`."""
        left = _REST_BYTES
        with contextlib.suppress(OSError):
            if last:
                self._socket.send(last)
            # What is left unread makes the kernel send a RST, which servers log as an abort.
            while left > 0 and (data := self._socket.recv(CHUNK_BYTES)):
                left -= len(data)
        self._socket.close()


class Carried(asyncio.Protocol):
    """Over an asyncio transport."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: list[bytes] = []
        self._is_over = False
        self._error: Exception | None = None
        self._come = asyncio.Event()
        transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        """What asyncio calls."""
        self._held.append(data)
        self._come.set()

    def eof_received(self) -> bool:
        """What asyncio calls."""
        self._is_over = True
        self._come.set()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """What asyncio calls."""
        self._is_over, self._error = True, error
        self._come.set()

    async def send(self, data: bytes) -> None:
        """See `Stream`."""
        self._transport.write(data)

    async def receive(self) -> bytes:
        """See `Stream`."""
        while not self._held:
            if self._is_over:
                if self._error is not None:
                    raise self._error
                return b""
            self._come.clear()
            await self._come.wait()
        data = b"".join(self._held)
        self._held.clear()
        return data

    def close(self, last: bytes = b"") -> None:
        """See `Stream`."""
        self._transport.write(last)
        self._transport.close()


class Encrypted:
    """TLS over another stream."""

    def __init__(self, below: Stream, context: ssl.SSLContext, server_name: str) -> None:
        self._below = below
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            self._tls = context.wrap_bio(
                self._incoming, self._outgoing, server_hostname=server_name
            )
        except ValueError as error:
            raise CheckError(f"TLS: {server_name!r} is no name: {error}") from error

    async def shake_hands(self) -> None:
        """Raises CheckError with what went wrong; OSError for what is this host's."""
        try:
            await self._until_done(self._tls.do_handshake)
        except ConnectionError as error:
            raise CheckError(f"TLS handshake failed: {os_reason(error)}") from error
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            raise CheckError("TLS handshake failed: connection closed by the server") from error

    async def send(self, data: bytes) -> None:
        """See `Stream`."""
        await self._until_done(lambda: self._tls.write(data))

    async def receive(self) -> bytes:
        """See `Stream`; an end without a close_notify is one."""
        try:
            return await self._until_done(lambda: self._tls.read(CHUNK_BYTES))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def close(self, last: bytes = b"") -> None:
        """See `Stream`; says close_notify, and does not wait for the server's."""
        with contextlib.suppress(ssl.SSLError, ValueError):
            if last:
                self._tls.write(last)
            self._tls.unwrap()
        self._below.close(self._outgoing.read())

    async def _until_done(self, step: Callable[[], Step]) -> Step:
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self._below.receive()
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            except ssl.SSLError:
                await self._flush()  # the alert that says why
                raise
            else:
                await self._flush()
                return done

    async def _flush(self) -> None:
        if data := self._outgoing.read():
            await self._below.send(data)
