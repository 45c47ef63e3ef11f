"""Attachment: the director's sockets on its interface, what they let in, and the core's ring."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from ipaddress import IPv6Address

from . import nd
from .addresses import NOTHING, frame_filter
from .config.model import Address, Config, Settings
from .dataplane import Engine
from .errors import SetupError
from .sockets import (
    Sockets,
    attach_filter,
    join_groups,
    listen_to_neighbours,
    open_sockets,
    receive_mac,
    share,
)
from .steering import Steering, steer
from .survey import Place
from .vlan import TAG_BYTES, Vlan

_log = logging.getLogger(__name__)

_ETHERNET_HEADER = 14
_MOST_TAGS = 2
_SLOT_OVERHEAD = 128
_SMALLEST_SLOT = 2048


class Attachment:
    """The sockets of one director; its interface, MAC address and VLAN never change."""

    def __init__(
        self, sockets: Sockets, place: Place, vlan: Vlan, cleanup: contextlib.ExitStack
    ) -> None:
        self.sockets = sockets
        self._vlan = vlan
        self._joined: set[Address] = set()
        self._steering: Steering | None = None
        self._cleanup = cleanup
        for ring in sockets.rings:
            attach_filter(ring.small, NOTHING)
            attach_filter(ring.large, NOTHING)
        listen_to_neighbours(sockets.arp, place.interface, vlan)
        if place.identity.is_virtual:
            receive_mac(sockets.rings[0].small, place.interface, place.identity.mac)
        _log.info(
            "VIPs are announced on %s%s with %s MAC %s",
            place.interface.name,
            f" in VLAN {vlan}" if vlan.identifiers else "",
            "virtual" if place.identity.is_virtual else "the interface's",
            place.identity.mac.hex(":"),
        )

    def open_rings(
        self, place: Place, config: Config, engine: Engine, *, on_end: Callable[[], None]
    ) -> None:
        """Starts forwarding; ``on_end`` is called in the event loop when it is over.

        Raises SetupError when the kernel cannot part frames among workers.
        """
        slot = _SMALLEST_SLOT
        while slot < _longest(place) + _SLOT_OVERHEAD:
            slot *= 2
        for ring in self.sockets.rings:
            engine.open_ring(
                small=ring.small,
                large=ring.large,
                send=ring.send,
                local=self.sockets.local,
                interface_index=place.interface.index,
                slot_bytes=slot,
            )
        if len(self.sockets.rings) > 1:
            self._share()
        self._steering = steer(
            place, engine, config.settings, longest=_longest(place), cleanup=self._cleanup
        )
        self.let_in(place, config)
        loop = asyncio.get_running_loop()

        def on_thread_end() -> None:
            # If it was not asked to end, closing the engine says why it did.
            loop.call_soon_threadsafe(on_end)

        engine.start(on_end=on_thread_end)

    def _share(self) -> None:
        """Both groups have the workers in the same order, so that a client has one worker."""
        try:
            share([ring.small for ring in self.sockets.rings])
            share([ring.large for ring in self.sockets.rings])
        except OSError as error:
            raise SetupError(
                f"this kernel does not share frames among workers ({error}): set workers = 1"
            ) from error

    def let_in(self, place: Place, config: Config) -> None:
        """New filters are in force before the table is, so no frame of a new VIP is missed."""
        self._join_groups(place)
        if self._steering is not None:
            # What is for this host itself must reach its kernel.
            self._steering.let_in(() if place.local else place.vips)
        # VIPs by the network cannot be told apart in the filter; the core does it.
        whole_mac = any(mark.single is None for mark in config.marks)
        try:
            self._filter(place, whole_mac=whole_mac)
        except OSError as error:
            # Many VIPs make a long filter, and the kernel may have no room for it.
            _log.warning("The socket filter is too long (%s): the core looks alone", error)
            self._filter(place, whole_mac=True)

    def _filter(self, place: Place, *, whole_mac: bool) -> None:
        for longer in (False, True):
            program = frame_filter(
                place.identity,
                place.vips,
                limit=_longest(place),
                longer=longer,
                whole_mac=whole_mac,
                vlan=self._vlan,
            )
            for ring in self.sockets.rings:
                attach_filter(ring.large if longer else ring.small, program)

    def _join_groups(self, place: Place) -> None:
        fresh = [v for v in place.vips if isinstance(v, IPv6Address) and v not in self._joined]
        for vip in fresh:
            group = nd.group_mac(nd.solicited_node(vip))
            receive_mac(self.sockets.rings[0].small, place.interface, group)
        if fresh:
            self._joined.update(fresh)
            self._cleanup.enter_context(join_groups(fresh, place.kernel))


@contextlib.contextmanager
def attached(place: Place, config: Config) -> Iterator[Attachment]:
    """Opens the sockets; nothing is let in yet."""
    workers = config.settings.workers
    with contextlib.closing(open_sockets(workers)) as sockets, contextlib.ExitStack() as cleanup:
        attachment = Attachment(sockets, place, config.settings.vlan, cleanup)
        yield attachment


def identify(
    engine: Engine, place: Place, settings: Settings, *, standby: bool | None = None
) -> None:
    """Tells the core who it is on the wire; it stands by as the settings say if it is not said."""
    engine.identify(
        mac=place.identity.mac,
        mtu=mtu(place, settings.vlan),
        hosts=place.kernel.addresses,
        vlan=settings.vlan,
        peers=settings.peers,
        standby=settings.standby if standby is None else standby,
    )


def mtu(place: Place, vlan: Vlan) -> int:
    """Bytes of an IP packet: a packet socket lets one 802.1Q tag be beyond the MTU, not two."""
    return place.interface.mtu - TAG_BYTES * (len(vlan.identifiers) if vlan.inline_bytes else 0)


def _longest(place: Place) -> int:
    """Bytes of the longest ordinary frame; what is longer was joined by offloads."""
    return place.interface.mtu + _ETHERNET_HEADER + _MOST_TAGS * TAG_BYTES
