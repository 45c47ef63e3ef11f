"""Server: answers the calls in the table of `routes`, on a Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from .. import own_files
from ..config import ConfigError
from ..director import Director
from ..errors import STARTING, SetupError
from ..messages import jsonable
from .asking import json_of, send_away_without_request, server_log
from .bodies import Error
from .calls import Call, Reload, Served, StreamContext, without_file
from .door import USUAL, Door, Limits
from .openapi import LINES, PREFIX
from .reading import Invalid, read, read_text
from .routes import CALLS

SOCKET_NAME = "control"
_ENDING_S = 1.0
"""For answers under way, when the director ends."""


def application(served: Served, door: Door) -> web.Application:
    """The calls, under /v1."""

    @web.middleware
    async def noted(request: web.Request, handler: Handler) -> web.StreamResponse:
        with door.asking(request.transport):
            return await handler(request)

    @web.middleware
    async def once_ready(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not served.director.ready:
            raise web.HTTPServiceUnavailable(text=STARTING)
        return await handler(request)

    app = web.Application(
        middlewares=[noted, _errors_are_answers, once_ready],
        client_max_size=door.limits.body_bytes,
    )
    for call in CALLS:
        handler = _handler(call, served, door)
        app.router.add_route(call.method, f"{PREFIX}{call.path}", handler)
    return app


def _handler(call: Call, served: Served, door: Door) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        given: list[Any] = []
        if call.parameters is not None:
            given.append(read_text({**request.query, **request.match_info}, call.parameters))
        if call.body is not None:
            given.append(read(await json_of(request, door.limits.body_s), call.body))
        answer = call.do(served, *given)
        if isinstance(answer, AbstractAsyncContextManager):
            with door.following(request.transport) if call.endless else contextlib.nullcontext():
                return await _stream(request, answer)
        return web.json_response(jsonable(await answer))

    return handle


async def _stream(request: web.Request, context: StreamContext) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": LINES})
    async with context as lines:
        # Whoever listened may leave at any time.
        with contextlib.suppress(ConnectionResetError):
            await response.prepare(request)
            async for each in lines:
                await response.write(b"".join(_line(one) for one in each))
                await asyncio.sleep(0)  # others' turn, also when nothing had to be waited for
            await response.write_eof()
    return response


def _line(of: object) -> bytes:
    return json.dumps(jsonable(of), separators=(",", ":")).encode() + b"\n"


@web.middleware
async def _errors_are_answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Invalid as error:
        return _error(error.status, Error(error.reason, error.field))
    except ConfigError as error:
        return _error(422, Error(str(error)))
    except SetupError as error:
        return _error(409, Error(str(error)))
    except web.HTTPException as error:
        answer = _error(error.status, Error(_reason(error, request)))
        if isinstance(error, web.HTTPMethodNotAllowed):
            answer.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
        return answer


def _reason(error: web.HTTPException, request: web.Request) -> str:
    if isinstance(error, web.HTTPNotFound | web.HTTPMethodNotAllowed):
        return f"there is no call {request.method} {request.path}"
    return error.text or error.reason


def _error(status: int, error: Error) -> web.Response:
    return web.json_response(jsonable(error), status=status)


@contextlib.asynccontextmanager
async def serving(
    director: Director,
    state_dir: Path,
    *,
    reload: Reload = without_file,
    limits: Limits = USUAL,
) -> AsyncIterator[None]:
    """Answers on the socket as long as the context lasts; raises SetupError."""
    path = state_dir / SOCKET_NAME
    own_files.removed(path)
    door = Door(limits)
    runner = web.AppRunner(
        application(Served(director, reload), door),
        access_log=None,
        logger=server_log(),
        keepalive_timeout=limits.idle_s,
        shutdown_timeout=_ENDING_S,
    )
    await runner.setup()
    assert runner.server is not None
    send_away_without_request(runner.server)
    try:
        async with door.open(_listening(path, limits.clients), runner.server):
            try:
                yield
            finally:
                own_files.removed(path)
    finally:
        await runner.cleanup()


def _listening(path: Path, backlog: int) -> socket.socket:
    before = os.umask(0o177)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listening.bind(str(path))
        if own_files.is_swapped(path):
            raise OSError(errno.ESTALE, "another directory has come to its place meanwhile")
        listening.listen(backlog)
    except OSError as error:
        listening.close()
        raise SetupError(
            f"control socket {path}: {error}; choose another: --state-dir DIR"
        ) from error
    finally:
        os.umask(before)
    return listening
