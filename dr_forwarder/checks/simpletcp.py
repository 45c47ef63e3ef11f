"""Simple TCP: send the request, look for receive in a line of the answer; UDP by protocol=udp."""

from __future__ import annotations

from typing import Final

from dr_forwarder.checks import datagram, receive
from dr_forwarder.checks.dialogue import dialogue
from dr_forwarder.checks.model import CheckError, Target, octets

_ANSWER_BYTES: Final = 1024 * 1024
_AGAIN_S: Final = 2.0


async def check(target: Target) -> str:
    r"""Passes on the first line with `receive` in it, without one on any; ``\n`` is a new line."""
    question = octets(target.check.request.removeprefix("/").replace("\\n", "\n"))
    if target.protocol == "udp":
        return await _over_udp(target, question)
    heard = 0
    async with dialogue(target) as server:
        await server.send(question, end=True)
        while heard < _ANSWER_BYTES:
            line = await server.hear_any()
            if line is None:
                break
            heard += len(line) + 1
            if await _is_wanted(target, line):
                return line
    raise CheckError(_lacking(target) if heard else "connection closed without an answer")


async def _over_udp(target: Target, question: bytes) -> str:
    answer = await datagram.ask(target, question, every_s=_AGAIN_S, judge=lambda data: data)
    for line in answer.decode("utf-8", "replace").splitlines():
        if await _is_wanted(target, line):
            return line
    raise CheckError(_lacking(target))


async def _is_wanted(target: Target, line: str) -> bool:
    wanted = target.check.receive
    return not wanted or await receive.found(wanted, line)


def _lacking(target: Target) -> str:
    return f"no line of the answer has /{target.check.receive}/"
