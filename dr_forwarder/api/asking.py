"""Asking: HTTP as anybody may send it. What is wrong with it is the asker's fault, and no news.

Before both listeners: a stranger must not be able to fill the log, or to be answered by a fault of
ours.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web
from aiohttp.http import HttpProcessingError

from .reading import Invalid

MOST: Final = 5
"""Lines about requests that failed by a fault of ours, within `WINDOW_S`."""
WINDOW_S: Final = 60.0
_THEIRS: Final = (HttpProcessingError, web.RequestPayloadError, ConnectionError)


class Unwritten(logging.Filter):
    """Keeps what aiohttp says of askers' faults out of the log, and bounds what it says of ours."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._began_s = float("-inf")
        self._written = 0
        self._left = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """False for what is not to be written."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, _THEIRS):
            return False
        now_s = self._clock()
        if now_s - self._began_s >= WINDOW_S:
            self._began_s, self._written = now_s, 0
        self._written += 1
        if self._written > MOST:
            self._left += 1
            return False
        if self._left:
            record.msg = f"{record.msg} (and {self._left} more like it that were not written)"
            self._left = 0
        return True


def server_log() -> logging.Logger:
    """For a `web.AppRunner` to write to."""
    log = logging.getLogger("aiohttp.server")
    if not any(isinstance(each, Unwritten) for each in log.filters):
        log.addFilter(Unwritten())
    return log


def send_away_without_request(server: web.Server) -> None:
    """Has who asks for an impossible URL sent away.

    aiohttp finds some of them out (names that IDNA refuses) where it does not expect to: neither
    is the client answered nor its connection closed, and the log has a traceback.
    """
    make = server.request_factory

    def careful(message: Any, payload: Any, protocol: Any, *rest: Any) -> web.BaseRequest:
        try:
            return make(message, payload, protocol, *rest)
        except ValueError:
            protocol.force_close()
            if protocol.transport is not None:
                protocol.transport.close()
            raise asyncio.CancelledError from None  # ends the connection's task without a word

    server.request_factory = careful


async def json_of(request: web.Request, limit_s: float) -> Any:
    """What the body says; raises Invalid when it is no JSON, or does not come in time, and
    ConnectionError when whoever sends it has left.
    """
    try:
        async with asyncio.timeout(limit_s):
            body = await request.read()
    except TimeoutError as error:
        raise Invalid("the body", f"did not come within {limit_s:g} s", status=408) from error
    except (HttpProcessingError, web.RequestPayloadError) as error:
        raise Invalid("the body", "is not encoded as its head says") from error
    except RuntimeError as error:  # so aiohttp says that there is nobody any more
        if request.transport is None or request.transport.is_closing():
            raise ConnectionResetError(str(error)) from error
        raise
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Invalid("the body", f"is no JSON: {error}") from error
