"""Datagram: ask one real server over UDP until it answers. Knows no protocol."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TypeVar

from dr_forwarder.checks.model import CheckError, Target, own_endpoint

_ROOM_BYTES = 64 * 1024

Answer = TypeVar("Answer")


async def ask(
    target: Target,
    question: bytes | Callable[[str], bytes],
    *,
    every_s: float,
    judge: Callable[[bytes], Answer | None],
) -> Answer:
    """Sends until `judge` makes something of a datagram; None means wait for another.

    A question that must say where it comes from is made of our own end, ``10.0.0.1:40000``.
    It is sent again after `every_s`, for UDP loses datagrams. Only what comes from the server's
    own address and port is looked at.
    """
    if not target.port:
        raise CheckError("no port to ask: set checkport")
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if target.address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect((str(target.address), target.port))
        if not isinstance(question, bytes):
            question = question(own_endpoint(sock.getsockname()))
        while True:
            await loop.sock_sendall(sock, question)
            try:
                async with asyncio.timeout(every_s):
                    return await _answer(sock, judge)
            except TimeoutError as error:
                if error.errno:
                    raise


async def _answer(sock: socket.socket, judge: Callable[[bytes], Answer | None]) -> Answer:
    while True:
        answer = judge(await asyncio.get_running_loop().sock_recv(sock, _ROOM_BYTES))
        if answer is not None:
            return answer
        # What is there already is handed out without a turn of the event loop.
        await asyncio.sleep(0)
