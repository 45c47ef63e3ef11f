"""Servers inside the test's own process, good and bad, and a check sent to them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from ipaddress import IPv4Address

from dr_forwarder.checks import Result, Target, run
from dr_forwarder.config.model import Check

LOOPBACK = IPv4Address("127.0.0.1")
PATIENCE_S = 20.0

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def page(body: str, status: str = "200 OK", header: str = "") -> bytes:
    lines = f"HTTP/1.1 {status}\r\n{header}Content-Length: {len(body.encode())}\r\n\r\n{body}"
    return lines.encode()


def answering(answer: bytes, seen: list[str] | None = None) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if seen is not None:
            seen.append(request.decode())
        writer.write(answer)

    return handle


async def hanging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def dripping(first: bytes) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while not reader.at_eof():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    return handle


@contextlib.asynccontextmanager
async def serving(
    handler: Handler, *, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A server on a free port. Leaving waits until no task of either side is left."""
    others = asyncio.all_tasks()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(handle, address, 0, backlog=4096, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        async with asyncio.timeout(PATIENCE_S):
            while rest := asyncio.all_tasks() - others:
                await asyncio.wait(rest)


def http_target(port: int, **check: object) -> Target:
    fields = {"service": "http", "negotiate_timeout_s": 10, "check_timeout_s": 10, **check}
    return Target(LOOPBACK, port, "tcp", replace(Check(), **fields))  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def timeout_of_3_11_2(delay_s: float) -> AsyncIterator[None]:
    """`asyncio.timeout` as Debian 12 has it, put in its place: used in a task that is being
    cancelled it raises CancelledError, and what it interrupted is the context alone.
    """
    task, expired = asyncio.current_task(), False
    assert task is not None

    def expire() -> None:
        nonlocal expired
        expired = True
        task.cancel()

    handle = asyncio.get_running_loop().call_later(delay_s, expire)
    try:
        yield
    except asyncio.CancelledError:
        if expired and task.uncancel() == 0:
            raise TimeoutError  # noqa: B904 -- as it is there
        raise
    finally:
        handle.cancel()


def verdict(handler: Handler, *, limit_s: float | None = None, **check: object) -> Result:
    async def once() -> Result:
        async with serving(handler) as port:
            return await run(http_target(port, **check), limit_s=limit_s)

    return asyncio.run(once())
