"""FTP (RFC 959): log in and, if there is something to fetch, fetch it passively.

The data connection goes to the real server too, whatever address it names.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from dr_forwarder.checks import receive
from dr_forwarder.checks.dialogue import Dialogue, dialogue
from dr_forwarder.checks.model import CheckError, Target
from dr_forwarder.checks.replies import Reply, expect_good, hear_reply

_FILE_BYTES: Final = 1024 * 1024
_PASV: Final = re.compile(r"(?:\d+,){4}(\d+),(\d+)")
_EPSV: Final = re.compile(r"\(([!-~])\1\1(\d+)\1\)")


async def check(target: Target) -> str:
    """Passes on a login; with a `request`, when it is fetched and `receive`, if any, is in it.

    A request of ``/`` alone is no file: then the login decides, where ldirectord has every
    server up. ldirectord also takes a dead server for up where `receive` is empty.
    """
    wanted = target.check.request.removeprefix("/")
    if target.check.receive and not wanted:
        raise CheckError("receive needs a request: the file to look for it in")
    async with dialogue(target) as server:
        await _greeted(server)
        await _log_in(server, target)
        seen = await _fetch(server, target, wanted) if wanted else "logged in"
        await server.leave("QUIT")
        return seen


async def _greeted(server: Dialogue) -> None:
    reply = await hear_reply(server)
    while reply.code.startswith("1"):  # 120: ready in a while
        reply = await hear_reply(server)
    if not reply.is_good:
        raise CheckError(f"answered {reply}")


async def _log_in(server: Dialogue, target: Target) -> None:
    reply = await _asked(server, f"USER {target.check.login or 'anonymous'}")
    if reply.code == "331":
        reply = await _asked(server, f"PASS {target.check.password}")
    if not reply.is_good:
        raise CheckError(f"answered {reply}")
    # A server that has no such directory may have the file all the same.
    await _asked(server, "CWD /")


async def _asked(server: Dialogue, command: str) -> Reply:
    await server.say(command)
    return await hear_reply(server)


async def _fetch(server: Dialogue, target: Target, wanted: str) -> str:
    await server.say("TYPE I")
    await expect_good(server)
    port = await _data_port(server, target)
    async with dialogue(replace(target, port=port)) as data:
        await server.say(f"RETR {wanted}")
        reply = await hear_reply(server)
        if not reply.code.startswith("1"):
            raise CheckError(f"answered {reply}")
        content = await data.hear_all(_FILE_BYTES)
    if len(content) < _FILE_BYTES and not target.check.receive:
        await expect_good(server)
    await receive.require(target, content, where=wanted)
    return f"fetched {len(content)} bytes of {wanted}"


async def _data_port(server: Dialogue, target: Target) -> int:
    """RFC 2428 section 3; PASV can name no IPv6 address, and some servers know nothing newer."""
    commands = (("PASV", _PASV), ("EPSV", _EPSV))
    for command, form in commands if target.address.version == 4 else commands[::-1]:
        reply = await _asked(server, command)
        if not reply.is_good:
            continue
        if found := form.search(reply.text):
            high, low = found.groups() if form is _PASV else ("0", found[2])
            if 0 < (port := int(high) * 256 + int(low)) < 65536:
                return port
        raise CheckError(f"answered {reply} to {command}")
    raise CheckError(f"answered {reply} to {command}")
