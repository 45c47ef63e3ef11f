"""Connect: can a connection to the check port be made? Nothing is sent over it."""

from __future__ import annotations

from dr_forwarder.checks.model import Target
from dr_forwarder.checks.stream import connected


async def check(target: Target) -> str:
    """Passes when the server accepts, whatever it does then."""
    (await connected(target)).close()
    return "connected"
