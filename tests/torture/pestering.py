"""Clients of the director's own sockets that are slow, silent, greedy or mad.

    python pestering.py KIND CONNECTIONS SECONDS SEED (unix:PATH | HOST:PORT)

Needs nothing but Python. Prints how many connections it made; so many are there at a time, and
each is made again when it is sent away.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import sys
import time
from collections.abc import Awaitable, Callable

Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter, random.Random], Awaitable[None]]

_PAUSE_S = 0.05
_DRIP_S = 0.5
_HEAD = b"Host: localhost\r\n"
_LOOKS = (
    *("/v1/services", "/v1/stats", "/v1/connections", "/v1/health", "/v1/openapi.json"),
    *("/v1/drops", "/metrics", "/page/look", "/page/connections?find=established", "/"),
    *("/page/explain?client=10.10.10.10", "/page.js", "/v1/config", "/v1/orders", "/v1/link"),
)
_FOLLOWED = ("/v1/events", "/v1/trace?per_s=5000", "/v1/events?after=0")
_DIGITS = "9" * 5000
_ODD = (
    *("/page/connections?find=" + "%ff" * 500, "/page/connections?find=" + _DIGITS),
    *("/page/explain?client=" + _DIGITS, "/page/look?x=" + "x" * 7000, "//", "/../../etc/passwd"),
    *("/v1/events?after=" + _DIGITS, "/v1/trace?every=" + _DIGITS, "/v1/trace?client=::/0&x=1"),
    *("/v1/events?after=-1&follow=0", "/v1/%00", "/v1/daemons/" + "x" * 4000, "/\xff\xfe"),
    *("/page/connections?find=0.0.0.0/0+::/0+:0+:65536", "/metrics?name[]=" + _DIGITS),
)
_NESTED = b"[" * 100_000


def get(path: str, more: bytes = b"") -> bytes:
    return b"GET " + path.encode("latin-1") + b" HTTP/1.1\r\n" + _HEAD + more + b"\r\n"


def post(path: str, body: bytes, *, length: int | None = None) -> bytes:
    told = len(body) if length is None else length
    head = f"POST {path} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {told}\r\n"
    return head.encode() + _HEAD + b"\r\n" + body


async def silent(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chance: random.Random
) -> None:
    await reader.read()


async def dripping_head(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chance: random.Random
) -> None:
    for byte in get("/v1/services"):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(_DRIP_S)


async def dripping_body(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chance: random.Random
) -> None:
    writer.write(post("/v1/changes", b"", length=10_000))
    for _ in range(10_000):
        writer.write(b"[")
        await writer.drain()
        await asyncio.sleep(_DRIP_S)


async def overlong(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chance: random.Random
) -> None:
    """A head without end: of one line, of one header, or of many."""
    how = chance.choice((b"x" * 4096, b"X: " + b"y" * 4096, b"A: b\r\n" * 700))
    writer.write(b"GET /" + (b"" if how[:1] == b"x" else b" HTTP/1.1\r\n"))
    for _ in range(1000):
        writer.write(how)
        await writer.drain()


async def greedy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chance: random.Random
) -> None:
    """Asks and asks, and reads nothing."""
    for _ in range(200):
        writer.write(get(chance.choice(_LOOKS)))
        await writer.drain()
    await asyncio.sleep(30)


async def looking(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chance: random.Random
) -> None:
    """Reads all that comes, as fast as it does."""
    for _ in range(20):
        writer.write(get(chance.choice(_LOOKS)))
        await writer.drain()
        await reader.read(65536)
    writer.write(get("/metrics", b"Connection: close\r\n"))
    while await reader.read(65536):
        pass


async def following(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chance: random.Random
) -> None:
    writer.write(get(chance.choice(_FOLLOWED)))
    if chance.random() < 0.5:
        await asyncio.sleep(30)  # and reads nothing
    while await reader.read(65536):
        pass


async def odd(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chance: random.Random
) -> None:
    for path in chance.sample(_ODD, 5):
        writer.write(get(path))
    bodies = (b"{}", b"null", _NESTED, b'{"changes": [1e999]}', b"\xff\xfe", b"9" * 10_000)
    path = chance.choice(("/v1/changes", "/v1/orders", "/v1/daemons", "/page/orders"))
    writer.write(post(path, chance.choice(bodies)))
    await writer.drain()
    async with asyncio.timeout(2):
        await reader.read()


async def garbage(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chance: random.Random
) -> None:
    writer.write(chance.randbytes(chance.randrange(1, 20_000)))
    await writer.drain()
    await reader.read()


async def leaving(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chance: random.Random
) -> None:
    """Asks for much and is gone."""
    writer.write(get(chance.choice(("/v1/connections", "/page/connections?find=established"))))
    await writer.drain()
    writer.transport.abort()


KINDS: dict[str, Client] = {
    each.__name__: each
    for each in (
        *(silent, dripping_head, dripping_body, overlong, greedy),
        *(looking, following, odd, garbage, leaving),
    )
}


class Pestering:
    """So many clients of a kind, over and over."""

    def __init__(self, kind: str, to: str, chance: random.Random) -> None:
        self._client = KINDS[kind]
        self._to = to
        self._chance = chance
        self.made = 0

    async def run(self, connections: int, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + seconds):
                await asyncio.gather(*(self._go_on(until_s) for _ in range(connections)))

    async def _go_on(self, until_s: float) -> None:
        while time.monotonic() < until_s:
            with contextlib.suppress(OSError, TimeoutError):
                await self._once()
            await asyncio.sleep(_PAUSE_S)

    async def _once(self) -> None:
        reader, writer = await self._connect()
        self.made += 1
        try:
            await self._client(reader, writer, self._chance)
        finally:
            writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        where, _, rest = self._to.partition(":")
        if where == "unix":
            return await asyncio.open_unix_connection(rest)
        return await asyncio.open_connection(where, int(rest))


def main(kind: str, connections: str, seconds: str, seed: str, to: str) -> None:
    """The program."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    pestering = Pestering(kind, to, random.Random(seed))
    asyncio.run(pestering.run(int(connections), float(seconds)))
    print(pestering.made)


if __name__ == "__main__":
    main(*sys.argv[1:])
