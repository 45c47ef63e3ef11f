"""Prober: keeps asking the real servers for their MAC addresses, and announces the VIPs' own.

The I/O around `neighbours` and `resolution`: one socket for ARP and neighbour discovery, plus the
kernel's neighbour table as a second source. What to ask and whom to believe is decided there.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Collection, Mapping
from ipaddress import ip_address
from math import inf

from pyroute2 import AsyncIPRoute

from . import resolution
from .addresses import Identity
from .announcements import Announcements
from .config.model import Address
from .events import MacConflict, MacLearned, VipConflict
from .interfaces import Interface
from .neighbours import TICK_S, Ask, Neighbour
from .vlan import Vlan

_log = logging.getLogger(__name__)

_RTMGRP_NEIGH = 0x4
_NUD_REACHABLE = 0x02
_FRAME_ROOM = 2048
_PART = 200
"""So many servers have their turn in one moment."""
_LEAST_S = 0.00025
"""Between the turns of two servers: not more than 2,000 questions a second."""
_AT_ONCE = 200
"""New servers that are asked for in one moment."""
_FRAMES_AT_ONCE = 64
"""Heard before others have their turn in the event loop."""
_TELL_CONFLICT_EVERY_S = 1.0

_CURES = {
    4: "ARP for it; run there: sysctl -w net.ipv4.conf.all.arp_ignore=1"
    " net.ipv4.conf.all.arp_announce=2",
    6: "for it; run there: ip addr del VIP/PREFIX dev INTERFACE; ip addr add VIP/128 dev lo",
}

Event = MacLearned | MacConflict | VipConflict
Emit = Callable[[Event], None]


class Prober:
    """Follows the MAC addresses of servers, and tells everybody those of the VIPs.

    ``emit`` is called when a server's MAC address is learnt or has moved, and when somebody else
    has an address. The socket is the caller's, and lets in frames of this ``vlan`` only.
    ``kernel_index`` is the interface by which the kernel has neighbours there.
    """

    def __init__(
        self,
        where: socket.socket,
        *,
        interface: Interface,
        kernel_index: int,
        vlan: Vlan,
        identity: Identity,
        announce_interval_s: float,
        emit: Emit,
    ) -> None:
        self._socket = where
        self._interface = interface
        self._kernel_index = kernel_index
        self._vlan = vlan
        self._identity = identity
        self._announcements = Announcements(announce_interval_s)
        self._announce_timer: asyncio.TimerHandle | None = None
        self._announce_interval_s = announce_interval_s
        self._emit = emit
        self._servers: dict[Address, Neighbour] = {}
        self._sources: Mapping[Address, Address] = {}
        self._vips: tuple[Address, ...] = ()
        self._unproved: tuple[Address, ...] = ()
        self._conflicts: dict[Address, tuple[bytes, float]] = {}
        self._fresh: list[Address] = []
        """Servers that nobody has been asked for yet."""

    def update(self, sources: Mapping[Address, Address], vips: Collection[Address]) -> None:
        """Sets the servers, each with the address to ask it from, and the VIPs."""
        fresh = [vip for vip in vips if vip not in self._vips]
        self._sources = dict(sources)
        self._vips = tuple(vips)
        self._servers = {address: self._servers.get(address, Neighbour()) for address in sources}
        self._announcements.keep(self._vips)
        self._announce(fresh)
        self._unproved = tuple(vips)
        self._fresh = [address for address, known in self._servers.items() if known.mac is None]
        self._ask_fresh()

    def add(self, sources: Mapping[Address, Address], vips: Collection[Address]) -> None:
        """Further servers and VIPs, besides those that are known."""
        self._sources = {**self._sources, **sources}
        self._vips = (*self._vips, *vips)
        self._unproved = (*self._unproved, *vips)
        self._announce(vips)
        self._servers |= dict.fromkeys(sources, Neighbour())
        self._fresh += sources
        self._ask_fresh()

    def forget(self, vips: Collection[Address]) -> None:
        """These VIPs are no longer ours to announce."""
        self._vips = tuple(vip for vip in self._vips if vip not in vips)
        self._announcements.keep(self._vips)
        self._unproved = tuple(vip for vip in self._unproved if vip not in vips)

    def announce_again(self) -> None:
        """Says all VIPs again, several times: the network has changed, or may have missed it."""
        self._announce(self._vips)

    def become(self, interface: Interface, *, kernel_index: int, identity: Identity) -> None:
        """Another interface, or another MAC address of it; all VIPs are announced from there.

        The socket must be bound to it already.
        """
        self._interface = interface
        self._kernel_index = kernel_index
        self._identity = identity
        self.announce_again()

    async def run(self) -> None:
        """Works until cancelled."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket, self._receive)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._tick_for_ever())
                tasks.create_task(self._prove_for_ever())
                tasks.create_task(self._follow_kernel())
        finally:
            loop.remove_reader(self._socket)
            self._stop_announcing()

    # ---- Asking ----

    async def _tick_for_ever(self) -> None:
        """Each server's turn comes every half second, of very many servers less often."""
        while True:
            due = tuple(self._servers)
            tick_s = max(TICK_S, len(due) * _LEAST_S)
            parts = len(due) // _PART + 1
            for part in range(parts):
                await asyncio.sleep(tick_s / parts)
                self._ask_fresh()
                for address in due[part::parts]:
                    self._tick(address)
            self._prove()

    def _ask_fresh(self) -> None:
        """The answers to very many questions would not fit into the socket's buffer."""
        asked, self._fresh = self._fresh[:_AT_ONCE], self._fresh[_AT_ONCE:]
        for address in asked:
            if address in self._servers:
                self._ask(address, Ask.EVERYBODY)

    def _tick(self, address: Address) -> None:
        before = self._servers.get(address)
        if before is not None:
            after, ask = before.tick()
            self._change(address, before, after)
            self._ask(address, ask)

    def _prove(self) -> None:
        """Nobody else may have a VIP; asked once the servers are known, to name who does."""
        for vip in self._unproved:
            self._send(resolution.probe(vip, mac=self._interface.mac))
        self._unproved = ()

    def _change(self, address: Address, before: Neighbour, after: Neighbour) -> None:
        self._servers[address] = after
        if after.mac is not None and after.mac != before.mac:
            self._emit(MacLearned(address, after.mac, before.mac))
        if after.duplicate is not None and after.duplicate != before.duplicate:
            self._emit(MacConflict(address, after.mac or b"", after.duplicate))

    def _ask(self, address: Address, ask: Ask) -> None:
        mac = self._servers[address].mac
        if ask is Ask.NOTHING:
            return
        self._send(
            resolution.question(
                address,
                source=self._sources[address],
                source_mac=self._interface.mac,
                to=mac if ask is Ask.AT_ITS_MAC else None,
            )
        )

    def _send(self, frame: bytes) -> None:
        try:
            self._socket.send(self._vlan.tag(frame))
        except OSError as error:
            # The interface may be down or full for a moment; the next tick asks again.
            _log.debug("a question could not be sent: %s", error)

    # ---- Hearing ----

    def _receive(self) -> None:
        for _ in range(_FRAMES_AT_ONCE):
            try:
                frame = self._socket.recv(_FRAME_ROOM)
            except BlockingIOError:
                return
            except OSError as error:
                _log.warning("Neighbours on %s: %s", self._interface.name, error)
                return
            claim = resolution.heard(self._vlan.untag(frame))
            if claim is not None:
                self._heard(claim)

    def _heard(self, claim: resolution.Claim) -> None:
        if claim.address in self._servers:
            self._heard_server(claim.address, claim.mac)
        elif claim.address in self._vips:
            self._defend(claim.address, claim.mac)

    def _heard_server(self, address: Address, mac: bytes) -> None:
        before = self._servers[address]
        after, ask = before.heard(mac)
        self._change(address, before, after)
        self._ask(address, ask)

    def _defend(self, vip: Address, mac: bytes) -> None:
        now = asyncio.get_running_loop().time()
        if mac != self._identity.mac:
            self._announcements.answer(vip, now)
            self._say_due()
        who, last = self._conflicts.get(vip, (b"", -_TELL_CONFLICT_EVERY_S))
        if now - last < _TELL_CONFLICT_EVERY_S:
            return
        self._conflicts[vip] = (mac, now)
        if who != mac:
            self._emit(VipConflict(vip, mac, self._blame(vip, mac)))

    def _blame(self, vip: Address, mac: bytes) -> str:
        if mac == self._identity.mac:
            return "that is our own virtual MAC: a second director is running; stop one"
        for address, neighbour in self._servers.items():
            if neighbour.mac == mac and address.version == vip.version:
                return f"real server {address} answers {_CURES[vip.version]}"
        return "another host has this address"

    async def _follow_kernel(self) -> None:
        """The kernel's own view, as a second source: it hears of servers by its own traffic."""
        while True:
            try:
                async with AsyncIPRoute() as netlink:
                    await netlink.bind(_RTMGRP_NEIGH)
                    for family in (socket.AF_INET, socket.AF_INET6):
                        async for message in await netlink.get_neighbours(family=family):
                            self._heard_kernel(message)
                    while True:
                        async for message in netlink.get():
                            self._heard_kernel(message)
            except OSError as error:
                # A burst of changes overruns the socket, which is then deaf: open another.
                _log.debug("neighbour events: %s", error)
                await asyncio.sleep(TICK_S)

    def _heard_kernel(self, message: object) -> None:
        get = getattr(message, "get")  # noqa: B009 - pyroute2's messages have no types
        lladdr, destination = get("lladdr"), get("dst")
        if not lladdr or not destination or get("ifindex") != self._kernel_index:
            return
        address = ip_address(destination)
        if get("state") == _NUD_REACHABLE and address in self._servers:
            self._heard_server(address, bytes.fromhex(lladdr.replace(":", "")))

    # ---- Announcing ----

    def _announce(self, vips: Collection[Address]) -> None:
        self._announcements.add(vips, asyncio.get_running_loop().time())
        self._say_due()

    def _say_due(self) -> None:
        """Comes again by itself when the next announcement is due."""
        loop = asyncio.get_running_loop()
        self._stop_announcing()
        for vip in self._announcements.take(loop.time()):
            self._send(resolution.announcement(vip, mac=self._identity.mac))
        if (next_s := self._announcements.next_s) < inf:
            self._announce_timer = loop.call_at(next_s, self._say_due)

    def _stop_announcing(self) -> None:
        if self._announce_timer is not None:
            self._announce_timer.cancel()

    async def _prove_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._announce_interval_s)
            self._unproved = self._vips
