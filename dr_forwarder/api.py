"""API: HTTP and JSON on a Unix socket in the state directory, for those who want to look.

Read only for now. The socket has mode 0600: whoever may open it may see everything.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import os
from collections.abc import AsyncIterator, Mapping
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from .checks import target
from .director import Director
from .errors import SetupError

SOCKET_NAME = "control"


def jsonable(value: object) -> Any:
    """Frozen data as JSON's types: addresses and MAC addresses as text."""
    match value:
        case IPv4Address() | IPv6Address():
            return str(value)
        case bytes():
            return value.hex(":")
        case enum.Enum():
            return value.value
        case Path():
            return str(value)
        case frozenset():
            return sorted(jsonable(each) for each in value)
        case Mapping():
            return {str(key): jsonable(each) for key, each in value.items()}
        case tuple() | list():
            return [jsonable(each) for each in value]
        case _ if dataclasses.is_dataclass(value):
            return {
                field.name: jsonable(getattr(value, field.name))
                for field in dataclasses.fields(value)
            }
    return value


def _health(director: Director) -> list[dict[str, Any]]:
    return [
        {
            "virtual": virtual.name,
            "server": target(virtual, real).name,
            **jsonable(director.health(virtual, real)),
        }
        for virtual in director.config.virtuals
        for real in virtual.real
    ]


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
        return web.json_response(_health(director))

    app = web.Application(middlewares=[once_ready])
    app.router.add_get("/v1/{what:" + "|".join(views) + "}", look)
    app.router.add_get("/v1/health", health)
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
