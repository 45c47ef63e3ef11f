"""SIP (RFC 3261): an OPTIONS request, over UDP or, with protocol=tcp, TCP."""

from __future__ import annotations

import secrets
from functools import partial
from typing import Final

from dr_forwarder.checks import datagram
from dr_forwarder.checks.dialogue import dialogue
from dr_forwarder.checks.model import CheckError, Target, octets

_AGAIN_S: Final = 0.5
"""T1 of section 17.1.1.1."""
_MAGIC: Final = "z9hG4bK"
"""What a branch begins with, section 8.1.1.7."""


async def check(target: Target) -> str:
    """Passes when the final answer is a 200."""
    if target.protocol == "tcp":
        return await _over_tcp(target)
    question = partial(_options, target, "UDP")
    return await datagram.ask(target, question, every_s=_AGAIN_S, judge=_judge)


async def _over_tcp(target: Target) -> str:
    async with dialogue(target) as server:
        await server.send(_options(target, "TCP", server.own))
        while True:
            # Header lines of a provisional answer, and the blank line after them, say nothing.
            line = await server.hear()
            if line.upper().startswith("SIP/") and (seen := _judge(line.encode())):
                return seen
            if not line.upper().startswith("SIP/") and ":" not in line and line.strip():
                raise CheckError(f"answered {line!r}")


def _options(target: Target, transport: str, own: str) -> bytes:
    """The request. `Via` names our own end: the answer goes there, and who finds itself in it says
    that there is a loop (sections 18.2.2 and 16.3); RFC 3581's `rport` is for a translator between.
    """
    user = target.check.login or "nobody"
    token = secrets.token_hex(8)
    lines = (
        f"OPTIONS sip:{user} SIP/2.0",
        f"Via: SIP/2.0/{transport} {own};branch={_MAGIC}{token};rport",
        "Max-Forwards: 70",
        f"To: <sip:{user}>",
        f"From: <sip:{user}>;tag={token}",
        f"Call-ID: {secrets.token_hex(16)}",
        "CSeq: 1 OPTIONS",
        f"Contact: <sip:{own}>",
        "Accept: application/sdp",
        "Content-Length: 0",
        "",
        "",
    )
    return octets("\r\n".join(lines))


def _judge(answer: bytes) -> str | None:
    """What a message says; None for one that only says to wait, or only keeps a way open."""
    if not answer.strip(b"\r\n\0"):
        return None  # RFC 5626, section 3.5.1
    first = answer.split(b"\r\n", 1)[0].split(b"\n", 1)[0].decode("utf-8", "replace")
    version, _, status = first.partition(" ")
    if version.upper() != "SIP/2.0":  # read without regard to case, section 7.1
        raise CheckError(f"answered {first!r}")
    if status.startswith("1"):
        return None
    if status.split(" ")[0] != "200":
        raise CheckError(first)
    return first
