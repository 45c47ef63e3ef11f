"""Attachment: the director's sockets on its interface, what they let in, and the core's ring."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass

from .addresses import NOTHING, Identity, frame_filter
from .config.model import Address, Config, Settings
from .dataplane import Engine
from .errors import SetupError
from .realtime import Preference
from .sockets import (
    Groups,
    Sockets,
    attach_filter,
    listen_to_neighbours,
    open_sockets,
    receive_mac,
    renewed,
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


@dataclass(frozen=True, slots=True)
class _Where:
    """What sockets and rings are made for; anything else takes others."""

    index: int
    kernel_index: int
    identity: Identity
    longest: int

    @classmethod
    def of(cls, place: Place) -> _Where:
        return cls(place.interface.index, place.kernel.index, place.identity, _longest(place))


class Attachment:
    """The sockets of one director; its VLAN and its number of workers never change."""

    def __init__(self, sockets: Sockets, place: Place, settings: Settings) -> None:
        self.sockets = sockets
        self._vlan = settings.vlan
        self._serves = not settings.standby
        self._vips: Collection[Address] = ()
        """That may be steered and whose groups are joined."""
        self._where: _Where | None = None
        self._groups: Groups | None = None
        self._steering: Steering | None = None
        self._preference = Preference()
        self._cleanup = contextlib.ExitStack()
        self._take_interface(place)

    def _take_interface(self, place: Place) -> None:
        for ring in self.sockets.rings:
            attach_filter(ring.small, NOTHING)
            attach_filter(ring.large, NOTHING)
        listen_to_neighbours(self.sockets.arp, place.interface, self._vlan)
        membership = self.sockets.rings[0].small
        if place.identity.is_virtual:
            receive_mac(membership, place.interface, place.identity.mac)
        self._groups = self._cleanup.enter_context(
            contextlib.closing(Groups(membership, place.interface, place.kernel))
        )
        _log.info(
            "VIPs are announced on %s%s with %s MAC %s",
            place.interface.name,
            f" in VLAN {self._vlan}" if self._vlan.identifiers else "",
            "virtual" if place.identity.is_virtual else "the interface's",
            place.identity.mac.hex(":"),
        )

    # ---- Where it is attached ----

    def open_rings(
        self, place: Place, config: Config, engine: Engine, *, on_end: Callable[[], None]
    ) -> None:
        """Starts forwarding; ``on_end`` is called in the event loop when it is over by itself.

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
            # Closing the engine says why it ended.
            loop.call_soon_threadsafe(on_end)

        engine.start(on_end=on_thread_end)
        self.prefer(engine, is_wanted=config.settings.realtime)
        self._where = _Where.of(place)

    def prefer(self, engine: Engine, *, is_wanted: bool) -> None:
        """Whether the workers go before all other programs."""
        self._preference.give(engine.thread_ids, is_wanted=is_wanted)

    def fits(self, place: Place) -> bool:
        """Whether the sockets do for the interface as it is there; no, after `move` has failed."""
        return self._where == _Where.of(place)

    @property
    def is_cut_off(self) -> bool:
        """Whether a ring's socket is bound to no interface any more (packet(7)).

        So it is when its interface was deleted or left its network namespace, for good or not.
        """
        return self._where is not None and any(
            not each.getsockname()[0]
            for ring in self.sockets.rings
            for each in (ring.small, ring.large)
        )

    def move(
        self, place: Place, config: Config, engine: Engine, *, on_end: Callable[[], None]
    ) -> None:
        """Attaches to an interface that is another one now, with sockets and rings of its own.

        Raises SetupError and OSError; then nothing is forwarded until it is tried again.
        """
        self._detach(engine)
        try:
            self.sockets = renewed(self.sockets)
            self._take_interface(place)
            self.open_rings(place, config, engine, on_end=on_end)
        except BaseException:
            self._detach(engine)
            raise

    def _detach(self, engine: Engine) -> None:
        self._where = None
        for ring in self.sockets.rings:
            # They are closed, when it was tried before.
            with contextlib.suppress(OSError):
                attach_filter(ring.small, NOTHING)
                attach_filter(ring.large, NOTHING)
        engine.close_ends()
        self._steering = None
        self._cleanup.close()
        self.sockets.close_rings()

    def close(self) -> None:
        """Closes all; the engine must be gone."""
        self._cleanup.close()
        self.sockets.close()

    def _share(self) -> None:
        """Both groups have the workers in the same order, so that a client has one worker."""
        try:
            share([ring.small for ring in self.sockets.rings])
            share([ring.large for ring in self.sockets.rings])
        except OSError as error:
            raise SetupError(
                f"this kernel does not share frames among workers ({error}): set workers = 1"
            ) from error

    # ---- What is let in ----

    def serve(self, *, serves: bool) -> None:
        """Whether the VIPs' frames are ours to take; else they are left to their other ways."""
        self._serves = serves
        self._steer()

    def let_in(self, place: Place, config: Config) -> None:
        """New filters are in force before the table is, so no frame of a new VIP is missed."""
        self.leave(place)
        # VIPs by the network cannot be told apart in the filter; the core does it.
        whole_mac = any(mark.single is None for mark in config.marks)
        try:
            self._filter(place, whole_mac=whole_mac)
        except OSError as error:
            # Many VIPs make a long filter, and the kernel may have no room for it.
            _log.warning("The socket filter is too long (%s): the core looks alone", error)
            self._filter(place, whole_mac=True)

    def leave(self, place: Place) -> None:
        """Takes what the place has, and nothing else, but for the filters: they stay wider."""
        assert self._groups is not None
        self._groups.be_in_those_of(place.vips)
        # What is for this host itself must reach its kernel.
        self._vips = () if place.local else place.vips
        self._steer()

    def _steer(self) -> None:
        if self._steering is not None:
            self._steering.let_in(self._vips if self._serves else ())

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


def attached(place: Place, config: Config) -> contextlib.closing[Attachment]:
    """Opens the sockets; nothing is let in yet."""
    sockets = open_sockets(config.settings.workers)
    try:
        return contextlib.closing(Attachment(sockets, place, config.settings))
    except BaseException:
        sockets.close()
        raise


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
