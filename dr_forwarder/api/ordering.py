"""Ordering: an operator's orders as the control socket takes and tells them."""

from __future__ import annotations

from ..checks import target
from ..config.table_keys import key_of
from ..director import Director
from ..errors import SetupError
from ..health import Health
from ..messages import jsonable
from ..orders import OrderRow
from ..table import Drain
from . import examples
from .bodies import AskedOrder, ServerHealth, ServerOfService, StandingOrder
from .calls import Call, Served
from .reading import Invalid


async def health(served: Served) -> tuple[ServerHealth, ...]:
    """Of the director that serves."""
    return server_health(served.director)


def server_health(director: Director) -> tuple[ServerHealth, ...]:
    """What is known of every server of the file, and of every other that an order is about."""
    orders = {row.order.member: _standing(row) for row in director.draining.rows()}
    known = [
        ServerHealth(
            key_of(virtual).protocol,
            virtual.name,
            target(virtual, real).name,
            **jsonable(director.health(virtual, real)),
            order=orders.get((key_of(virtual), real.address)),
        )
        for virtual in director.config.virtuals
        for real in virtual.real
    ]
    of_file = {(key_of(v), real.address) for v in director.config.virtuals for real in v.real}
    unchecked = jsonable(Health(reason="not checked here"))
    others = (
        ServerHealth(service.protocol, service.name, str(server), **unchecked, order=order)
        for (service, server), order in orders.items()
        if (service, server) not in of_file
    )
    return (*known, *others)


def _standing(row: OrderRow) -> StandingOrder:
    return StandingOrder(row.order, row.state, row.active, row.inactive, row.left_s, row.text)


async def orders(served: Served) -> tuple[StandingOrder, ...]:
    """As they are now."""
    return tuple(_standing(row) for row in served.director.draining.rows())


async def obey(served: Served, asked: AskedOrder) -> tuple[ServerOfService, ...]:
    """Does what was asked for, and tells of which servers."""
    draining, service = served.director.draining, asked.service
    left_s = asked.read()
    members = draining.members(service, asked.server)
    if not members:
        server = f"server {asked.server}"
        error = f"no service has a {server}" if service is None else f"{service} has no {server}"
        raise Invalid("server", error, status=404)
    try:
        if asked.order == "enable":
            draining.enable(members)
        else:
            draining.drain(members, deadline_s=left_s, then=Drain(asked.then))
    except OSError as error:
        raise SetupError(f"the order cannot be kept: {error.strerror}") from error
    return tuple(ServerOfService(*each) for each in members)


HEALTH = Call(
    "GET",
    "/health",
    "What the checks say of each real server, and whether an operator has taken it out",
    tuple[ServerHealth, ...],
    health,
    examples.HEALTH,
)
ORDERING = (
    Call(
        "POST",
        "/orders",
        "Take a server out gently or at once, or back; answers of which services",
        tuple[ServerOfService, ...],
        obey,
        examples.ORDER,
        body=AskedOrder,
        details="It holds until `enable`, whatever checks, files and restarts say. 404 if no"
        " service has the server, 409 if the order cannot be written down.",
        refusals={404: "No service has the server.", 409: "The order cannot be written down."},
    ),
    Call(
        "GET",
        "/orders",
        "Every order that stands",
        tuple[StandingOrder, ...],
        orders,
        examples.STANDING,
    ),
)
"""In the order of the documentation."""
