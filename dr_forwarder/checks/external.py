"""External: a program of the user's says whether a server works, by its exit status.

It gets four arguments (the VIP or mark, the virtual port, the real server's address and port), the
director's environment, ``/`` to work in, and nothing to read or write.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shlex
import shutil
import signal
from pathlib import Path
from typing import Final

from dr_forwarder.checks import leftovers
from dr_forwarder.checks.model import CheckError, Target
from dr_forwarder.config.model import CheckType

_GRACE_S: Final = 0.5
"""From SIGTERM, for what a program has to clear away, to SIGKILL."""
_FIRST_LINE_BYTES: Final = 256
_NOT_THEIRS: Final = ("NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_")

at_work: Final[set[int]] = set()
"""The programs that are running."""


async def check(target: Target) -> str:
    """Passes on exit status 0. At the time limit it is ended with all that it has started."""
    process = await _start(target)
    at_work.add(process.pid)
    try:
        status = await process.wait()
    finally:
        if process.returncode is None:
            await _end(process)
        at_work.discard(process.pid)
    if status < 0:
        raise CheckError(f"killed by {_signal_name(-status)}")
    if status:
        raise CheckError(f"exit status {status}")
    return "exit status 0"


async def _start(target: Target) -> asyncio.subprocess.Process:
    command = _command(target)
    try:
        return await _execute(*command, *target.arguments)
    except OSError as error:
        raise CheckError(f"{command[0]}: {_why_not(command[0], error)}") from error


async def _execute(program: str, *arguments: str) -> asyncio.subprocess.Process:
    """As execvp(3), which Perl's exec calls: what the kernel cannot run is a script for sh."""
    try:
        return await _fork(program, *arguments)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    return await _fork("/bin/sh", shutil.which(program) or program, *arguments)


async def _fork(*command: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        cwd="/",
        env=_environment(),
        start_new_session=True,
    )


def _environment() -> dict[str, str]:
    """Ours, without what the service manager said to us alone."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_THEIRS)}
    # As ldirectord does for the sake of Perl.
    return {**ours, "PERLIO": "perlio"}


def _why_not(program: str, error: OSError) -> str:
    """``no such file or directory`` is also said of a script whose interpreter does not exist."""
    if error.errno == errno.ENOENT and (interpreter := _interpreter(program)):
        cure = ": its lines end as DOS ends them" if interpreter.endswith("\r") else ""
        return f"its interpreter {interpreter!r} does not exist{cure}"
    if error.errno == errno.EACCES and Path(program).is_dir():
        return os.strerror(errno.EISDIR).lower()
    return os.strerror(error.errno or 0).lower()


def _interpreter(program: str) -> str:
    try:
        with open(program, "rb") as script:
            first = script.readline(_FIRST_LINE_BYTES).rstrip(b"\n")
    except OSError:
        return ""
    return first[2:].strip(b" \t").decode("utf-8", "replace") if first[:2] == b"#!" else ""


def _command(target: Target) -> list[str]:
    """ldirectord takes the whole text for a path; so do we if there is such a file."""
    text = target.check.command
    try:
        words = [text] if Path(_placed(text)).is_file() else shlex.split(text)
    except ValueError as error:
        raise CheckError(f"checkcommand: {error}") from error
    if not words:
        raise CheckError("checkcommand is empty")
    words[0] = _placed(words[0])
    return ["perl", *words] if target.check.type is CheckType.EXTERNAL_PERL else words


def _placed(program: str) -> str:
    """A relative path as ldirectord takes it: from ``/`` as a daemon, in the foreground from where
    it was started.
    """
    if "/" not in program or program.startswith("/"):
        return program
    from_root = os.path.normpath(f"/{program}")
    return from_root if os.path.exists(from_root) else os.path.abspath(program)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ends the program and what it has started, also a child that outlives the program, or that
    has left for a session of its own.
    """
    started = frozenset(leftovers.descendants(process.pid))
    # No asyncio.timeout: in a task that is being cancelled, that of Python 3.11.2 ends nothing.
    ending = asyncio.ensure_future(process.wait())
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        if number == signal.SIGKILL:
            leftovers.kill(started)
        await asyncio.wait([ending], timeout=_GRACE_S)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
