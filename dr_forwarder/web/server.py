"""Server: what is answered on the TCP address, and by what rules."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from .. import metrics
from ..checks.model import os_reason
from ..director import Director
from ..errors import SetupError
from ..events import Happening, Reloaded
from ..exposition import Metrics
from ..listen import Listen
from .guard import guard, harden
from .page import Page

_log = logging.getLogger(__name__)

_SHUTDOWN_S: Final = 1.0


def application(director: Director, durations: Metrics) -> web.Application:
    """All routes, behind the guard."""

    @web.middleware
    async def once_ready(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not director.ready:
            raise web.HTTPServiceUnavailable(text="The director is starting.\n")
        return await handler(request)

    async def scrape(request: web.Request) -> web.Response:
        look = metrics.look(director)
        # Ten thousand servers are a hundred thousand lines: checks must not wait for them.
        body, content_type = await asyncio.to_thread(
            durations.text, look, request.headers.get(hdrs.ACCEPT)
        )
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    names = director.config.settings.listen_names
    app = web.Application(middlewares=[guard(names), once_ready])
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
async def site(director: Director, listen: Listen) -> AsyncIterator[None]:
    """Answers at the address as long as the context lasts; raises SetupError."""
    durations = Metrics()
    runner = web.AppRunner(
        application(director, durations), access_log=None, shutdown_timeout=_SHUTDOWN_S
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, str(listen.address), listen.port).start()
    except OSError as error:
        await runner.cleanup()
        raise SetupError(
            f"listen {listen}: {os_reason(error)}; choose another: --listen ADDRESS:PORT"
        ) from error
    _log.info("Page and metrics: http://%s/ and /metrics", listen)
    try:
        with _measuring(director, durations):
            yield
    finally:
        await runner.cleanup()
