"""Commands: runs the site's own programs (`fallbackcommand`, `callback`, `execute`) beside the
director, which never waits for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
import signal
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from ..config.model import Config, Virtual
from ..config.table_keys import key_of
from ..director import Director
from ..events import FallbackEvent, Happening, Reloaded, Started, Stopped
from ..ldirectord.others import command_of, environment_of
from ..table import Key

_log = logging.getLogger(__name__)

LIMIT_S = 60.0
_END_S = 15.0
"""What still runs at the end of the director gets so long."""


def fallback_command(event: FallbackEvent, config: Config) -> str | None:
    """The shell's line for a service that lost its last real server, or has one again.

    ldirectord appends ``start|stop VIP:PORT PROTOCOL``; of a firewall mark it does not say which,
    here it stands where the address would.
    """
    virtual = next((each for each in config.virtuals if key_of(each) == event.service), None)
    if virtual is None or not virtual.fallback_command:
        return None
    words = ["start" if event.on else "stop", _where(virtual), virtual.protocol]
    return f"{virtual.fallback_command} {shlex.join(words)}"


def last_commands(config: Config) -> Iterator[tuple[Key, str]]:
    """Those for which the end of the director is the loss of the last real server."""
    for virtual in config.virtuals:
        event = FallbackEvent(key_of(virtual), on=True)
        line = fallback_command(event, config) if virtual.fallback_at_stop else None
        if line is not None:
            yield event.service, line


def _where(virtual: Virtual) -> str:
    return f"{virtual.fwmark}:0" if virtual.address is None else virtual.name


class Commands:
    """Runs programs, those of the same key one after the other, each within a time limit."""

    def __init__(self, *, limit_s: float = LIMIT_S, end_s: float = _END_S) -> None:
        self._limit_s = limit_s
        self._end_s = end_s
        self._running: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._running:
            _, late = await asyncio.wait(self._running.values(), timeout=self._end_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    def shell(self, key: str, line: str) -> None:
        """Has the shell run a line."""
        self.program(key, ("/bin/sh", "-c", line), name=line)

    def program(
        self,
        key: str,
        argv: Sequence[str],
        *,
        name: str = "",
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Runs a program."""
        before = self._running.get(key)
        task = asyncio.create_task(self._run(argv, name or shlex.join(argv), env, before))
        self._running[key] = task
        task.add_done_callback(lambda done: self._forget(key, done))

    def _forget(self, key: str, task: asyncio.Task[None]) -> None:
        if self._running.get(key) is task:
            del self._running[key]

    async def _run(
        self,
        argv: Sequence[str],
        name: str,
        env: Mapping[str, str] | None,
        before: asyncio.Task[None] | None,
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        _log.info("Running %s", name)
        try:
            process = await asyncio.create_subprocess_exec(
                *argv, env=env, stdin=asyncio.subprocess.DEVNULL, start_new_session=True
            )
        except OSError as error:
            _log.error("system(%s) failed: %s", name, error.strerror)
            return
        try:
            async with asyncio.timeout(self._limit_s):
                status = await process.wait()
        except TimeoutError:
            _log.error("system(%s) failed: not done within %g s, killed", name, self._limit_s)
            return
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if status:
            _log.error("system(%s) failed: %s", name, _ending(status))


def _ending(status: int) -> str:
    return f"exit status {status}" if status > 0 else f"killed by signal {-status}"


@contextlib.contextmanager
def commanding(director: Director, commands: Commands) -> Iterator[None]:
    """Runs what the configuration says to run, as long as the context lasts."""
    executed: tuple[str, ...] = ()
    fallen: set[Key] = set()

    def hear(happening: Happening) -> None:
        nonlocal executed
        match happening.event:
            case FallbackEvent(service, on) as event:
                (fallen.add if on else fallen.discard)(service)
                if (line := fallback_command(event, director.config)) is not None:
                    commands.shell(str(service), line)
            case Stopped():
                for service, line in last_commands(director.config):
                    if service not in fallen:
                        commands.shell(str(service), line)
            case Started():
                executed = _execute(commands, (), director.config.execute)
            case Reloaded(path):
                executed = _execute(commands, executed, director.config.execute)
                if director.config.callback is not None:
                    commands.program("callback", (director.config.callback, path))

    deafen = director.events.listen(hear)
    try:
        yield
    finally:
        deafen()
        _execute(commands, executed, ())


def _execute(
    commands: Commands, before: tuple[str, ...], names: tuple[str, ...]
) -> tuple[str, ...]:
    """Starts, reloads or stops the other configurations (``execute``), each a director."""
    for name in dict.fromkeys((*before, *names)):
        action = "stop" if name not in names else "reload" if name in before else "start"
        _log.info("execute %s: %s", name, action)
        commands.program(f"execute {name}", command_of(name, action), env=environment_of(name))
    return names
