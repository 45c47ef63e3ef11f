"""POP3 (RFC 1939) and IMAP (RFC 3501): the greeting and, with `login`, a login; also in TLS.

Without `login` the greeting is enough; ldirectord then does not even contact a POP3 server.
"""

from __future__ import annotations

from dr_forwarder.checks.dialogue import Dialogue, dialogue
from dr_forwarder.checks.model import CheckError, Target


async def check(target: Target) -> str:
    """Passes on a good greeting and, with `login`, a login."""
    service = target.check.service
    async with dialogue(target, encrypted=service in ("pops", "imaps")) as server:
        if service.startswith("pop"):
            return await _pop(server, target)
        return await _imap(server, target)


async def _pop(server: Dialogue, target: Target) -> str:
    seen = await server.expect("+OK")
    if target.check.login:
        await server.say(f"USER {target.check.login}")
        await server.expect("+OK")
        await server.say(f"PASS {target.check.password}")
        seen = await server.expect("+OK")
    await server.leave("QUIT")
    return seen


async def _imap(server: Dialogue, target: Target) -> str:
    seen = await server.expect("* OK", "* PREAUTH")
    if target.check.login and not seen.upper().startswith("* PREAUTH"):
        await server.say(f"1 LOGIN {_quoted(target.check.login)} {_quoted(target.check.password)}")
        seen = await _tagged(server, "1")
    await server.leave("2 LOGOUT")
    return seen


async def _tagged(server: Dialogue, tag: str) -> str:
    """The answer to one command, after what the server has to say besides."""
    while True:
        line = await server.hear()
        if line.upper().startswith("* BYE"):
            raise CheckError(f"answered {line!r}")
        if line.startswith(f"{tag} "):
            if not line.upper().startswith(f"{tag} OK"):
                raise CheckError(f"answered {line!r}")
            return line


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
