"""Director: joins configuration, checks, neighbours and the core into what runs.

Decides nothing itself: `plan` does, from what `checks` and `prober` report.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from ipaddress import IPv6Address
from pathlib import Path

from pyroute2 import AsyncIPRoute

from . import nd, plan
from .addresses import frame_filter
from .checks import Result, Target, target
from .checks.scheduler import Checker
from .config.model import Address, Config, Real, Virtual
from .dataplane import Engine, Limits
from .errors import SetupError
from .health import Health
from .prober import Prober
from .sockets import (
    attach_filter,
    join_groups,
    listen_to_neighbours,
    open_sockets,
    receive_mac,
)
from .survey import Place, survey
from .table import Connection, Key, Operation, ServiceRow, Stats
from .vlan import TAG_BYTES, Vlan

_log = logging.getLogger(__name__)

_ETHERNET_HEADER = 14
_MOST_TAGS = 2
_SLOT_OVERHEAD = 128
_SMALLEST_SLOT = 2048
_SETTLE_S = 1.0
"""How long the first results of all checks are waited for, so that servers are added in the
file's order; a check that takes longer joins later."""


class Director:
    """A running director for one configuration.

    ``await run()`` works until ``stop()``; ``await reload(config)`` changes the configuration and
    breaks no connection. Raises SetupError when the host cannot run it, and leaves everything as
    it was when a reload cannot be done.
    """

    def __init__(self, config: Config, *, state_dir: Path | None = None) -> None:
        self.config = config
        self._state_dir = state_dir
        self._health: dict[Target, Health] = {}
        self._macs: dict[Address, bytes] = {}
        self._stopped = asyncio.Event()
        self._settled = asyncio.Event()
        self._published = False
        self._joined: set[Address] = set()
        self._cleanup = contextlib.ExitStack()
        self._old_fallbacks: frozenset[tuple[Key, Address]] = frozenset()

    # ---- Life ----

    async def run(self) -> Stats:
        """Directs until stopped, and returns the counters."""
        async with AsyncIPRoute() as netlink:
            place = await survey(netlink, self.config)
            with (
                contextlib.closing(open_sockets()) as sockets,
                self._engine(place) as engine,
                self._cleanup,
            ):
                self._sockets, self._place, self._core = sockets, place, engine
                self._prepare_sockets(place)
                self._open_ring(place, engine)
                async with self._workers(place) as (self._prober, self._checker):
                    self._begin(place)
                    await self._first_results()
                    _log.info("Running: %d virtual servers", len(self.config.virtuals))
                    await self._stopped.wait()
                return engine.stats()

    def stop(self) -> None:
        """Makes ``run`` return."""
        self._stopped.set()

    def _engine(self, place: Place) -> Engine:
        room = Limits(connections=self.config.settings.connections)
        state_file = None if self._state_dir is None else self._state_dir / "state"
        engine = Engine(limits=room, state_file=state_file)
        if engine.adopted:
            _log.info("Took over %d connections", engine.stats().connections)
        engine.identify(
            mac=place.identity.mac,
            mtu=_mtu(place, self.config.settings.vlan),
            hosts=place.kernel.addresses,
            vlan=self.config.settings.vlan,
        )
        return engine

    def _open_ring(self, place: Place, engine: Engine) -> None:
        slot = _SMALLEST_SLOT
        while slot < _longest(place) + _SLOT_OVERHEAD:
            slot *= 2
        engine.open_ring(
            small=self._sockets.small,
            large=self._sockets.large,
            send=self._sockets.send,
            interface_index=place.interface.index,
            slot_bytes=slot,
        )
        loop = asyncio.get_running_loop()

        def on_end() -> None:
            # If it was not asked to end, closing the engine says why it did.
            loop.call_soon_threadsafe(self.stop)

        engine.start(on_end=on_end)

    def _prepare_sockets(self, place: Place) -> None:
        self._filter(place)
        listen_to_neighbours(self._sockets.arp, place.interface, self.config.settings.vlan)
        if place.identity.is_virtual:
            receive_mac(self._sockets.small, place.interface, place.identity.mac)
        _log.info(
            "VIPs are announced on %s%s with %s MAC %s",
            place.interface.name,
            f" in VLAN {vlan}" if (vlan := self.config.settings.vlan).identifiers else "",
            "virtual" if place.identity.is_virtual else "the interface's",
            place.identity.mac.hex(":"),
        )

    def _filter(self, place: Place) -> None:
        """New filters are in force before the table is, so no frame of a new VIP is missed."""
        self._join_groups(place)
        # VIPs by the network cannot be told apart in the filter; the core does it.
        whole_mac = any(mark.single is None for mark in self.config.marks)
        try:
            self._attach(place, whole_mac=whole_mac)
        except OSError as error:
            # Many VIPs make a long filter, and the kernel may have no room for it.
            _log.warning("The socket filter is too long (%s): the core looks alone", error)
            self._attach(place, whole_mac=True)

    def _attach(self, place: Place, *, whole_mac: bool) -> None:
        for where, longer in ((self._sockets.small, False), (self._sockets.large, True)):
            program = frame_filter(
                place.identity,
                place.vips,
                limit=_longest(place),
                longer=longer,
                whole_mac=whole_mac,
                vlan=self.config.settings.vlan,
            )
            attach_filter(where, program)

    def _join_groups(self, place: Place) -> None:
        fresh = [v for v in place.vips if isinstance(v, IPv6Address) and v not in self._joined]
        for vip in fresh:
            group = nd.group_mac(nd.solicited_node(vip))
            receive_mac(self._sockets.small, place.interface, group)
        if fresh:
            self._joined.update(fresh)
            self._cleanup.enter_context(join_groups(fresh, place.kernel))

    @contextlib.asynccontextmanager
    async def _workers(self, place: Place) -> AsyncIterator[tuple[Prober, Checker]]:
        prober = Prober(
            self._sockets.arp,
            interface=place.interface,
            kernel_index=place.kernel.index,
            vlan=self.config.settings.vlan,
            identity=place.identity,
            announce_interval_s=self.config.settings.announce_interval_s,
            on_mac=self._on_mac,
        )
        async with Checker(self._on_result) as checker, asyncio.TaskGroup() as tasks:
            probing = tasks.create_task(prober.run())
            try:
                yield prober, checker
            finally:
                probing.cancel()

    # ---- Configuration ----

    def _begin(self, place: Place) -> None:
        settings = self.config.settings
        self._core.set_timeouts(
            tcp_s=settings.timeout_tcp_s,
            tcp_fin_s=settings.timeout_tcp_fin_s,
            udp_s=settings.timeout_udp_s,
        )
        self._core.set_tuning(settings.tuning)
        self._core.set_marks(self.config.marks)
        self._prober.update(place.sources, place.vips)
        targets = self._targets()
        self._health = {each: self._health.get(each, Health()) for each in targets}
        self._macs = {a: mac for a, mac in self._macs.items() if a in place.sources}
        self._checker.update(targets)

    async def reload(self, config: Config) -> None:
        """Takes a new configuration; raises SetupError, and changes nothing, if it cannot run."""
        async with AsyncIPRoute() as netlink:
            place = await survey(netlink, config)
        now = self._place
        fixed = (place.interface.name, place.identity, config.settings.vlan)
        if fixed != (now.interface.name, now.identity, self.config.settings.vlan):
            raise SetupError("interface, mac and vlan cannot change while running: restart instead")
        self._old_fallbacks = plan.fallbacks(self.config)
        self.config, self._place = config, place
        self._filter(place)
        self._begin(place)
        self._publish()

    def _targets(self) -> list[Target]:
        return [target(v, real) for v in self.config.virtuals for real in v.real]

    # ---- Events ----

    async def _first_results(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_S):
                await self._settled.wait()
        self._published = True
        self._publish()

    def _on_result(self, what: Target, result: Result) -> None:
        before = self._health.get(what)
        if before is None:
            return
        after = before.after(result.passed, result.reason, failure_count=what.check.failure_count)
        self._health[what] = after
        if after.up != before.up:
            _log.info("Check of %s: %s (%s)", what.name, _words(after), after.reason)
        elif after.failures and after.up:
            count = f"{after.failures}/{what.check.failure_count}"
            _log.info("Soft failure %s of %s: %s", count, what.name, after.reason)
        self._note_settled()
        if after.up != before.up:
            self._publish()

    def _on_mac(self, address: Address, mac: bytes) -> None:
        self._macs[address] = mac
        self._note_settled()
        self._publish()

    def _note_settled(self) -> None:
        """All is known that the first table needs: a result and a MAC for every server up."""
        if all(
            health.up is False or (health.up and what.address in self._macs)
            for what, health in self._health.items()
        ):
            self._settled.set()

    # ---- The table ----

    def health(self, virtual: Virtual, real: Real) -> Health:
        """What the checks say of this real server."""
        return self._health.get(target(virtual, real), Health())

    def _publish(self) -> None:
        """Brings the table to what it should be now, in one piece."""
        if not self._published:
            return
        current = self._core.services()
        goal = plan.wanted(self.config, self.health, current)
        changes = plan.changes(current, goal, self._macs, self._place.mtus)
        fallbacks = plan.fallbacks(self.config) | self._old_fallbacks
        for change, code in zip(changes, self._core.apply(changes), strict=True):
            text = plan.describe(change, fallbacks)
            if code:
                _log.error("%s: refused: errno %d", text or change.operation.name, code)
            elif text:
                _log.info("%s", text)
            elif change.operation is Operation.SET_MAC and change.server and change.mac:
                _log.debug("MAC of %s is %s", change.server.address, change.mac.hex(":"))

    # ---- Looks ----

    @property
    def ready(self) -> bool:
        """True once the table has been filled for the first time; before, there is none to see."""
        return self._published

    def services(self) -> tuple[ServiceRow, ...]:
        """The table as it is in the core now."""
        return self._core.services()

    def connections(self) -> tuple[Connection, ...]:
        """The connection table as it is in the core now."""
        return tuple(self._core.connections())

    def stats(self) -> Stats:
        """The core's counters."""
        return self._core.stats()

    def timeouts(self) -> tuple[int, int, int]:
        """Seconds: established TCP, TCP after a FIN, UDP."""
        return self._core.timeouts()


def _longest(place: Place) -> int:
    """Bytes of the longest ordinary frame; what is longer was joined by offloads."""
    return place.interface.mtu + _ETHERNET_HEADER + _MOST_TAGS * TAG_BYTES


def _mtu(place: Place, vlan: Vlan) -> int:
    """Bytes of an IP packet: a packet socket lets one 802.1Q tag be beyond the MTU, not two."""
    return place.interface.mtu - TAG_BYTES * (len(vlan.identifiers) if vlan.inline_bytes else 0)


def _words(health: Health) -> str:
    return "up" if health.up else "down"
