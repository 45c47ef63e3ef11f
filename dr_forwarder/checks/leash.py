"""Leash: the director's end of one worker: asks it, hears it, and ends it when it hears nothing."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from dr_forwarder.checks.confinement import BUSY_S, DATA_BYTES, EXIT_MEMORY
from dr_forwarder.checks.model import CheckError, HindranceError, Target

_log = logging.getLogger(__name__)

GRACE_S: Final = 2.0
"""From calling a check off to its end; a worker that does not hear it by then hears nothing."""
_START_S: Final = 30.0
"""So long a worker may take to start, on a host that has little time for it."""
_MESSAGE_BYTES: Final = 64 * 1024
_ROOT: Final = Path(__file__).parents[2]
_CRASHES: Final = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL}
)

Outcome = str | CheckError | HindranceError
"""What a check came to: what it saw, or what it would have raised."""


class Leash:
    """One process, and what it was asked. Raises OSError when there can be none."""

    def __init__(self, kind: str, on_end: Callable[[Leash, frozenset[Target]], None]) -> None:
        self._kind = kind
        self._on_end = on_end
        self._numbers = itertools.count()
        self._asked: dict[int, tuple[Target, asyncio.Future[Outcome]]] = {}
        self.was_ready = False
        self._deaf = False
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._process = _start(kind, theirs.fileno())
            except BaseException:
                self._socket.close()
                raise
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket, self._hear)
        self._late_s = asyncio.get_running_loop().time() + _START_S
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_alive = True
        self.count = 0
        """So many checks it was asked for."""

    @property
    def busy(self) -> int:
        """So many checks it carries out."""
        return len(self._asked)

    async def ask(self, target: Target) -> Outcome:
        """Raises CancelledError when called off; made of a HindranceError if that it ended so late
        is not the server's doing.
        """
        number = next(self._numbers)
        self.count += 1
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._asked[number] = (target, future)
        try:
            self._send(number, target)
            await asyncio.wait([future])
        except asyncio.CancelledError:
            hindrance = await self._call_off(number, future)
            if hindrance is None:
                raise
            raise asyncio.CancelledError from hindrance
        except OSError:
            del self._asked[number]
            raise
        return future.result()

    async def _call_off(
        self, number: int, future: asyncio.Future[Outcome]
    ) -> HindranceError | None:
        """Waits for its end; says why that came so late, if another check is to blame."""
        try:
            self._send(number, None)
        except OSError:
            pass  # it is at its end, or hears nothing
        if not self.was_ready and asyncio.get_running_loop().time() < self._late_s:
            return HindranceError(f"the process that checks {self._kind} has not started yet")
        await asyncio.wait([future], timeout=GRACE_S)
        if not future.done():
            self._deaf = True
            self._end()
        outcome = future.result()
        return outcome if isinstance(outcome, HindranceError) else None

    def _send(self, number: int, target: Target | None) -> None:
        self._socket.send(pickle.dumps((number, target)))

    def _hear(self) -> None:
        try:
            data = self._socket.recv(_MESSAGE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        number, word, text = json.loads(data)
        if word == "ready":
            self.was_ready = True
            return
        if word == "said":
            _log.warning("%s", text)
            return
        _, future = self._asked.pop(number)
        outcomes = {"passed": str, "failed": CheckError, "hindered": HindranceError}
        future.set_result(outcomes[word](text))

    def _end(self) -> None:
        """The process has ended, or does so now; what it was asked comes to nothing."""
        if not self.is_alive:
            return
        self.is_alive = False
        self._gone.set_result(None)
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._process.kill()
        guilt = self._guilt(self._process.wait())
        asked = tuple(self._asked.values())
        self._asked.clear()
        for _, future in asked:
            if guilt is not None and len(asked) == 1:
                future.set_result(CheckError(guilt))
            else:
                future.set_result(HindranceError(self._loss(guilt)))
        self._on_end(self, frozenset(target for target, _ in asked if guilt is not None))

    def _guilt(self, status: int) -> str | None:
        """What an answer did to the process, by its end; None if that was nobody's answer."""
        if not self.was_ready:
            return None
        if self._deaf:
            return f"the answer holds up its library for more than {GRACE_S:g} s"
        if status == EXIT_MEMORY:
            return f"the answer takes more than {DATA_BYTES >> 20} MiB"
        if status == -signal.SIGPROF:
            return f"the answer keeps its library busy for more than {BUSY_S:g} s"
        if -status in _CRASHES:
            return f"the answer crashes its library ({signal.Signals(-status).name})"
        return None

    def _loss(self, guilt: str | None) -> str:
        if guilt is not None:
            return f"one of several servers ended the process that checks {self._kind}: {guilt}"
        return f"the process that checks {self._kind} was ended"

    def dismiss(self) -> None:
        """Ends a process that has nothing to do."""
        self._end()

    async def leave(self, limit_s: float) -> None:
        """Lets the process end by itself, and ends it when that takes too long."""
        if self.is_alive:
            self._socket.shutdown(socket.SHUT_WR)
            await asyncio.wait([self._gone], timeout=limit_s)
            self._end()


def _here() -> str:
    try:
        return os.getcwd()
    except OSError:  # it is gone
        return "/"


def _start(kind: str, descriptor: int) -> subprocess.Popen[bytes]:
    """Of the director's descriptors it has this one alone, and no terminal's signals reach it."""
    return subprocess.Popen(
        [sys.executable, "-m", "dr_forwarder.checks.worker", kind, str(descriptor), _here()],
        cwd=_ROOT,
        pass_fds=[descriptor],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
