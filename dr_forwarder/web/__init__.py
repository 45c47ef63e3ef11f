"""Web: metrics on a TCP address, for people and programs that look.

There is no login, so the address is a loopback one unless the operator chose another.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from ..director import Director


@contextlib.asynccontextmanager
async def serving(director: Director) -> AsyncIterator[None]:
    """Serves where ``listen`` says, as long as the context lasts; raises SetupError."""
    listen = director.config.settings.listen
    if listen is None:
        yield
        return
    from .server import site  # needs what only those have who listen

    async with site(director, listen):
        yield
