"""Server: the routes under /v1, and the socket they are asked by."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from ..border import VERDICTS
from ..director import Director
from ..errors import SetupError
from ..messages import jsonable
from ..records import from_query
from . import ordering, validation
from .tracing import traced, watch
from .validation import Invalid

SOCKET_NAME = "control"
_LONGEST_BODY_BYTES = 32 << 20


async def _body(request: web.Request) -> Any:
    try:
        return json.loads(await request.read())
    except ValueError as error:
        raise Invalid("the body", f"is no JSON: {error}") from error


@web.middleware
async def _invalid_is_400(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Invalid as error:
        said = {"error": error.reason, "field": error.field}
        return web.json_response(said, status=400)


def application(director: Director) -> web.Application:
    """The routes under /v1."""
    views = {
        "services": director.services,
        "connections": director.connections,
        "stats": director.stats,
        "timeouts": director.timeouts,
    }

    @web.middleware
    async def once_ready(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not director.ready:
            raise web.HTTPServiceUnavailable(text="the director is starting")
        return await handler(request)

    async def look(request: web.Request) -> web.Response:
        view = views[request.match_info["what"]]
        return web.json_response(jsonable(view()))

    async def health(request: web.Request) -> web.Response:
        return web.json_response(ordering.health(director))

    async def change(request: web.Request) -> web.Response:
        changes, stop = validation.changes(await _body(request))
        return web.json_response(jsonable(await director.apply(changes, stop=stop)))

    async def set_timeouts(request: web.Request) -> web.Response:
        director.set_timeouts(**validation.timeouts(await _body(request)))
        return web.json_response(director.timeouts())

    async def orders(request: web.Request) -> web.Response:
        return web.json_response(ordering.orders(director))

    async def give_order(request: web.Request) -> web.Response:
        return ordering.obey(director, validation.order(await _body(request)))

    async def daemons(request: web.Request) -> web.Response:
        return web.json_response(jsonable(director.sync.daemons()))

    async def start_daemon(request: web.Request) -> web.Response:
        daemon = validation.daemon(await _body(request))
        return web.json_response({"result": director.sync.start(daemon)})

    async def stop_daemon(request: web.Request) -> web.Response:
        return web.json_response({"result": director.sync.stop(request.match_info["role"])})

    async def standby(request: web.Request) -> web.Response:
        if request.method == "PUT":
            director.stand_by(standby=validation.standby(await _body(request)))
        return web.json_response({"standby": director.standby})

    async def trace(request: web.Request) -> web.StreamResponse:
        try:
            asked = from_query(request.query, known=VERDICTS)
        except ValueError as error:
            field, _, reason = str(error).partition(": ")
            raise Invalid(field, reason) from error
        response = web.StreamResponse(headers={"Content-Type": "application/jsonl"})
        with (
            contextlib.closing(watch(director, asked)) as opened,
            contextlib.suppress(ConnectionResetError),  # whoever watched has left
        ):
            await response.prepare(request)
            async for each in traced(opened):
                await response.write(json.dumps(jsonable(each)).encode() + b"\n")
        return response

    async def drops(request: web.Request) -> web.Response:
        return web.json_response(jsonable(director.drops()))

    app = web.Application(
        middlewares=[_invalid_is_400, once_ready], client_max_size=_LONGEST_BODY_BYTES
    )
    app.router.add_get("/v1/{what:" + "|".join(views) + "}", look)
    app.router.add_get("/v1/health", health)
    app.router.add_get("/v1/trace", trace)
    app.router.add_get("/v1/drops", drops)
    app.router.add_post("/v1/changes", change)
    app.router.add_put("/v1/timeouts", set_timeouts)
    app.router.add_get("/v1/orders", orders)
    app.router.add_post("/v1/orders", give_order)
    app.router.add_get("/v1/standby", standby)
    app.router.add_put("/v1/standby", standby)
    app.router.add_get("/v1/daemons", daemons)
    app.router.add_post("/v1/daemons", start_daemon)
    app.router.add_delete("/v1/daemons/{role:master|backup}", stop_daemon)
    return app


@contextlib.asynccontextmanager
async def serving(director: Director, state_dir: Path) -> AsyncIterator[None]:
    """Answers on the socket as long as the context lasts."""
    path = state_dir / SOCKET_NAME
    path.unlink(missing_ok=True)
    runner = web.AppRunner(application(director), access_log=None)
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
