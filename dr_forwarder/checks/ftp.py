"""FTP (RFC 959): log in and, if there is something to fetch, fetch it passively.

The data connection goes to the real server too, whatever address it names.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

import aioftp

from dr_forwarder.checks import receive
from dr_forwarder.checks.model import CheckError, Target

_FILE_BYTES: Final = 1024 * 1024


async def check(target: Target) -> str:
    """Passes on a login; with a `request`, when it is fetched and `receive`, if any, is in it.

    A request of ``/`` alone is no file: then the login decides, where ldirectord has every
    server up. ldirectord also takes a dead server for up where `receive` is empty.
    """
    check = target.check
    wanted = check.request.removeprefix("/")
    if check.receive and not wanted:
        raise CheckError("receive needs a request: the file to look for it in")
    client = _Client(encoding="utf-8")
    try:
        await client.connect(str(target.address), target.port)
        await client.login(check.login or "anonymous", check.password)
        await client.change_directory("/")
        seen = "logged in"
        if wanted:
            seen = await _fetch(client, target, wanted)
        with contextlib.suppress(aioftp.StatusCodeError, ConnectionError, EOFError):
            await client.quit()
        return seen
    except aioftp.StatusCodeError as error:
        raise CheckError(f"answered {error.received_codes[-1]} {_last(error)}") from error
    except (ConnectionResetError, EOFError) as error:
        if getattr(error, "errno", None):
            raise
        raise CheckError("connection closed without an answer") from error
    except (ValueError, AttributeError, IndexError) as error:
        raise CheckError(f"no FTP answer: {error}") from error
    finally:
        client.close()


class _Client(aioftp.Client):
    """Connects to the real server alone, and leaves nothing open, whatever goes wrong."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._opened: list[asyncio.StreamWriter] = []

    async def _open_connection(
        self, host: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        # The library would follow the answer to PASV anywhere.
        reader, writer = await super()._open_connection(self.server_host, port)
        self._opened.append(writer)
        return reader, writer

    def close(self) -> None:
        super().close()
        for writer in self._opened:
            writer.transport.abort()


async def _fetch(client: aioftp.Client, target: Target, wanted: str) -> str:
    content = bytearray()
    async with client.download_stream(wanted) as stream:
        async for block in stream.iter_by_block():
            content += block
            if len(content) >= _FILE_BYTES:
                break
    text = content[:_FILE_BYTES].decode("utf-8", "replace")
    await receive.require(target, text, where=wanted)
    return f"fetched {len(content)} bytes of {wanted}"


def _last(error: aioftp.StatusCodeError) -> str:
    return error.info[-1].strip() if error.info else ""
