"""Dialogue: a conversation in lines with one real server, over TCP or TLS. Knows no protocol."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from dr_forwarder.checks import tls
from dr_forwarder.checks.model import CheckError, Target, octets, own_endpoint

_LINE_BYTES: Final = 16 * 1024
_FAREWELL_S: Final = 0.5


class Dialogue:
    """Lines said and heard, without their ends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def own(self) -> str:
        """Our end, as ``10.0.0.1:40000``."""
        return own_endpoint(self._writer.get_extra_info("sockname"))

    async def say(self, line: str) -> None:
        """Raises CheckError for text that would be more than one line."""
        if "\r" in line or "\n" in line:
            raise CheckError("login or passwd has a line break in it")
        await self.send(octets(f"{line}\r\n"))

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """Bytes as they are; with `end` the last ones of this side."""
        self._writer.write(data)
        await self._writer.drain()
        if end and self._writer.can_write_eof():
            self._writer.write_eof()

    async def hear(self) -> str:
        """The next line. Raises CheckError at the end of the connection."""
        line = await self.hear_any()
        if line is None:
            raise CheckError("connection closed without an answer")
        return line

    async def hear_any(self) -> str | None:
        """The next line, None at the end of the connection."""
        try:
            line = await self._reader.readline()
        except ValueError as error:
            raise CheckError(f"a line of more than {_LINE_BYTES} bytes") from error
        return line.decode("utf-8", "replace").rstrip("\r\n") if line else None

    async def hear_bytes(self, count: int) -> bytes:
        """Exactly so many. Raises CheckError at the end of the connection."""
        try:
            return await self._reader.readexactly(count)
        except asyncio.IncompleteReadError as error:
            raise CheckError("connection closed within the answer") from error

    async def hear_all(self, most: int) -> bytes:
        """Until the end of the connection, or so many bytes."""
        heard = bytearray()
        while len(heard) < most and (block := await self._reader.read(most - len(heard))):
            heard += block
        return bytes(heard)

    async def leave(self, line: str) -> None:
        """Says a farewell, and gives the server a moment for its own: it logs no lost connection.

        What it says, if anything, does not matter any more.
        """
        with contextlib.suppress(OSError, TimeoutError):
            await self.say(line)
            async with asyncio.timeout(_FAREWELL_S):
                await self._reader.read(_LINE_BYTES)

    async def expect(self, *beginnings: str) -> str:
        """The next line, if it begins so in either case. Raises CheckError with what came."""
        line = await self.hear()
        if not line.upper().startswith(beginnings):
            raise CheckError(f"answered {line!r}, not {' or '.join(beginnings)}")
        return line


@contextlib.asynccontextmanager
async def dialogue(target: Target, *, encrypted: bool = False) -> AsyncIterator[Dialogue]:
    """Connects; leaving closes at once, whatever the server does."""
    reader, writer = await asyncio.open_connection(
        str(target.address),
        target.port,
        limit=_LINE_BYTES,
        ssl=tls.context(target.check) if encrypted else None,
        server_hostname=tls.server_name(target) if encrypted else None,
    )
    try:
        yield Dialogue(reader, writer)
    finally:
        # A polite close would wait for the server's; what was said is with the kernel already.
        writer.transport.abort()
