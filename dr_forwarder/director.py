"""Director: joins configuration, checks, neighbours and the core into what runs.

Decides nothing itself: `plan` does, from what `checks` and `prober` report. The table is the
`Reconciler`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path

from pyroute2 import AsyncIPRoute

from . import checks, kept_table, open_files, room
from .attachment import Attachment, attached, identify
from .checks import Result, Target
from .checks.apart import Apart
from .checks.scheduler import Checker
from .config.model import Address, Config, Real, Virtual
from .config.table_keys import key_of
from .dataplane import Engine, Limits
from .draining import Draining
from .errors import NotYet, SetupError, TryAgain
from .events import (
    Bus,
    Happening,
    LinkEvent,
    LinkStep,
    MacLearned,
    Phase,
    Reloaded,
    Started,
    Stopped,
)
from .following import Following
from .health import Health
from .hindrances import LinkTrouble
from .interfaces import Interface, state_now
from .kept_table import Keeper, Kept, Timeouts
from .link import ANNOUNCED, CHECKED
from .link_state import LinkState
from .order_book import FILE_NAME, OrderBook
from .orders import undrained
from .pace import Pace
from .prober import Event as NeighbourEvent
from .prober import Prober
from .quieting import EventLog
from .reconciler import Reconciler
from .records import Filter, Record
from .settling import Settling
from .sole import Sole
from .stalls import Stalls
from .surroundings import NOTHING_NEEDED, Needs, Surroundings, needs_of_changes, needs_of_table
from .survey import Place, survey
from .sync import Synchroniser
from .table import Applied, Change, Connection, Operation, ServiceRow, Stats
from .tracing import Trace
from .vip_path import VipPath
from .watch import Maintained, Watch

_log = logging.getLogger(__name__)

Attending = Callable[[], AbstractAsyncContextManager[None]]
"""Opens what answers for a director, and closes it."""
_LOOK_AGAIN_S = 0.5
"""While the interface is not there yet."""
_AS_CONFIGURED = (0, 0, 0)
_REMOVALS = {Operation.DELETE_SERVICE, Operation.CLEAR}


class _StoppedEarly(Exception):  # noqa: N818 - what happened, and no error
    """It was stopped while it waited for its interface."""


class Director:
    """A running director for one configuration.

    ``await run()`` works until ``stop()``; ``await reload(config)`` changes the configuration and
    breaks no connection. Raises SetupError when the host cannot run it, and leaves everything as
    it was when a reload cannot be done.
    """

    def __init__(
        self,
        config: Config,
        *,
        state_dir: Path | None = None,
        kept: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.config = config
        self.events = Bus(clock)
        self._log = EventLog()
        self.events.listen(self._log.heard)
        self._state_dir = state_dir
        self._kept_file = kept
        self._keeper = None if kept is None else Keeper(kept, self._to_keep)
        self._clock = clock
        self.watch = Watch(self.events)
        self._link_trouble = LinkTrouble()
        self.events.listen(self._hear_link)
        self._stalls = Stalls()
        self._sole = Sole()
        self._stopped = asyncio.Event()
        self._failure: TryAgain | None = None
        self._published = False
        self._timeouts: Timeouts | None = None
        self._kept_timeouts: Timeouts = _AS_CONFIGURED

    # ---- Life ----

    async def run(self, attending: Attending = contextlib.nullcontext) -> Stats:
        """Directs until stopped, and returns the counters.

        Who attends is let in as soon as frames are forwarded, and before it says that it runs.
        """
        kept = Kept() if self._kept_file is None else kept_table.read(self._kept_file)
        open_files.make_room(open_files.needed(self.config))
        try:
            place = await self._place(self.config)
        except _StoppedEarly:
            return Stats(0, 0, {}, 0, 0, 0, 0, 0, 0)
        if not self.config.settings.standby:
            self._sole.take(place.interface, place.vips)
        with (
            contextlib.closing(self._sole),
            self._stalls.watching(),
            attached(place, self.config) as attachment,
            self._engine(place) as engine,
            contextlib.closing(self._synchroniser(engine)) as self.sync,
        ):
            self._core = engine
            book = OrderBook(self._state_dir and self._state_dir / FILE_NAME, self._clock)
            self._book = book
            self._reconciler = Reconciler(engine, self.health, self.events, book.drains)
            self.draining = Draining(book, self._reconciler, self.events, self._clock)
            self._settling = Settling(lambda what: self.watch.all[what], self._reconciler.mac)
            self._pace = Pace(self._reconciler.publish)
            attachment.open_rings(place, self.config, engine, on_end=self.stop)
            self._attachment = attachment
            async with self._workers(place, attachment) as (prober, self._checker):
                self._around = Surroundings(
                    place, attachment, prober, standby=self.config.settings.standby
                )
                self._begin(place, self._restored(kept))
                self.sync.start_each(self.config.settings.daemons)
                async with attending():
                    await self._direct()
            if self._failure is not None:
                raise self._failure
            return engine.stats()

    async def _direct(self) -> None:
        await self._settling.wait()
        self._reconciler.publish()
        self._published = True
        self.events.emit(Started(len(self.config.virtuals)))
        self.events.phase = Phase.RUNNING
        await self._stopped.wait()
        self.events.phase = Phase.STOPPING
        self._pace.close()
        self._reconciler.withdraw()
        self.events.emit(Stopped())

    def stop(self) -> None:
        """Makes ``run`` return."""
        self._stopped.set()

    def _engine(self, place: Place) -> Engine:
        services, servers = room.of(self.config)
        limits = Limits(services, servers, self.config.settings.connections)
        state_file = None if self._state_dir is None else self._state_dir / "state"
        engine = Engine(limits=limits, state_file=state_file)
        self._room = engine.limits.services, engine.limits.servers
        if line := engine.adoption.told():
            level = logging.WARNING if engine.adoption.harmed else logging.INFO
            _log.log(level, "%s", line)
        identify(engine, place, self.config.settings)
        return engine

    @property
    def standby(self) -> bool:
        """Whether the VIPs are another director's."""
        return self._around.standby

    def stand_by(self, *, standby: bool) -> None:
        """Leaves the VIPs to another director, or takes them over and announces them.

        Raises SetupError while another one on this host has them.
        """
        place = self._around.place
        if not standby:
            self._sole.take(place.interface, place.vips)
        identify(self._core, place, self.config.settings, standby=standby)
        self._around.stand_by(standby=standby)
        if standby:
            self._sole.close()
        _log.info("Standing by" if standby else "Took over")

    def _synchroniser(self, engine: Engine) -> Synchroniser:
        return Synchroniser(
            engine,
            ports=lambda: self.config.settings.tuning.sync_ports,
            buffer_bytes=lambda: self.config.settings.sync_sock_size,
        )

    @contextlib.asynccontextmanager
    async def _workers(
        self, place: Place, attachment: Attachment
    ) -> AsyncIterator[tuple[Prober, Checker]]:
        vlan = self.config.settings.vlan
        prober = Prober(
            attachment.sockets.arp,
            interface=place.interface,
            kernel_index=place.kernel.index,
            vlan=vlan,
            identity=place.identity,
            announce_interval_s=self.config.settings.announce_interval_s,
            emit=self._on_neighbour,
            peers=self.config.settings.peers,
        )
        async with contextlib.AsyncExitStack() as stack:
            self._vip_path = stack.enter_context(
                contextlib.closing(VipPath(vlan, self._reconciler.mac))
            )
            apart = await stack.enter_async_context(Apart())
            run = partial(checks.run, path=self._vip_path, apart=apart)
            checker = await stack.enter_async_context(Checker(self._on_result, run=run))
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            self._following = self._follower(place, prober, checker)
            workers = (prober, self.draining, self._following)
            working = [tasks.create_task(each.run()) for each in workers]
            try:
                yield prober, checker
            finally:
                for task in working:
                    task.cancel()

    # ---- The network under it ----

    async def _place(self, config: Config) -> Place:
        """Where the configuration can run, once it can; raises TryAgain when that takes too long.

        And SetupError at once for what does not come by itself.
        """
        until_s = time.monotonic() + config.settings.interface_wait_s
        told = None
        while True:
            try:
                return await self._surveyed(config)
            except NotYet as error:
                left_s = until_s - time.monotonic()
                if self._stopped.is_set():
                    raise _StoppedEarly from error
                if left_s <= 0:
                    raise TryAgain(str(error)) from error
                if str(error) != told:
                    told = str(error)
                    _log.warning("Waiting, up to %.0f s: %s", left_s, told)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), min(_LOOK_AGAIN_S, left_s))

    async def _surveyed(self, config: Config, *, tolerates_local: bool = False) -> Place:
        is_same = self._published and config.settings.interface == self.config.settings.interface
        async with AsyncIPRoute() as netlink:
            held = self._around.place if is_same else None
            return await survey(netlink, config, held, tolerates_local=tolerates_local)

    def _follower(self, place: Place, prober: Prober, checker: Checker) -> Following:
        def note(steps: Collection[LinkStep], usable: bool) -> None:
            self._attachment.serve(serves=usable and not self.standby)
            if usable and ANNOUNCED & {*steps}:
                prober.announce_again()
            if usable and CHECKED & {*steps}:
                checker.begin_again()

        def give_up(reason: TryAgain) -> None:
            self._failure = reason
            self.stop()

        return Following(
            place,
            survey=lambda: self._surveyed(self.config, tolerates_local=True),
            take=self._stand_at,
            note=note,
            look=self._look,
            is_cut_off=lambda: self._attachment.is_cut_off,
            emit=self.events.emit,
            give_up=give_up,
            patience_s=lambda: self.config.settings.interface_wait_s,
        )

    def _look(self, present: Mapping[str, Interface]) -> None:
        self.sync.follow(present)
        for event in self._around.look(tuple(present.values())):
            self.events.emit(event)

    def _stand_at(self, place: Place, is_new: bool) -> None:
        """Works there from now on, maybe on a new interface; breaks no connection."""
        if is_new or not self._attachment.fits(place):
            self._attachment.move(place, self.config, self._core, on_end=self.stop)
        self._settle_at(place, needs_of_table(self._reconciler.others(self.config)))
        if self._published:
            self._reconciler.publish()

    def _settle_at(self, place: Place, table: Needs) -> None:
        if not self._around.standby:
            self._sole.take(place.interface, place.vips)
        identify(self._core, place, self.config.settings, standby=self._around.standby)
        self._around.take(place, self.config, table)
        self._reconciler.configure(self.config, self._around.place)
        vips = {each.vip for each in self.watch.all if each.vip is not None}
        self._vip_path.update(self._around.place, vips)

    @property
    def link(self) -> LinkState:
        """How it stands with the interface."""
        return self._following.state

    # ---- What is kept over a restart ----

    def _restored(self, kept: Kept) -> Needs:
        """Takes up what is kept of services that the file does not have."""
        if self._kept_file is None:
            return NOTHING_NEEDED
        of_file = {key_of(virtual) for virtual in self.config.virtuals}
        goal = [each for each in kept.goal if each.service.key not in of_file]
        self._kept_timeouts = kept.timeouts
        return needs_of_table(self._reconciler.restore(goal))

    def _to_keep(self) -> str:
        timeouts = None if self.timeouts() == self._timeouts else self.timeouts()
        rows = self._reconciler.others(self.config)
        return kept_table.text(undrained(rows, self._book.standing), timeouts)

    async def _keep(self) -> tuple[str, ...]:
        """Returns when what was set is kept; or why it is not."""
        trouble = None if self._keeper is None else await self._keeper.keep()
        return () if trouble is None else (trouble,)

    # ---- Configuration ----

    def _begin(self, place: Place, table: Needs = NOTHING_NEEDED) -> None:
        settings = self.config.settings
        timeouts = (settings.timeout_tcp_s, settings.timeout_tcp_fin_s, settings.timeout_udp_s)
        if timeouts != self._timeouts:
            # What was set over the socket stays, until the file says something else than before.
            kept, self._kept_timeouts = self._kept_timeouts, _AS_CONFIGURED
            for tcp_s, tcp_fin_s, udp_s in (timeouts, kept):
                self._core.set_timeouts(tcp_s=tcp_s, tcp_fin_s=tcp_fin_s, udp_s=udp_s)
            self._timeouts = timeouts
        self._core.set_tuning(settings.tuning)
        self._attachment.prefer(self._core, is_wanted=settings.realtime)
        self._core.set_marks(self.config.marks)
        targets = self.watch.follow(self.config)
        self._settle_at(place, table)
        self._checker.update(targets)
        self._settling.follow(targets)

    async def reload(self, config: Config) -> None:
        """Takes a new configuration; raises SetupError, and changes nothing, if it cannot run."""
        open_files.make_room(open_files.needed(config))
        try:
            place = await self._place(config)
        except (TryAgain, _StoppedEarly) as error:
            raise SetupError(str(error) or "the director is ending") from error
        if _fixed(config) != _fixed(self.config) or self._is_elsewhere(place):
            raise SetupError(
                "interface, mac, vlan, io and workers cannot change while running: restart instead"
            )
        room.refuse_more(config, self._room)
        if not self._attachment.fits(place):
            self._stand_at(await self._surveyed(self.config), False)
        self.config = config
        self.events.phase = Phase.RELOADING
        self._begin(place, needs_of_table(self._reconciler.others(config)))
        self._pace.clear()
        self._reconciler.publish()
        self.events.emit(Reloaded(config.path))
        self.events.phase = Phase.RUNNING

    def _is_elsewhere(self, place: Place) -> bool:
        """On an interface, or with a MAC address, that the network is not the reason of."""
        now = self._around.place
        if {now.interface.index, now.interface.name}.isdisjoint(
            (place.interface.index, place.interface.name)
        ):
            return True
        is_same_mac = place.interface.mac == now.interface.mac
        return is_same_mac and place.identity != now.identity

    # ---- Events ----

    def _on_result(self, what: Target, result: Result) -> None:
        if what.address not in self._around.place.local:
            link, now_s = self._following.state, time.monotonic()
            if result.passed is False and link.state == "up":
                link = _seen_now(link)
            result = self._link_trouble.judged(what, result, link, now_s=now_s)
        changed = self.watch.result(what, result)
        self._log.tick(self._clock())
        self._settling.note()
        if changed and self._published:
            self._pace.add(self.watch.services(what))

    def _hear_link(self, happening: Happening) -> None:
        if isinstance(happening.event, LinkEvent):
            self._link_trouble.heard(happening.event, now_s=time.monotonic())

    def _on_neighbour(self, event: NeighbourEvent) -> None:
        self.events.emit(event)
        if isinstance(event, MacLearned):
            self._reconciler.learn_mac(event.address, event.mac)
            self._vip_path.learnt()
            self._settling.note()

    # ---- The table ----

    def maintain(self, maintained: Maintained) -> None:
        """Takes these real servers down, and lets the others be as their checks say."""
        if self.watch.maintain(maintained) and self._published:
            self._reconciler.publish()

    def health(self, virtual: Virtual, real: Real) -> Health:
        """What the checks say of this real server."""
        return self.watch.health(virtual, real)

    @property
    def vips_on_host(self) -> int:
        """So many VIPs are addresses of this host's kernel, which answers for them too."""
        return len(self._around.local_vips)

    @property
    def event_loop_stalls(self) -> int:
        """So often the event loop did not turn for seconds."""
        return self._stalls.count

    @property
    def checks_not_carried_out(self) -> int:
        """So many checks could not be, for causes on this host."""
        return self.watch.not_carried_out

    async def apply(self, changes: Sequence[Change], *, stop: bool = False) -> Applied:
        """Changes the table in one piece, as ipvsadm would.

        With ``stop`` those after the first that fails are not tried: ECANCELED. New VIPs are
        announced, and let in, before it returns.
        """
        results = self._reconciler.apply(changes, stop=stop)
        self.draining.note(changes, results)
        needs = needs_of_changes(changes, results)
        problems = self._around.add(needs, self.config)
        if any(change.operation in _REMOVALS for change in changes):
            self._around.drop(self._unused())
        self._reconciler.mtus = self._around.place.mtus
        return Applied(tuple(results), (*problems, *await self._keep()))

    def _unused(self) -> set[Address]:
        """VIPs that no service has any more, nor a mark."""
        marked = {mark.single for mark in self.config.marks}
        rows = needs_of_table(self._core.services())
        return {*self._around.place.vips} - {*rows.vips} - marked

    async def set_timeouts(self, *, tcp_s: int = 0, tcp_fin_s: int = 0, udp_s: int = 0) -> None:
        """As ``ipvsadm --set``: seconds, 0 keeps what is."""
        self._core.set_timeouts(tcp_s=tcp_s, tcp_fin_s=tcp_fin_s, udp_s=udp_s)
        await self._keep()

    # ---- Decisions, told ----

    def trace(self, asked: Filter) -> Trace:
        """Records of the frames that pass the filter, from now on; close it.

        Raises DataplaneError: EMFILE when four watch already.
        """
        return self._core.trace(asked)

    def drops(self) -> tuple[Record, ...]:
        """The last frames that were dropped, up to 16 for each verdict, by their time."""
        return self._core.drops(epoch_ns=epoch_ns())

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

    def each_connection(self) -> Iterator[Connection]:
        """The same, bit by bit: for who looks through a million without holding up the rest."""
        return self._core.connections()

    def stats(self) -> Stats:
        """The core's counters."""
        return self._core.stats()

    def timeouts(self) -> tuple[int, int, int]:
        """Seconds: established TCP, TCP after a FIN, UDP."""
        return self._core.timeouts()


def _seen_now(link: LinkState) -> LinkState:
    """A check fails with the link at once, and what netlink tells of the link comes later."""
    try:
        return replace(link, state=state_now(link.interface))
    except OSError:  # no descriptor is left
        return link


def _fixed(config: Config) -> tuple[object, ...]:
    """Settings that sockets are opened with."""
    settings = config.settings
    return settings.interface, settings.vlan, settings.io, settings.workers


def epoch_ns() -> int:
    """When the core's clock was 0, in nanoseconds since 1970."""
    return time.time_ns() - time.monotonic_ns()
