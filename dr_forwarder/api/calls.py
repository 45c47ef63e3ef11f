"""Calls: what one call of the control socket is, and whom it is about."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from ..config import Config
from ..director import Director
from ..errors import SetupError

Reload = Callable[[], Awaitable[Config]]
"""Reads the configuration again and brings it into force; raises ConfigError, SetupError."""
StreamContext = AbstractAsyncContextManager[AsyncIterator[Sequence[object]]]
"""Gives lines of a stream, some at a time: so many as may be written without others' turn."""


async def without_file() -> Config:
    """What reloads where there is nothing to read."""
    raise SetupError("there is no configuration file")


@dataclass(frozen=True, slots=True)
class Served:
    """What the calls look at and change."""

    director: Director
    reload: Reload


@dataclass(frozen=True, slots=True)
class Example:
    """A call as somebody may make it, and the answer, of which parts may be left out."""

    answer: Any
    """Of a stream: the lines."""
    body: Any = None
    path: str = ""
    """With its parameters, where the call has some."""
    more: bool = False
    """The answer is a list that goes on."""


@dataclass(frozen=True, slots=True)
class Call:
    """A method and a path, what they do, and of which types everything is.

    ``do`` is called with what is served, then with ``parameters`` and ``body`` as data, as far as
    there are any, and gives the answer to wait for, or for ``lines`` a context in which they come.
    The fields of ``parameters`` are the ``{name}`` in the path; any others are the query's.
    """

    method: str
    path: str
    """From behind ``/v1`` on."""
    summary: str
    answer: Any
    """A type; of a stream, that of a line."""
    do: Callable[..., Awaitable[object] | StreamContext]
    example: Example
    parameters: type | None = None
    body: type | None = None
    lines: bool = False
    """A stream: each object is a line of JSON, written as it comes."""
    endless: bool = False
    """A stream that goes on until the client or the director ends it."""
    refusals: Mapping[int, str] = field(default_factory=dict)
    """Statuses beside those of every call, and when they are answered."""
    details: str = ""
