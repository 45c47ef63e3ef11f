"""Server: what is answered on the TCP address, and by what rules."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from .. import metrics
from ..api.asking import send_away_without_request, server_log
from ..api.door import LOOKING, Door, Limits
from ..checks.model import os_reason
from ..director import Director
from ..errors import SetupError
from ..events import Happening, Reloaded
from ..exposition import Metrics, preferred
from ..listen import Listen
from .guard import guard, harden
from .page import Page
from .sharing import Shared

_log = logging.getLogger(__name__)

_SHUTDOWN_S: Final = 1.0


def application(
    director: Director, durations: Metrics, door: Door | None = None
) -> web.Application:
    """All routes, behind the guard."""
    door = door or Door(LOOKING)
    scrapes: Shared[tuple[bytes, str]] = Shared()

    @web.middleware
    async def noted(request: web.Request, handler: Handler) -> web.StreamResponse:
        with door.asking(request.transport):
            return await handler(request)

    @web.middleware
    async def once_ready(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not director.ready:
            raise web.HTTPServiceUnavailable(text="The director is starting.\n")
        return await handler(request)

    async def scrape(request: web.Request) -> web.Response:
        accepted = preferred(request.headers.get(hdrs.ACCEPT))

        async def make() -> tuple[bytes, str]:
            # Ten thousand servers are a hundred thousand lines: checks must not wait for them.
            return await asyncio.to_thread(durations.text, metrics.look(director), accepted)

        body, content_type = await scrapes.get(accepted, make)
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    names = director.config.settings.listen_names
    app = web.Application(
        middlewares=[noted, guard(names), once_ready], client_max_size=door.limits.body_bytes
    )
    app.on_response_prepare.append(harden)
    app.router.add_routes(Page(director).routes())
    app.router.add_get("/metrics", scrape)
    return app


def _listening(director: Director) -> tuple[object, ...]:
    settings = director.config.settings
    return settings.listen, settings.listen_writable, settings.listen_names


@contextlib.contextmanager
def _measuring(director: Director, durations: Metrics) -> Iterator[None]:
    """Hears of every check, and forgets those that a reload takes away."""
    settings = _listening(director)

    def hear(happening: Happening) -> None:
        if isinstance(happening.event, Reloaded):
            durations.forget(director.watch.all)
            if _listening(director) != settings:
                _log.warning("What listen* says holds from the director's next start on")

    ends = (director.watch.listen(durations.observe), director.events.listen(hear))
    try:
        yield
    finally:
        for end in ends:
            end()


@contextlib.asynccontextmanager
async def site(
    director: Director, listen: Listen, *, limits: Limits = LOOKING
) -> AsyncIterator[None]:
    """Answers at the address as long as the context lasts; raises SetupError."""
    durations = Metrics()
    door = Door(limits)
    runner = web.AppRunner(
        application(director, durations, door),
        access_log=None,
        logger=server_log(),
        shutdown_timeout=_SHUTDOWN_S,
        keepalive_timeout=limits.idle_s,
        handler_cancellation=True,  # nobody is searched for who has left
    )
    await runner.setup()
    assert runner.server is not None
    send_away_without_request(runner.server)
    try:
        async with door.open(_listening_at(listen, limits.clients), runner.server):
            _log.info("Page and metrics: http://%s/ and /metrics", listen)
            with _measuring(director, durations):
                yield
    finally:
        await runner.cleanup()


def _listening_at(listen: Listen, backlog: int) -> socket.socket:
    family = socket.AF_INET6 if listen.address.version == 6 else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((str(listen.address), listen.port))
        listening.listen(backlog)
    except OSError as error:
        listening.close()
        raise SetupError(
            f"listen {listen}: {os_reason(error)}; choose another: --listen ADDRESS:PORT"
        ) from error
    return listening
