"""External: a program of the user's says whether a server works, by its exit status.

It gets four arguments (the VIP or mark, the virtual port, the real server's address and port), the
director's environment, ``/`` to work in, and nothing to read or write.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
from pathlib import Path
from typing import Final

from dr_forwarder.checks.model import CheckError, Target
from dr_forwarder.config.model import CheckType

_GRACE_S: Final = 0.5
"""From SIGTERM, for what a program has to clear away, to SIGKILL."""


async def check(target: Target) -> str:
    """Passes on exit status 0. At the time limit the whole process group is ended."""
    process = await _start(target)
    try:
        status = await process.wait()
    finally:
        if process.returncode is None:
            await _end(process)
    if status < 0:
        raise CheckError(f"killed by {_signal_name(-status)}")
    if status:
        raise CheckError(f"exit status {status}")
    return "exit status 0"


async def _start(target: Target) -> asyncio.subprocess.Process:
    command = _command(target)
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            *target.arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            cwd="/",
            # As ldirectord does for the sake of Perl.
            env={**os.environ, "PERLIO": "perlio"},
            start_new_session=True,
        )
    except OSError as error:
        raise CheckError(f"{command[0]}: {os.strerror(error.errno or 0).lower()}") from error


def _command(target: Target) -> list[str]:
    """ldirectord takes the whole text for a path; so do we if there is such a file."""
    text = target.check.command
    try:
        words = [text] if Path(text).is_file() else shlex.split(text)
    except ValueError as error:
        raise CheckError(f"checkcommand: {error}") from error
    if not words:
        raise CheckError("checkcommand is empty")
    return ["perl", *words] if target.check.type is CheckType.EXTERNAL_PERL else words


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ends the program and what it has started, also a child that outlives the program."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_S):
                await process.wait()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
