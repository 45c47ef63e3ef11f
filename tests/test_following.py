"""Following, on this host's own loopback interface, which stays as it is: messages are made up."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import pytest
from pyroute2 import AsyncIPRoute

from dr_forwarder import following
from dr_forwarder.addresses import Identity
from dr_forwarder.errors import SetupError, TryAgain
from dr_forwarder.events import LinkEvent, LinkStep
from dr_forwarder.following import Following
from dr_forwarder.interfaces import Interface, interfaces
from dr_forwarder.survey import Place

LIMIT_S = 20.0
LOOPBACK = 1
FAILOVER, NOTIFY_PEERS, IGMP_RESEND = 3, 4, 5


@dataclass
class Message:
    """Of netlink, as much of it as is looked at."""

    event: str = "RTM_NEWLINK"
    index: int = LOOPBACK
    family: int = socket.AF_UNSPEC
    says: int | None = None
    name: str = "lo"

    def __getitem__(self, field: str) -> object:
        return getattr(self, field)

    def get_attr(self, name: str) -> object:
        return {"IFLA_EVENT": self.says, "IFLA_IFNAME": self.name}.get(name)


class Followed:
    """What a director would do, noted down."""

    def __init__(self) -> None:
        self.events: list[LinkEvent] = []
        self.noted: list[tuple[set[LinkStep], bool]] = []
        self.taken: list[bool] = []
        self.given_up: list[TryAgain] = []
        self.refusal: Exception | None = None
        self.hangs = self.is_cut_off = False
        self.moved = asyncio.Event()

    async def survey(self) -> Place:
        if self.hangs:
            self.hangs = False
            await asyncio.Event().wait()
        return await self.place()

    async def place(self) -> Place:
        async with AsyncIPRoute() as netlink:
            lo = (await interfaces(netlink))["lo"]
        return Place(lo, lo, Identity(lo.mac, is_virtual=False), (), {}, frozenset(), {})

    def take(self, place: Place, is_new: bool) -> None:
        self.moved.set()
        self.taken.append(is_new)
        self.is_cut_off = False
        if self.refusal is not None:
            raise self.refusal

    def note(self, steps: Collection[LinkStep], usable: bool) -> None:
        self.moved.set()
        self.noted.append(({*steps}, usable))

    def give_up(self, reason: TryAgain) -> None:
        self.moved.set()
        self.given_up.append(reason)


def follow(
    *messages: Message,
    refusal: Exception | None = None,
    hangs: bool = False,
    is_cut_off: bool = False,
    until: Until,
) -> Followed:
    """What comes of these messages."""

    async def run() -> Followed:
        followed = Followed()
        followed.refusal, followed.hangs, followed.is_cut_off = refusal, hangs, is_cut_off
        it = Following(
            await followed.place(),
            survey=followed.survey,
            take=followed.take,
            note=followed.note,
            look=lambda _: None,
            is_cut_off=lambda: followed.is_cut_off,
            emit=followed.events.append,
            give_up=followed.give_up,
            patience_s=lambda: 0.0,
        )
        running = asyncio.create_task(it.run())
        for message in messages:
            it.hear(message)
        async with asyncio.timeout(LIMIT_S):
            while not until(followed):
                followed.moved.clear()
                await followed.moved.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return followed

    return asyncio.run(run())


Until = Callable[[Followed], object]


@pytest.mark.parametrize("says", [FAILOVER, NOTIFY_PEERS])
def test_a_bond_that_fails_over_may_be_at_another_port(says: int) -> None:
    followed = follow(Message(says=says), until=lambda it: it.noted)
    assert [(event.step, event.interface) for event in followed.events] == [(LinkStep.MOVED, "lo")]
    assert followed.noted == [({LinkStep.MOVED}, True)]


def test_what_was_gone_for_a_moment_is_taken_for_new() -> None:
    followed = follow(Message(event="RTM_DELLINK"), until=lambda it: it.noted)
    assert [event.step for event in followed.events] == [LinkStep.FOUND]
    assert followed.taken == [True]


def test_a_port_that_leaves_its_bridge_is_not_gone() -> None:
    left = Message(event="RTM_DELLINK", family=socket.AF_BRIDGE)
    followed = follow(left, Message(says=FAILOVER), until=lambda it: it.noted)
    assert [event.step for event in followed.events] == [LinkStep.MOVED]


def test_others_links_and_messages_without_a_meaning_are_nothing() -> None:
    others = Message(index=999_999, name="other0", says=FAILOVER, event="RTM_DELLINK")
    nothing = Message(says=IGMP_RESEND)
    followed = follow(others, nothing, Message(says=FAILOVER), until=lambda it: it.noted)
    assert [event.step for event in followed.events] == [LinkStep.MOVED]


def test_what_cannot_be_taken_is_told_once_tried_again_and_given_up() -> None:
    refusal = SetupError("no such thing")
    followed = follow(Message(event="RTM_DELLINK"), refusal=refusal, until=lambda it: it.given_up)
    assert [event.step for event in followed.events] == [LinkStep.FOUND, LinkStep.HINDERED]
    assert len(followed.taken) >= 2
    assert "no such thing" in str(followed.given_up[0])


def test_that_nothing_can_be_looked_at_is_told_once_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0

    async def look(netlink: AsyncIPRoute) -> Mapping[str, Interface]:
        nonlocal looks
        looks += 1
        if looks <= 2:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return await interfaces(netlink)

    monkeypatch.setattr(following, "interfaces", look)
    followed = follow(Message(says=FAILOVER), until=lambda it: it.noted)
    steps = [event.step for event in followed.events]
    assert steps == [LinkStep.HINDERED, LinkStep.MOVED, LinkStep.UNHINDERED]
    assert followed.events[0].detail == "its state cannot be read: Too many open files"


def test_an_interface_that_was_gone_unheard_is_taken_for_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Netlink loses messages in a burst; what the sockets are bound to is certain."""
    monkeypatch.setattr(following, "_GLANCE_S", 0.01)
    followed = follow(is_cut_off=True, until=lambda it: it.noted)
    assert [event.step for event in followed.events] == [LinkStep.FOUND]
    assert followed.taken == [True]


def test_a_look_that_never_ends_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_LOOK_S", 0.2)
    gone = Message(event="RTM_DELLINK")
    followed = follow(gone, hangs=True, until=lambda it: it.noted)
    steps = [event.step for event in followed.events]
    assert steps == [LinkStep.FOUND, LinkStep.HINDERED, LinkStep.UNHINDERED]
    assert "the kernel has not answered within" in str(followed.events[1].detail)
    assert followed.taken == [True]
