"""Receive: is the configured regular expression in the answer? Within bounded time, always."""

from __future__ import annotations

import asyncio
from typing import Final

from dr_forwarder.checks.model import CheckError, Target
from dr_forwarder.config.patterns import compiled

# A pattern that backtracks for ever must hold up no other check: the event loop waits this long
# for it, then a thread looks again, without the interpreter's lock and within its own limit.
_AT_ONCE_S: Final = 0.005
_AT_MOST_S: Final = 1.0


async def require(target: Target, text: str, *, where: str) -> None:
    """Raises CheckError unless `receive` is found in `text`; an empty one always is."""
    receive = target.check.receive
    if receive and not await found(receive, text):
        raise CheckError(f"{where} lacks /{receive}/")


async def found(receive: str, text: str) -> bool:
    """Raises CheckError when it takes too long to tell, or is no regular expression."""
    try:
        pattern = compiled(receive)
    except ValueError as error:
        raise CheckError(f"receive is not a regular expression: {error}") from error
    try:
        return pattern.search(text, timeout=_AT_ONCE_S) is not None
    except TimeoutError:
        pass
    try:
        hit = await asyncio.to_thread(pattern.search, text, timeout=_AT_MOST_S, concurrent=True)
    except TimeoutError as error:
        raise CheckError(
            f"/{receive}/ backtracks for over {_AT_MOST_S:g} s: simplify it"
        ) from error
    return hit is not None
