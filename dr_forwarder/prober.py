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
from .addresses import Identity, neighbour_events_filter, neighbour_filter
from .announcements import Announcements
from .config.model import Address
from .conflicts import Culprits, whose
from .events import MacConflict, MacLearned, MacRefused, VipConflict
from .interfaces import Interface
from .neighbours import TICK_S, Ask, Neighbour
from .sockets import attach_filter
from .turns import Turns
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
_PROVED_S, _PROVED_EVERY_S, _PROVED_PER_SECOND = (0.5, 1.0), 2.0, 20
"""When a VIP is looked for at others: at first, from then on, and of all VIPs together."""
_LEFT_S = (0.0, 0.1, 1.0)
"""When the other director is asked for a VIP that it has from now on."""

_CURES = {
    4: "ARP for it; run there: sysctl -w net.ipv4.conf.all.arp_ignore=1"
    " net.ipv4.conf.all.arp_announce=2, and if `ip address show to {vip}` names another interface"
    " than lo: ip addr del {vip}/PREFIX dev INTERFACE; ip addr add {vip}/32 dev lo",
    6: "for it; run there: ip addr del {vip}/PREFIX dev INTERFACE; ip addr add {vip}/128 dev lo",
}

Event = MacLearned | MacConflict | MacRefused | VipConflict
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
        peers: Collection[bytes] = (),
    ) -> None:
        self._socket = where
        self._interface = interface
        self._kernel_index = kernel_index
        self._vlan = vlan
        self._identity = identity
        self.peers = peers
        """MAC addresses of other directors."""
        self._announcements = Announcements(announce_interval_s)
        self._proofs = Announcements(
            _PROVED_EVERY_S, repeats_s=_PROVED_S, per_second=_PROVED_PER_SECOND
        )
        self._leavings = Announcements(None, repeats_s=_LEFT_S)
        self._events: socket.socket | None = None
        """By which the kernel tells of its neighbours."""
        self._speak_timer: asyncio.TimerHandle | None = None
        self._emit = emit
        self._servers: dict[Address, Neighbour] = {}
        self._sources: Mapping[Address, Address] = {}
        self._vips: tuple[Address, ...] = ()
        self._rivals, self._duplicates, self._refused = Culprits(), Culprits(), Culprits()
        self._fresh: list[Address] = []
        """Servers that nobody has been asked for yet."""

    def update(self, sources: Mapping[Address, Address], vips: Collection[Address]) -> None:
        """Sets the servers, each with the address to ask it from, and the VIPs."""
        fresh = [vip for vip in vips if vip not in self._vips]
        self._sources = dict(sources)
        self._servers = {address: self._servers.get(address, Neighbour()) for address in sources}
        self._keep(vips)
        self._announce(fresh)
        self._fresh = [address for address, known in self._servers.items() if known.mac is None]
        self._ask_fresh()

    def add(self, sources: Mapping[Address, Address], vips: Collection[Address]) -> None:
        """Further servers and VIPs, besides those that are known."""
        self._sources = {**self._sources, **sources}
        self._servers |= dict.fromkeys(sources, Neighbour())
        self._keep((*self._vips, *vips))
        self._announce(vips)
        self._fresh += sources
        self._ask_fresh()

    def forget(self, vips: Collection[Address]) -> None:
        """These VIPs are no longer ours to announce."""
        self._keep([vip for vip in self._vips if vip not in vips])

    def leave(self) -> None:
        """The VIPs are another director's, which is asked for them, and answers by saying so.

        What we sent before may have taught switches that they are here, after it had said that
        they are there. The question itself is from this host's own MAC address.
        """
        left = self._vips
        self._keep(())
        self._leavings.add(left, asyncio.get_running_loop().time())
        self._speak()

    def _keep(self, vips: Collection[Address]) -> None:
        self._vips = tuple(vips)
        self._announcements.keep(vips)
        self._proofs.keep(vips)
        self._leavings.drop(vips)
        attach_filter(self._socket, neighbour_filter(self._vlan, [*self._servers, *self._vips]))
        self._narrow()

    def announce_again(self) -> None:
        """Says all VIPs again, several times: the network has changed, or may have missed it."""
        self._announce(self._vips)

    def move(self, interface: Interface, kernel_index: int, identity: Identity) -> None:
        """The interface is another one now, or has another MAC address.

        The socket must be bound to it already.
        """
        self._interface = interface
        self._kernel_index = kernel_index
        self._identity = identity
        self._narrow()

    async def run(self) -> None:
        """Works until cancelled."""
        hearing = Turns(
            self._socket,
            self._receive,
            room=_FRAME_ROOM,
            name=f"Neighbours on {self._interface.name}",
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._tick_for_ever())
                tasks.create_task(self._follow_kernel())
        finally:
            hearing.close()
            self._stop_speaking()

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

    def _change(self, address: Address, before: Neighbour, after: Neighbour) -> None:
        self._servers[address] = after
        if after.mac is not None and after.mac != before.mac:
            self._emit(MacLearned(address, after.mac, before.mac))
        if after.duplicate is not None and self._duplicates.is_news(
            address, after.duplicate, asyncio.get_running_loop().time()
        ):
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

    def _receive(self, frame: bytes) -> None:
        match resolution.heard(self._vlan.untag(frame)):
            case resolution.Claim(address, mac) if address in self._servers:
                self._heard_server(address, mac)
            case resolution.Claim(address, mac) if address in self._vips:
                self._defend(address, mac)
            case resolution.Probe(address, mac) if mac != self._identity.mac:
                # Whoever asks may be the director that had it, or a host that wants it.
                self._answer(address)

    def _heard_server(self, address: Address, mac: bytes) -> None:
        before = self._servers[address]
        if (owner := self._whose(mac, before.mac)) is not None:
            if self._refused.is_news(address, mac, asyncio.get_running_loop().time()):
                self._emit(MacRefused(address, mac, owner))
            return
        after, ask = before.heard(mac)
        self._change(address, before, after)
        self._ask(address, ask)

    def _whose(self, mac: bytes, before: bytes | None) -> str | None:
        of_vips, nic = self._identity.mac, self._interface.mac
        return whose(mac, of_vips=of_vips, nic=nic, peers=self.peers, before=before)

    def _defend(self, vip: Address, mac: bytes) -> None:
        if mac != self._identity.mac:
            self._answer(vip)
        if self._rivals.is_news(vip, mac, asyncio.get_running_loop().time()):
            self._emit(VipConflict(vip, mac, self._blame(vip, mac)))

    def _answer(self, vip: Address) -> None:
        self._announcements.answer(vip, asyncio.get_running_loop().time())
        self._speak()

    def _blame(self, vip: Address, mac: bytes) -> str:
        if mac == self._identity.mac:
            return "that is our own virtual MAC: a second director is running; stop one"
        for address, neighbour in self._servers.items():
            if neighbour.mac == mac and address.version == vip.version:
                return f"real server {address} answers {_CURES[vip.version].format(vip=vip)}"
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
                    await self._hear_kernel(netlink)
            except OSError as error:
                # A burst of changes overruns the socket, which is then deaf: open another.
                _log.debug("neighbour events: %s", error)
                await asyncio.sleep(TICK_S)

    async def _hear_kernel(self, netlink: AsyncIPRoute) -> None:
        self._events = netlink.socket
        self._narrow()
        try:
            while True:
                async for message in netlink.get():
                    self._heard_kernel(message)
        finally:
            self._events = None

    def _narrow(self) -> None:
        """Events of others than servers are not even read."""
        if self._events is None:
            return
        program = neighbour_events_filter(self._kernel_index, [*self._servers])
        try:
            attach_filter(self._events, program)
        except OSError as error:
            _log.debug("all neighbour events are read: %s", error)

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
        now_s = asyncio.get_running_loop().time()
        self._announcements.add(vips, now_s)
        self._proofs.add(vips, now_s)
        self._speak()

    def _speak(self) -> None:
        """Says and asks what is due, and comes again by itself when the next is."""
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        self._stop_speaking()
        for vip in self._announcements.take(now_s):
            self._send(resolution.announcement(vip, mac=self._identity.mac))
        for vip in (*self._proofs.take(now_s), *self._leavings.take(now_s)):
            self._send(resolution.probe(vip, mac=self._interface.mac))
        next_s = min(each.next_s for each in (self._announcements, self._proofs, self._leavings))
        if next_s < inf:
            self._speak_timer = loop.call_at(next_s, self._speak)

    def _stop_speaking(self) -> None:
        if self._speak_timer is not None:
            self._speak_timer.cancel()
