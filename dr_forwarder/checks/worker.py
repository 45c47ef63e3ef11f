"""Worker: the program that carries out checks of one kind, and tells the director how they ended.

``python -m dr_forwarder.checks.worker KIND DESCRIPTOR DIRECTORY``: a kind is a service, or
``external``; the directory is the director's. Over the socket come pickled pairs of a number and a
target, or None to call the check off; back go JSON arrays of the number, a word (``ready``,
``passed``, ``failed``, ``hindered``, ``said``) and a text.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import pickle
import signal
import socket
import sys
from typing import Any, Final

from dr_forwarder.checks import MODULES, confinement, external
from dr_forwarder.checks.apart import EXTERNAL
from dr_forwarder.checks.leftovers import Leftovers
from dr_forwarder.checks.model import CheckError, Family, Target, hindrance, os_reason
from dr_forwarder.config.needs import LIBRARIES

_QUESTION_BYTES: Final = 256 * 1024
_TEXT_LENGTH: Final = 1000
_TURN_S: Final = 0.2


class _Worker:
    """Carries out checks until the director is gone."""

    def __init__(self, sock: socket.socket, family: Family) -> None:
        self._socket = sock
        self._family = family
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._busy = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: _end_if_memory(context.get("exception")))
        await self._tell(-1, "ready", "")
        while data := await loop.sock_recv(self._socket, _QUESTION_BYTES):
            number, target = pickle.loads(data)
            if target is not None:
                self._tasks[number] = loop.create_task(self._carry_out(number, target))
                self._busy.set()
            elif number in self._tasks:
                self._tasks[number].cancel()

    async def end(self) -> None:
        """Calls off what is left."""
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks.values()))

    async def say(self, text: str) -> None:
        """Has the director log it."""
        await self._tell(-1, "said", text)

    async def turn(self) -> None:
        """Shows while there are checks that events still have their turn."""
        while True:
            await self._busy.wait()
            confinement.must_turn()
            await asyncio.sleep(_TURN_S)
            if not self._tasks:
                self._busy.clear()
                confinement.may_rest()

    async def _carry_out(self, number: int, target: Target) -> None:
        try:
            word, text = "passed", await self._family(target)
        except asyncio.CancelledError:
            word, text = "failed", "called off"
        except BaseException as error:
            _end_if_memory(error)
            word, text = _told(error)
        del self._tasks[number]
        await self._tell(number, word, text)

    async def _tell(self, number: int, word: str, text: str) -> None:
        line = text.encode("utf-8", "replace").decode()[:_TEXT_LENGTH]
        message = json.dumps([number, word, line]).encode()
        async with self._one_at_a_time:
            with contextlib.suppress(ConnectionError):  # the director has ended
                await asyncio.get_running_loop().sock_sendall(self._socket, message)


def _told(error: BaseException) -> tuple[str, str]:
    if (cause := hindrance(error)) is not None:
        return "hindered", cause
    match error:
        case CheckError():
            return "failed", str(error)
        case TimeoutError() if not error.errno:
            return "failed", "no answer in time"
        case OSError():
            return "failed", os_reason(error)
    # Whatever a library raises over an answer that it cannot read.
    return "failed", f"no sound answer: {type(error).__name__}: {error}"


def _end_if_memory(error: Any) -> None:
    """The director learns it by the exit status; nothing else can be relied on now."""
    while error is not None:
        if isinstance(error, MemoryError):
            os._exit(confinement.EXIT_MEMORY)
        error = error.__cause__ or error.__context__


def _family(kind: str) -> Family:
    if kind in LIBRARIES:
        importlib.import_module(LIBRARIES[kind])
    module = importlib.import_module(f"{__package__}.{MODULES.get(kind, kind)}")
    family: Family = module.check
    return family


async def _serve(sock: socket.socket, kind: str) -> None:
    worker = _Worker(sock, _family(kind))
    if kind == EXTERNAL:
        beside = Leftovers(external.at_work, worker.say).run()
    else:
        confinement.limit_memory()
        beside = worker.turn()
    going_on = asyncio.create_task(beside)
    await worker.run()
    await worker.end()
    going_on.cancel()


def main() -> None:
    """Until the director closes its end."""
    kind, descriptor, directory = sys.argv[1:]
    os.chdir(directory)
    sock = socket.socket(fileno=int(descriptor))
    sock.setblocking(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if kind == EXTERNAL:
        confinement.adopt_orphans()
    else:
        confinement.end_with_parent()
        confinement.give_up()
    asyncio.run(_serve(sock, kind))


if __name__ == "__main__":
    main()
