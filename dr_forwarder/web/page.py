"""Page: the files of the page, and what its script asks for."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.resources
import time
from collections.abc import AsyncIterator, Callable
from types import MappingProxyType
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler

from .. import event_log, flows
from ..api.asking import json_of
from ..api.door import LOOKING
from ..api.ordering import server_health
from ..api.reading import Invalid
from ..checks.model import os_reason
from ..cluster import Checked, Look, said
from ..config.table_keys import key_of
from ..director import Director
from ..flows import Client
from ..messages import jsonable
from ..table import Connection
from . import answers, orders
from .search import Search
from .sharing import Shared

FILES: Final = MappingProxyType(
    {
        "": ("page.html", "text/html"),
        "page.css": ("page.css", "text/css"),
        "page.js": ("page.js", "text/javascript"),
        "parts.js": ("parts.js", "text/javascript"),
        "picture.js": ("picture.js", "text/javascript"),
    }
)
MOST_FOUND: Final = 200
MOST_EXPLAINED: Final = 10_000
"""Connections of one client, or network of clients, that are looked at."""
MOST_WAITING: Final = 4
"""Searches that wait for the one under way."""
_DIGITS: Final = 19
"""Of a number of 64 bits."""
_AT_ONCE: Final = 1024
"""So many connections are looked at before the checks have their turn."""
_PAUSE_S: Final = 0.0005
"""A pause of no length gives other threads no turn: the loop takes the interpreter's lock back."""


class Page:
    """Answers for one director."""

    def __init__(self, director: Director) -> None:
        self._director = director
        self._writable = director.config.settings.listen_writable
        self._searching = asyncio.Lock()
        self._waiting = 0
        self._looks: Shared[Look] = Shared()
        self._answers: Shared[dict[str, Any]] = Shared()

    def routes(self) -> list[web.RouteDef]:
        """All of them; orders are taken where the configuration lets them be."""
        ordering = [web.post("/page/orders", self._order)] if self._writable else []
        return [
            *ordering,
            *(web.get(f"/{name}", _file(*what)) for name, what in FILES.items()),
            web.get("/page/look", self._look),
            web.get("/page/events", self._events),
            web.get("/page/connections", self._connections),
            web.get("/page/explain", self._explain),
        ]

    async def _look(self, request: web.Request) -> web.Response:
        look = await self._recent()
        name = request.query.get("service")
        chosen = name if name in answers.names(look) else None
        # Of ten thousand servers it takes a while, and checks must not wait for it.
        said = await self._answers.get(
            (look.at_s, chosen), lambda: asyncio.to_thread(answers.look, look, chosen)
        )
        state = {"standby": self._director.standby, "writable": self._writable}
        return web.json_response({**said, **state})

    async def _recent(self) -> Look:
        """Many who look at the page cost no more than one."""

        async def look() -> Look:
            director = self._director
            return Look(time.monotonic(), director.services(), director.stats(), _health(director))

        return await self._looks.get(None, look)

    async def _events(self, request: web.Request) -> web.Response:
        after = request.query.get("after", "0")
        if not after.isascii() or not after.isdecimal() or len(after) > _DIGITS:
            raise web.HTTPBadRequest(text="after must be the number of an event")
        happened = self._director.events.history()
        return web.json_response(answers.events(happened, event_log.text, after=int(after)))

    async def _order(self, request: web.Request) -> web.Response:
        try:
            said = await json_of(request, LOOKING.body_s)
            orders.obey(self._director.draining, orders.Asked.of(said))
        except Invalid as error:
            refused = web.HTTPRequestTimeout if error.status == 408 else web.HTTPBadRequest
            raise refused(text=str(error)) from error
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        except OSError as error:
            reason = f"The order cannot be kept: {os_reason(error)}"
            raise web.HTTPInternalServerError(text=reason) from error
        self._looks.forget()
        return web.json_response({})

    async def _connections(self, request: web.Request) -> web.Response:
        try:
            search = Search.of(request.query.get("find", ""))
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        found, count = await self._find(search.finds)
        return web.json_response({"count": count, "connections": jsonable(found)})

    async def _explain(self, request: web.Request) -> web.Response:
        try:
            client = Client.of(request.query.get("client", ""))
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        found, _ = await self._find(lambda each: flows.concerns(client, each), most=MOST_EXPLAINED)
        services = (await self._recent()).services
        lines = flows.explain(client, services, found, reason_of=self._reasons())
        return web.json_response({"sentences": lines})

    def _reasons(self) -> flows.ReasonOf:
        health = self._director.health
        reasons = {
            (key_of(virtual), real.address): health(virtual, real).reason
            for virtual in self._director.config.virtuals
            for real in virtual.real
            if health(virtual, real).up is False
        }
        return lambda key, address: reasons.get((key, address))

    async def _find(
        self, wanted: Callable[[Connection], bool], *, most: int = MOST_FOUND
    ) -> tuple[list[Connection], int]:
        """The first of those wanted, and how many there are; one search at a time.

        It ends with the request of who asks, by cancellation.
        """
        found: list[Connection] = []
        count = 0
        async with self._turn():
            for number, each in enumerate(self._director.each_connection()):
                if number % _AT_ONCE == 0:
                    await asyncio.sleep(_PAUSE_S)
                if wanted(each):
                    count += 1
                    if len(found) < most:
                        found.append(each)
        return found, count

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._waiting > MOST_WAITING:
            raise web.HTTPServiceUnavailable(text="Too many searches wait already.\n")
        self._waiting += 1
        try:
            async with self._searching:
                yield
        finally:
            self._waiting -= 1


def _health(director: Director) -> tuple[Checked, ...]:
    return tuple(
        Checked(
            each.virtual,
            each.server,
            each.up,
            said(each.reason, each.hindrance),
            each.protocol,
            "" if each.order is None else each.order.text,
        )
        for each in server_health(director)
    )


def _file(name: str, kind: str) -> Handler:
    text = importlib.resources.files(__package__).joinpath(name).read_text("utf-8")

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=text, content_type=kind)

    return answer
