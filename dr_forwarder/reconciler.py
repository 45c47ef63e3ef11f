"""Reconciler: brings the core's table to what it should be, and is the only one that changes it.

What the file, the checks and the neighbours make of it is `plan`'s; what others change over the
control socket is done at once. A service of the file is the file's: what was changed on it
otherwise is left alone until one of its servers goes up or down, or the file is read again, as
with ipvsadm beside ldirectord. Services that the file does not have are nobody's but the socket's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from . import plan, telling
from .config import table_keys
from .config.model import Address, Config
from .dataplane import Engine
from .events import Bus, ServerEvent, ServiceEvent, Step
from .orders import NO_DRAINS, Drains, Member, drained, obeying
from .plan import HealthOf, Wanted
from .survey import Place
from .table import Change, Drain, Key, Operation, Server, ServiceRow

_log = logging.getLogger(__name__)


class Reconciler:
    """Holds what the table depends on besides checks and orders: the file, MAC addresses, MTUs."""

    def __init__(
        self,
        core: Engine,
        health: HealthOf,
        bus: Bus,
        drains: Callable[[], Drains] = lambda: NO_DRAINS,
    ) -> None:
        self._core = core
        self._health = health
        self._bus = bus
        self._drains = drains
        self._config: Config | None = None
        self._of_file: frozenset[Key] | None = None
        """The services that the file had; None before the first look, when all that an earlier
        run left counts as the file's."""
        self._macs: dict[Address, bytes] = {}
        self.mtus: Mapping[Address, int] = {}
        """Of ways to servers that take less than the interface."""
        self._cast = telling.Cast()
        self._bereft: frozenset[Key] = frozenset()
        self._kept: frozenset[Key] = frozenset()

    # ---- What it depends on ----

    def configure(self, config: Config, place: Place) -> None:
        """Takes another configuration; ``publish`` brings it into force."""
        self._config = config
        self._cast = self._cast.after(config)
        self.mtus = place.mtus
        self._macs = {a: mac for a, mac in self._macs.items() if a in place.sources}
        self._macs |= dict.fromkeys(place.local, place.identity.mac)

    def mac(self, address: Address) -> bytes | None:
        """The server's MAC address, if frames can be sent to it."""
        return self._macs.get(address)

    def learn_mac(self, address: Address, mac: bytes) -> None:
        """A server's MAC address was learnt, or has moved."""
        self._macs[address] = mac
        mtu = self.mtus.get(address, 0)
        self._core.apply([Change(Operation.SET_MAC, None, Server(address, 0), mac, mtu)])

    # ---- Changes ----

    def restore(self, kept: Sequence[Wanted]) -> tuple[ServiceRow, ...]:
        """Before the first look: has services that are nobody's but the socket's; gives them.

        What an earlier run left of them stays as it is, with its connections.
        """
        self._kept = frozenset(target.service.key for target in kept)
        changes = plan.changes(self._core.services(self._kept), kept, self._macs, self.mtus)
        for change, errno in zip(changes, self.apply(changes), strict=True):
            if errno:
                _log.error("%s is not kept: errno %d", change, errno)
        return self._core.services(self._kept)

    def publish(self, only: Collection[Key] | None = None) -> None:
        """Brings the file's services, or only these, to what they should be now, in one piece."""
        if self._config is None:
            return
        rows = self._core.services(only)
        goal = plan.wanted(self._config, self._health, rows, only, self._drains())
        mine = self._take(rows, goal) if only is None else frozenset(only)
        current = [row for row in rows if row.service.key in mine]
        changes = plan.changes(current, goal, self._macs, self.mtus)
        for change, errno in zip(changes, self._core.apply(changes), strict=True):
            if event := telling.event(change, self._cast, errno):
                self._bus.emit(event)
        for turn in telling.turns(self._bereft & mine, goal):
            self._bus.emit(turn)
        now_bereft = frozenset(each.service.key for each in goal if each.bereft)
        self._bereft = self._bereft - mine | now_bereft

    def obey(self, weights: Mapping[Member, int]) -> None:
        """Has these servers be as the orders say now.

        One without an order gets what its file says; where none does, this weight.
        """
        keys = {key for key, _ in weights}
        of_file = keys & (self._of_file or frozenset())
        if of_file:
            self.publish(of_file)
        drains = self._drains()
        edits = []
        for row in self._core.services(keys - of_file):
            for each in row.servers:
                member = (row.service.key, each.server.address)
                if member in weights:
                    drain = drains.get(member, Drain.NONE)
                    server = drained(replace(each.server, weight=weights[member]), drain)
                    edits.append(Change(Operation.EDIT_SERVER, row.service, server))
        self._core.apply(edits)

    def withdraw(self) -> None:
        """Tells what goes with the director: the file's services that have ``cleanstop``.

        The table itself stays as it is, for the connections that the next start takes over.
        """
        virtuals = self._config.virtuals if self._config else ()
        clean = {table_keys.key_of(virtual) for virtual in virtuals if virtual.clean_stop}
        for row in self._core.services():
            key = row.service.key
            if key not in clean:
                continue
            for each in row.servers:
                if each.server.weight:
                    self._bus.emit(self._purged(key, each.server))
            self._bus.emit(ServiceEvent(Step.PURGED, key))

    def _purged(self, key: Key, server: Server) -> ServerEvent:
        fallback = self._cast.now.get((key, server.address)) is telling.Role.FALLBACK
        step = Step.DELETED if fallback else Step.PURGED
        return ServerEvent(step, key, server, fallback)

    def _take(self, rows: Sequence[ServiceRow], goal: Sequence[Wanted]) -> frozenset[Key]:
        """All services that are or were the file's; from now on those of ``goal`` are."""
        before = self._of_file
        if before is None:
            before = frozenset(row.service.key for row in rows) - self._kept
            self._bereft = telling.bereft(rows, self._cast)
        self._of_file = frozenset(target.service.key for target in goal)
        return before | self._of_file

    # ---- Looks ----

    def services(self, only: Collection[Key]) -> tuple[ServiceRow, ...]:
        """These services of the table."""
        return self._core.services(only)

    def members(self) -> dict[Member, None]:
        """Every server that the file has, or the table."""
        found: dict[Member, None] = dict.fromkeys(self._cast.now)
        for row in self._core.services():
            found |= dict.fromkeys((row.service.key, each.server.address) for each in row.servers)
        return found

    def weights(self, members: Collection[Member]) -> dict[Member, int]:
        """Those that these servers have in the table."""
        return {
            (row.service.key, each.server.address): each.server.weight
            for row in self._core.services({key for key, _ in members})
            for each in row.servers
        }

    def others(self, config: Config) -> tuple[ServiceRow, ...]:
        """The services of the table that this configuration neither has nor takes away."""
        files = {table_keys.service_of(virtual).key for virtual in config.virtuals}
        files |= self._of_file or frozenset()
        return tuple(row for row in self._core.services() if row.service.key not in files)

    def apply(self, changes: Sequence[Change], *, stop: bool = False) -> list[int]:
        """Does what was asked for over the control socket, in one piece; 0 or an errno each."""
        drains = self._drains()
        return self._core.apply(
            [obeying(self._with_mac(each), drains) for each in changes], stop=stop
        )

    def _with_mac(self, change: Change) -> Change:
        if change.operation is not Operation.ADD_SERVER or change.server is None:
            return change
        address = change.server.address
        return replace(change, mac=self._macs.get(address), mtu=self.mtus.get(address, 0))
