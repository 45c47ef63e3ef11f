"""Following: keeps a director where its interface is, whatever becomes of that.

Listens to netlink. What happened is `link`'s to say, where the director can work now is `survey`'s,
and what that takes is the director's to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final

from pyroute2 import AsyncIPRoute, NetlinkError

from .config.model import Address
from .errors import SetupError, TryAgain
from .events import LinkEvent, LinkStep
from .interfaces import Interface, interfaces
from .link import Link, changes, find, state_of
from .link_state import LinkState
from .survey import Place

_log = logging.getLogger(__name__)

_RTMGRP_LINK, _RTMGRP_IPV4_IFADDR, _RTMGRP_IPV6_IFADDR = 0x1, 0x10, 0x100
_BONDING_FAILOVER, _NOTIFY_PEERS = 3, 4
"""Of IFLA_EVENT: another port of a bond is in use, a virtual machine has moved (if_link.h)."""
_SETTLE_S: Final = 0.05
"""Changes come several at a time."""
_RETRY_S: Final = 1.0
"""A route can come without any change of an interface."""
_REMIND_S: Final = 600.0
_GLANCE_S: Final = 5.0
"""How often the sockets are looked at themselves: netlink loses messages in a burst of changes."""
_LOOK_S = 20.0
"""What a look may take; it asks the kernel alone."""


class Following:
    """Of one director.

    ``survey`` finds out where it can work now, and ``take`` has it work there, on an interface that
    may be new: either raises SetupError or OSError. ``is_cut_off`` says whether its sockets are
    bound to nothing any more, as after an interface was gone for a moment. ``note`` is told of what
    happened, and whether frames can come and go; ``look`` of all interfaces. When nothing could be
    taken for ``patience_s``, ``give_up`` gets the reason.
    """

    def __init__(
        self,
        place: Place,
        *,
        survey: Callable[[], Awaitable[Place]],
        take: Callable[[Place, bool], None],
        note: Callable[[Collection[LinkStep], bool], None],
        look: Callable[[Mapping[str, Interface]], None],
        is_cut_off: Callable[[], bool],
        emit: Callable[[LinkEvent], None],
        give_up: Callable[[TryAgain], None],
        patience_s: Callable[[], float],
    ) -> None:
        self._survey = survey
        self._take = take
        self._tell = note
        self._look_at = look
        self._is_cut_off = is_cut_off
        self._emit = emit
        self._give_up = give_up
        self._patience_s = patience_s
        self._changes = 0
        self._noted = asyncio.Event()
        self._failed_over = False
        self._addresses: frozenset[Address] | None = None
        """Of all interfaces of this host."""
        self._vanished: set[int] = set()
        """Indexes that were gone, be it for a moment: what comes back from another namespace has
        its index again."""
        self._hindrance: str | None = None
        self._told_hindrance: str | None = None
        self._failing_since_s: float | None = None
        self._owed: set[LinkStep] = set()
        """What has happened since the place was last taken."""
        self._follow(place)

    def _follow(self, place: Place) -> None:
        self._place = place
        self._links: dict[str, Link | None] = {
            each.name: Link(each) for each in (place.kernel, place.interface)
        }
        self._name = place.interface.name

    @property
    def state(self) -> LinkState:
        """Of the interface that frames come in by."""
        return state_of(
            self._name,
            self._links[self._name],
            hindrance=self._told_hindrance,
            changes=self._changes,
        )

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._work())

    # ---- Hearing ----

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(NetlinkError):
                try:
                    async with AsyncIPRoute() as netlink:
                        await netlink.bind(_RTMGRP_LINK | _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV6_IFADDR)
                        self._noted.set()  # whatever happened while nobody listened
                        while True:
                            async for message in netlink.get():
                                self.hear(message)
                except OSError as error:
                    # A burst of changes overruns the socket, which is then deaf: open another.
                    _log.debug("link events: %s", error)
            await asyncio.sleep(_SETTLE_S)

    def hear(self, message: Any) -> None:
        """One of netlink's, as pyroute2 has it: what concerns the interface is looked into soon."""
        if message["event"] not in ("RTM_NEWLINK", "RTM_DELLINK"):
            self._noted.set()  # an address
            return
        if message["family"] == socket.AF_BRIDGE:
            return  # of a port, which goes when it leaves its bridge
        ours = {link.interface.index for link in self._links.values() if link is not None}
        index, name = message["index"], message.get_attr("IFLA_IFNAME")
        if index in ours and message.get_attr("IFLA_EVENT") in (_BONDING_FAILOVER, _NOTIFY_PEERS):
            self._failed_over = True
        if index in ours and message["event"] == "RTM_DELLINK":
            self._vanished.add(index)
        if index in ours or name in self._links or message.get_attr("IFLA_MASTER") in ours:
            self._noted.set()

    # ---- Doing ----

    async def _work(self) -> None:
        while True:
            try:
                await asyncio.wait_for(self._noted.wait(), self._patience())
            except TimeoutError:
                if not self._usable:
                    _log.warning("Interface %s is still %s", self._name, self.state.state)
                    continue
                if self._hindrance is None and not self._is_cut_off():
                    continue
            self._noted.clear()
            await asyncio.sleep(_SETTLE_S)
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._look()
            except OSError as error:
                # As without a descriptor left: whatever has happened is seen once that is over.
                reason = error.strerror or f"the kernel has not answered within {_LOOK_S:.0f} s"
                self._hinder(f"its state cannot be read: {reason}")
                await asyncio.sleep(_RETRY_S)
                self._noted.set()

    def _patience(self) -> float:
        if not self._usable:
            return _REMIND_S
        return _GLANCE_S if self._hindrance is None else _RETRY_S

    @property
    def _usable(self) -> bool:
        link = self._links[self._name]
        return link is not None and link.interface.usable

    async def _look(self) -> None:
        async with AsyncIPRoute() as netlink:
            present = await interfaces(netlink)
        steps = self._compare(list(present.values()))
        self._owed |= steps
        self._look_at(present)
        addresses = frozenset(a for each in present.values() for a in each.addresses)
        # A VIP may be among those of other interfaces, where the kernel answers for it.
        others, self._addresses = addresses != (self._addresses or addresses), addresses
        if steps or others or self._hindrance is not None:
            await self._stand()
            # A place that cannot be surveyed now may still be the right one for what is known.
            link = self._links[self._name]
            stays = link is not None and link.interface.index == self._place.interface.index
            owed = self._owed if stays and self._failing_since_s is None else set()
            self._tell(owed, self._usable)
            self._owed -= owed

    def _compare(self, present: Collection[Interface]) -> set[LinkStep]:
        steps = set()
        for name, before in tuple(self._links.items()):
            index = before.interface.index if before is not None else 0
            after = find(present, index=index, name=name)
            if after is not None and (index in self._vanished or self._has_lost(name)):
                before = None
            events = changes(name, before, after)
            if name == self._name and self._failed_over and not events:
                events = (LinkEvent(LinkStep.MOVED, name, "it says so itself"),)
            for event in events:
                self._emit(event)
            self._changes += len(events)
            steps |= {event.step for event in events}
            self._links[name] = after
        self._failed_over = False
        self._vanished.clear()
        return steps

    def _has_lost(self, name: str) -> bool:
        """Whether it was another one for a moment, and nobody told of it."""
        return name == self._name and self._failing_since_s is None and self._is_cut_off()

    async def _stand(self) -> None:
        try:
            place = await self._survey()
        except (SetupError, OSError) as error:
            self._hinder(str(error))
            if self._usable and LinkStep.FOUND in self._owed:
                self._fail(str(error))
            return
        try:
            self._take(place, LinkStep.FOUND in self._owed)
        except (SetupError, OSError) as error:
            self._hinder(str(error))
            self._fail(str(error))
            return
        self._failing_since_s = self._hindrance = None
        if self._told_hindrance is not None:
            self._told_hindrance = None
            self._emit(LinkEvent(LinkStep.UNHINDERED, place.interface.name))
        if place.interface.index != self._links_index():
            detail = f"the real servers are there, no longer on {self._name}"
            self._emit(LinkEvent(LinkStep.FOUND, place.interface.name, detail))
            self._owed.add(LinkStep.FOUND)
        self._follow(place)

    def _links_index(self) -> int:
        link = self._links[self._name]
        return 0 if link is None else link.interface.index

    def _hinder(self, reason: str) -> None:
        """That nothing works without the interface is told already."""
        self._hindrance = reason
        if self._usable and reason != self._told_hindrance:
            self._told_hindrance = reason
            self._emit(LinkEvent(LinkStep.HINDERED, self._name, reason))

    def _fail(self, reason: str) -> None:
        """Nothing is forwarded any more, and another start may do better."""
        now_s = asyncio.get_running_loop().time()
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        elif now_s - self._failing_since_s > self._patience_s():
            self._give_up(TryAgain(f"cannot be attached to {self._name} again: {reason}"))
