"""Ordering: an operator's orders as the control socket takes and tells them."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ..checks import target
from ..director import Director
from ..health import Health
from ..messages import jsonable
from ..orders import OrderRow
from ..plan import key_of
from .validation import Asked


def health(director: Director) -> list[dict[str, Any]]:
    """What is known of every server of the file, and of every other that an order is about."""
    orders = {row.order.member: row for row in director.draining.rows()}
    known = [
        {
            "virtual": virtual.name,
            "server": target(virtual, real).name,
            **jsonable(director.health(virtual, real)),
            "order": _order(orders.get((key_of(virtual), real.address))),
        }
        for virtual in director.config.virtuals
        for real in virtual.real
    ]
    of_file = {(key_of(v), real.address) for v in director.config.virtuals for real in v.real}
    return known + [
        {
            "virtual": service.name,
            "server": str(server),
            **jsonable(Health(reason="not checked here")),
            "order": _order(row),
        }
        for (service, server), row in orders.items()
        if (service, server) not in of_file
    ]


def _order(row: OrderRow | None) -> dict[str, Any] | None:
    return None if row is None else {**jsonable(row), "text": row.text}


def obey(director: Director, asked: Asked) -> web.Response:
    """Does what was asked for, and tells of which servers."""
    members = director.draining.members(asked.service, asked.server)
    if not members:
        server = f"server {asked.server}"
        service = asked.service
        error = f"no service has a {server}" if service is None else f"{service} has no {server}"
        return web.json_response({"error": error, "field": "server"}, status=404)
    try:
        if asked.order == "enable":
            director.draining.enable(members)
        else:
            deadline_s = 0 if asked.order == "disable" else asked.deadline_s
            director.draining.drain(members, deadline_s=deadline_s, then=asked.then)
    except OSError as error:
        said = f"the order cannot be kept: {error.strerror}"
        return web.json_response({"error": said}, status=500)
    return web.json_response([{"service": jsonable(key), "server": str(a)} for key, a in members])


def orders(director: Director) -> list[dict[str, Any] | None]:
    """Every order that stands, as it is now."""
    return [_order(row) for row in director.draining.rows()]
