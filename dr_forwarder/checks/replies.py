"""Replies: three digits and text in one line or several, as FTP and SMTP servers answer.

RFC 959 section 4.2 and RFC 5321 section 4.2.1. Of the two ways to go on over lines FTP's is read,
which takes SMTP's too: all is text until the line that has the digits again and no hyphen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dr_forwarder.checks.dialogue import Dialogue
from dr_forwarder.checks.model import CheckError

_REPLY_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered to one command."""

    code: str
    text: str
    """Its last line, without the code."""

    @property
    def is_good(self) -> bool:
        """Whether the command is done."""
        return self.code.startswith("2")

    def __str__(self) -> str:
        return f"{self.code} {self.text}".rstrip()


async def hear_reply(server: Dialogue) -> Reply:
    """The next one, once it is whole. Raises CheckError for what is none."""
    line = await server.hear()
    code, heard = line[:3], len(line)
    if not (len(code) == 3 and code.isascii() and code.isdigit() and line[3:4] in ("", " ", "-")):
        raise CheckError(f"answered {line!r}")
    goes_on = line[3:4] == "-"
    while goes_on:
        line = await server.hear()
        heard += len(line)
        if heard > _REPLY_BYTES:
            raise CheckError(f"answered {code} with more than {_REPLY_BYTES} bytes")
        goes_on = line[:3] != code or line[3:4] not in ("", " ")
    return Reply(code, line[4:].strip())


async def expect_good(server: Dialogue) -> Reply:
    """The next reply. Raises CheckError unless it is a good one."""
    reply = await hear_reply(server)
    if not reply.is_good:
        raise CheckError(f"answered {reply}")
    return reply
