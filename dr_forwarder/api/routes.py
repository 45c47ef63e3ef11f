"""Routes: every call there is. To add one, write it beside its like, with an example."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from . import examples, openapi
from .calls import Call, Served
from .changing import CHANGING
from .happenings import EVENTS
from .looks import LOOKS
from .ordering import HEALTH, ORDERING


async def _openapi(_: Served) -> dict[str, Any]:
    return described()


CALLS = (
    *LOOKS,
    HEALTH,
    EVENTS,
    *CHANGING,
    *ORDERING,
    Call("GET", "/openapi.json", "This description", object, _openapi, examples.OPENAPI),
)


def described() -> dict[str, Any]:
    """The OpenAPI document of all calls."""
    try:
        program = version("dr-forwarder")
    except PackageNotFoundError:
        program = "unknown"
    return openapi.document(CALLS, program=program)
