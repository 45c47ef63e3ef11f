"""Looker: a process that searches texts for expressions, so that none holds up the event loop.

``python -m dr_forwarder.checks.looker``: on standard input come a length and a pickled triple of an
expression, a text and a time limit in seconds; on standard output goes one byte: found, not found,
or out of time. It has no capabilities, bounded memory, and ends with its parent.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO, Final

from dr_forwarder.checks import confinement
from dr_forwarder.checks.model import HindranceError, os_reason
from dr_forwarder.config.patterns import compiled, compiled_bytes

_LENGTH: Final = struct.Struct("!I")
_FOUND: Final = b"+"
_MISSING: Final = b"-"
_LATE: Final = b"!"
_MOST: Final = 2
"""Processes, and so searches at a time; the others wait for their turn."""
_ROOT: Final = Path(__file__).parents[2]
_GRACE_S: Final = 0.5
"""After which a process that heeds no time limit is killed."""
_START_S: Final = 10.0
"""For a process to begin on a busy host; the limit of a search is counted from then on."""


class Lookers:
    """The processes of one event loop. They are started when they are first needed."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_MOST)
        self._idle: list[_Looker] = []

    async def search(self, receive: str, text: bytes | str, limit_s: float) -> tuple[bool, float]:
        """Whether it is found, and after how many seconds of searching.

        Raises TimeoutError after ``limit_s`` of these, HindranceError without a process.
        """
        try:
            await self._turns.acquire()
        except asyncio.CancelledError:
            busy = "all processes that look for `receive` are busy with other servers"
            raise asyncio.CancelledError from HindranceError(busy)
        try:
            looker = self._idle_one() or await _started()
            began_s = time.perf_counter()
            try:
                said = await looker.ask(receive, text, limit_s)
            except BaseException:
                looker.end()
                raise
            self._idle.append(looker)
        finally:
            self._turns.release()
        if said == _LATE:
            raise TimeoutError
        return said == _FOUND, time.perf_counter() - began_s

    def _idle_one(self) -> _Looker | None:
        """One that is still there: the host may have ended it, for want of memory say."""
        while self._idle:
            looker = self._idle.pop()
            if looker.is_alive:
                return looker
            looker.end()
        return None

    def end(self) -> None:
        """Ends those that have nothing to do."""
        while self._idle:
            self._idle.pop().end()


_ours: tuple[asyncio.AbstractEventLoop, Lookers] | None = None


def ours() -> Lookers:
    """Those of the running event loop."""
    global _ours
    loop = asyncio.get_running_loop()
    if _ours is None or _ours[0] is not loop:
        if _ours is not None:
            _ours[1].end()
        _ours = (loop, Lookers())
    return _ours[1]


def leave() -> None:
    """Ends those of the running event loop that have nothing to do."""
    if _ours is not None and _ours[0] is asyncio.get_running_loop():
        _ours[1].end()


@atexit.register
def _leave_all() -> None:
    if _ours is not None:
        _ours[1].end()


class _Looker:
    """One process."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dr_forwarder.checks.looker"],
                cwd=_ROOT,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except BaseException:
            self._socket.close()
            raise
        finally:
            theirs.close()

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended yet."""
        return self._process.poll() is None

    async def hear(self, limit_s: float) -> bytes:
        """The next byte; raises TimeoutError, also when the process has ended."""
        async with asyncio.timeout(limit_s):
            said = await asyncio.get_running_loop().sock_recv(self._socket, 1)
        if not said:
            raise TimeoutError  # it is killed by what it searches: for want of memory, or a crash
        return said

    async def ask(self, receive: str, text: bytes | str, limit_s: float) -> bytes:
        question = pickle.dumps((receive, text, limit_s))
        try:
            async with asyncio.timeout(limit_s + _GRACE_S):
                head = _LENGTH.pack(len(question))
                await asyncio.get_running_loop().sock_sendall(self._socket, head + question)
                return await self.hear(limit_s + _GRACE_S)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise TimeoutError from error

    def end(self) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait()


async def _started() -> _Looker:
    why = "no process can be started that looks for `receive`"
    try:
        looker = _Looker()
    except OSError as error:
        raise HindranceError(f"{why}: {os_reason(error)}") from error
    try:
        await looker.hear(_START_S)
    except (TimeoutError, OSError) as error:
        looker.end()
        raise HindranceError(why) from error
    except BaseException:
        looker.end()
        raise
    return looker


# ---- In the process ----


def _answer(receive: str, text: bytes | str, limit_s: float) -> bytes:
    pattern: Any = compiled_bytes(receive) if isinstance(text, bytes) else compiled(receive)
    try:
        return _FOUND if pattern.search(text, timeout=limit_s) is not None else _MISSING
    except (TimeoutError, MemoryError):
        return _LATE


def _serve(questions: BinaryIO, answers: BinaryIO) -> None:
    answers.write(_MISSING)  # ready
    answers.flush()
    while len(head := questions.read(_LENGTH.size)) == _LENGTH.size:
        answers.write(_answer(*pickle.loads(questions.read(_LENGTH.unpack(head)[0]))))
        answers.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    confinement.end_with_parent()
    confinement.give_up()
    confinement.limit_memory()
    if os.getppid() == parent:
        _serve(sys.stdin.buffer, sys.stdout.buffer)
