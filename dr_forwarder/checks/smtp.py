"""SMTP and submission (RFC 5321): greeting, EHLO or HELO, QUIT. No mail is sent."""

from __future__ import annotations

from typing import Final

from dr_forwarder.checks.dialogue import dialogue
from dr_forwarder.checks.model import Target
from dr_forwarder.checks.replies import expect_good, hear_reply

_OUR_NAME: Final = "dr-forwarder.invalid"
"""Ours, so that nobody looks one up."""


async def check(target: Target) -> str:
    """Passes when the server greets and accepts the hello."""
    async with dialogue(target) as server:
        await expect_good(server)
        await server.say(f"EHLO {_OUR_NAME}")
        hello = await hear_reply(server)
        if not hello.is_good:
            await server.say(f"HELO {_OUR_NAME}")
            hello = await expect_good(server)
        await server.leave("QUIT")
        return str(hello)
