"""Simple TCP: send the request, look for receive in a line of the answer; UDP by protocol=udp."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import closing
from typing import Final

from dr_forwarder.checks import datagram, receive, stream
from dr_forwarder.checks.model import CheckError, Target, octets
from dr_forwarder.checks.receive import Patience

_ANSWER_BYTES: Final = 1024 * 1024
_AGAIN_S: Final = 2.0


async def check(target: Target) -> str:
    r"""Passes on the first line with `receive` in it, without one on any; ``\n`` is a new line."""
    question = octets(target.check.request.removeprefix("/").replace("\\n", "\n"))
    patience = Patience()
    if target.protocol == "udp":
        answer = await datagram.ask(target, question, every_s=_AGAIN_S, judge=lambda data: data)
        seen = await _first_wanted(target, answer.splitlines(), patience)
    else:
        seen = await _over_tcp(target, question, patience)
    if seen is None:
        raise CheckError(f"no line of the answer has {receive.shown(target.check.receive)}")
    return seen


async def _over_tcp(target: Target, question: bytes, patience: Patience) -> str | None:
    heard = False
    with closing(stream.Plain(await stream.connected(target))) as server:
        await server.send(question)
        server.end()
        async for lines in _lines(server):
            heard = True
            if (seen := await _first_wanted(target, lines, patience)) is not None:
                return seen
    if not heard:
        raise CheckError("connection closed without an answer")
    return None


async def _lines(server: stream.Plain) -> AsyncIterator[list[bytes]]:
    """As they come, the last one with or without an end."""
    rest, left = b"", _ANSWER_BYTES
    while left > 0 and (data := await server.receive()):
        left -= len(data)
        *lines, rest = (rest + data).split(b"\n")
        if lines:
            yield lines
    if rest:
        yield [rest]


async def _first_wanted(target: Target, lines: list[bytes], patience: Patience) -> str | None:
    wanted = target.check.receive
    for line in lines:
        if not wanted or await receive.found(wanted, line, patience=patience):
            return line.decode("utf-8", "replace").strip() or "an empty line"
    return None
