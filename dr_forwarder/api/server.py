"""Server: answers the calls in the table of `routes`, on a Unix socket."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from ..config import ConfigError
from ..director import Director
from ..errors import SetupError
from ..messages import jsonable
from .bodies import Error
from .calls import Call, Reload, Served, StreamContext, without_file
from .openapi import LINES, PREFIX
from .reading import Invalid, read, read_text
from .routes import CALLS

SOCKET_NAME = "control"
_LONGEST_BODY_BYTES = 32 << 20


def application(served: Served) -> web.Application:
    """The calls, under /v1."""

    @web.middleware
    async def once_ready(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not served.director.ready:
            raise web.HTTPServiceUnavailable(text="the director is starting")
        return await handler(request)

    app = web.Application(
        middlewares=[_errors_are_answers, once_ready], client_max_size=_LONGEST_BODY_BYTES
    )
    for call in CALLS:
        app.router.add_route(call.method, f"{PREFIX}{call.path}", _handler(call, served))
    return app


def _handler(call: Call, served: Served) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        given: list[Any] = []
        if call.parameters is not None:
            given.append(read_text({**request.query, **request.match_info}, call.parameters))
        if call.body is not None:
            given.append(read(await _json(request), call.body))
        answer = call.do(served, *given)
        if isinstance(answer, AbstractAsyncContextManager):
            return await _stream(request, answer)
        return web.json_response(jsonable(await answer))

    return handle


async def _json(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except ValueError as error:
        raise Invalid("the body", f"is no JSON: {error}") from error


async def _stream(request: web.Request, context: StreamContext) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": LINES})
    async with context as lines:
        # Whoever listened may leave at any time.
        with contextlib.suppress(ConnectionResetError):
            await response.prepare(request)
            async for each in lines:
                said = json.dumps(jsonable(each), separators=(",", ":"))
                await response.write(said.encode() + b"\n")
            await response.write_eof()
    return response


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


def _error(status: int, error: Error) -> web.Response:
    return web.json_response(jsonable(error), status=status)


@contextlib.asynccontextmanager
async def serving(
    director: Director, state_dir: Path, *, reload: Reload = without_file
) -> AsyncIterator[None]:
    """Answers on the socket as long as the context lasts."""
    served = Served(director, reload)
    path = state_dir / SOCKET_NAME
    path.unlink(missing_ok=True)
    runner = web.AppRunner(application(served), access_log=None)
    await runner.setup()
    before = os.umask(0o177)
    try:
        await web.UnixSite(runner, str(path)).start()
    except OSError as error:
        await runner.cleanup()
        raise SetupError(
            f"control socket {path}: {error}; choose another: --state-dir DIR"
        ) from error
    finally:
        os.umask(before)
    try:
        yield
    finally:
        await runner.cleanup()
        path.unlink(missing_ok=True)
