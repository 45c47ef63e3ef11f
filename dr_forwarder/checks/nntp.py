"""NNTP (RFC 3977): the greeting says whether the server serves."""

from __future__ import annotations

from dr_forwarder.checks.dialogue import dialogue
from dr_forwarder.checks.model import Target


async def check(target: Target) -> str:
    """Passes on a greeting that begins with 2. Nothing but a farewell is sent."""
    async with dialogue(target) as server:
        greeting = await server.expect("2")
        await server.leave("QUIT")
        return greeting
