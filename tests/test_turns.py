"""Hearing in turns, and what of the director hears: a storm leaves time to others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, Sized
from contextlib import ExitStack, closing, contextmanager, suppress
from ipaddress import ip_address
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from dr_forwarder import resolution, vip_path
from dr_forwarder.addresses import Identity
from dr_forwarder.checks import datagram
from dr_forwarder.interfaces import Interface
from dr_forwarder.prober import Prober
from dr_forwarder.sync import Synchroniser
from dr_forwarder.turns import AT_ONCE, REST_S, Turns
from dr_forwarder.vlan import UNTAGGED

LIMIT_S = 30.0


class Storm:
    """A socket that is never empty while it lasts, and how often others had their turn."""

    def __init__(self, message: bytes = b"x") -> None:
        self.ours, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for each in (self.ours, self.far):
            each.setblocking(False)
        self._message = message
        self.sent = 0

    def fill(self) -> None:
        with suppress(BlockingIOError):
            while True:
                self.far.send(self._message)
                self.sent += 1

    def close(self) -> None:
        self.ours.close()
        self.far.close()


@contextmanager
def storm() -> Iterator[Storm]:
    made = Storm()
    try:
        yield made
    finally:
        made.close()


async def until(condition: Callable[[], object]) -> None:
    for _ in range(1_000_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("what was waited for does not come")


async def most_between_turns_of_others(heard: Sized, count: int) -> int:
    """Of so many messages, how many were heard without anybody else having a turn."""
    seen = [len(heard)]
    while seen[-1] < count:
        await asyncio.sleep(0)
        seen.append(len(heard))
    return max(b - a for a, b in pairwise(seen))


def played(story: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(LIMIT_S):
            await story()

    asyncio.run(limited())


def test_a_turn_ends_after_so_many_messages_though_there_are_more() -> None:
    async def story() -> None:
        with storm() as it:
            heard: list[float] = []

            def hear(_data: bytes) -> None:
                heard.append(asyncio.get_running_loop().time())
                it.fill()

            it.fill()
            turns = Turns(it.ours, hear, room=16, name="test")
            assert await most_between_turns_of_others(heard, 4 * AT_ONCE) <= AT_ONCE
            turns.close()
            begins = heard[::AT_ONCE]
            assert all(b - a >= REST_S for a, b in pairwise(begins))

    played(story)


def test_what_waits_is_heard_in_the_end() -> None:
    async def story() -> None:
        with storm() as it:
            heard: list[bytes] = []
            turns = Turns(it.ours, heard.append, room=16, name="test")
            for _ in range(3):
                it.fill()
                await until(lambda: len(heard) == it.sent)
            it.far.send(b"alone")
            await until(lambda: heard[-1] == b"alone")
            turns.close()

    played(story)


def test_who_ends_it_within_a_turn_hears_no_more() -> None:
    async def story() -> None:
        with storm() as it:
            heard: list[bytes] = []

            def hear(data: bytes) -> None:
                heard.append(data)
                turns.close()
                it.close()

            it.fill()
            turns = Turns(it.ours, hear, room=16, name="test")
            await asyncio.sleep(3 * REST_S)
            assert heard == [b"x"]

    played(story)


def test_who_ends_it_while_it_rests_hears_no_more() -> None:
    async def story() -> None:
        with storm() as it:
            heard: list[bytes] = []
            turns = Turns(it.ours, lambda data: (heard.append(data), it.fill()), room=16, name="t")
            it.fill()
            await until(lambda: len(heard) == AT_ONCE)
            turns.close()
            await asyncio.sleep(3 * REST_S)
            assert len(heard) == AT_ONCE

    played(story)


def test_an_error_of_the_socket_ends_nothing() -> None:
    async def story() -> None:
        far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with far, ours:
            for each in (far, ours):
                each.bind(("127.0.0.1", 0))
                each.setblocking(False)
            ours.connect(far.getsockname())
            heard: list[bytes] = []
            turns = Turns(ours, heard.append, room=16, name="test")
            nowhere = far.getsockname()
            far.close()
            ours.send(b"to nobody")  # ECONNREFUSED is pending now
            await asyncio.sleep(0.01)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
                again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                again.bind(nowhere)
                again.connect(ours.getsockname())
                again.send(b"here")
                await until(lambda: heard)
            turns.close()

    played(story)


# ---- What of the director hears ----

NIC = bytes.fromhex("02000000003d")


def refilled(it: Storm, heard: list[bytes], answer: Any) -> Callable[..., Any]:
    def hear(data: bytes, **_: object) -> Any:
        heard.append(data)
        it.fill()
        return answer

    return hear


def test_a_storm_of_arp_leaves_time_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        with storm() as it:
            heard: list[bytes] = []
            monkeypatch.setattr(resolution, "heard", refilled(it, heard, None))
            it.fill()
            prober = Prober(
                it.ours,
                interface=Interface("eth0", 2, NIC, 1500, True),
                kernel_index=2,
                vlan=UNTAGGED,
                identity=Identity(NIC, is_virtual=False),
                announce_interval_s=3600,
                emit=lambda event: None,
            )
            running = asyncio.create_task(prober.run())
            assert await most_between_turns_of_others(heard, 4 * AT_ONCE) <= AT_ONCE
            running.cancel()
            await asyncio.wait([running])

    played(story)


class _PacketSocket(socket.socket):
    def bind(self, _address: object) -> None:
        """A Unix socket has no interface."""


def test_a_storm_from_a_vip_leaves_time_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        with storm() as it:
            heard: list[bytes] = []
            made = _PacketSocket(fileno=it.ours.detach())
            monkeypatch.setattr(vip_path, "parse", refilled(it, heard, None))
            monkeypatch.setattr(vip_path, "_open", lambda: made)
            monkeypatch.setattr(vip_path, "attach_filter", lambda *_: None)
            it.fill()
            place: Any = SimpleNamespace(interface=SimpleNamespace(name="eth0", mac=NIC))
            with closing(vip_path.VipPath(UNTAGGED, lambda address: None)) as path:
                path.update(place, [ip_address("10.10.10.60")])
                path.update(place, [ip_address("10.10.10.61")])
                assert await most_between_turns_of_others(heard, 4 * AT_ONCE) <= AT_ONCE

    played(story)


def test_a_storm_of_synchronisation_leaves_time_to_others() -> None:
    async def story() -> None:
        with storm() as it:
            heard: list[bytes] = []
            core: Any = SimpleNamespace(receive_sync=refilled(it, heard, 0))
            sync = Synchroniser(core, ports=lambda: 1, buffer_bytes=lambda: 0)
            it.fill()
            with ExitStack() as stack:
                sync._listen(stack, [it.ours])
                assert await most_between_turns_of_others(heard, 4 * AT_ONCE) <= AT_ONCE

    played(story)


def test_a_storm_of_datagrams_at_a_check_leaves_time_to_others() -> None:
    async def story() -> None:
        with storm() as it:
            heard: list[bytes] = []
            it.fill()
            asking = asyncio.create_task(datagram._answer(it.ours, refilled(it, heard, None)))
            assert await most_between_turns_of_others(heard, 4 * AT_ONCE) <= 2
            asking.cancel()
            await asyncio.wait([asking])

    played(story)
