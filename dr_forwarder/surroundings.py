"""Surroundings: what the addresses in the table need outside it, kept in step with them.

A VIP must pass the socket filter and be announced, a real server must be asked for its MAC. Those
of the configuration are surveyed before it is taken; those that come over the control socket are
looked up when they come. Kernel IPVS takes any address, and so does the table: one that cannot be
served here is told of, and left alone.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from .addresses import local_vips, why_local
from .attachment import Attachment
from .config.model import Address, Config
from .errors import SetupError
from .events import VipLocal
from .interfaces import Interface
from .prober import Prober
from .routes import OnLink, Route, look_up, on_link
from .survey import Place
from .table import Change, Operation, ServiceRow

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Needs:
    """Addresses that a set of changes, or a table, brings."""

    vips: tuple[Address, ...] = ()
    servers: tuple[Address, ...] = ()


NOTHING_NEEDED = Needs()


def needs_of_changes(changes: Sequence[Change], results: Sequence[int]) -> Needs:
    """Those of what has been added."""
    vips: dict[Address, None] = {}
    servers: dict[Address, None] = {}
    for change, errno in zip(changes, results, strict=True):
        if errno or change.service is None:
            continue
        if change.operation is Operation.ADD_SERVICE and change.service.key.protocol != "fwm":
            vips[change.service.key.address] = None
        elif change.operation is Operation.ADD_SERVER and change.server is not None:
            servers[change.server.address] = None
    return Needs(tuple(vips), tuple(servers))


def needs_of_table(rows: Sequence[ServiceRow]) -> Needs:
    """Those of all that is there."""
    vips = dict.fromkeys(
        row.service.key.address for row in rows if row.service.key.protocol != "fwm"
    )
    servers = dict.fromkeys(each.server.address for row in rows for each in row.servers)
    return Needs(tuple(vips), tuple(servers))


class Surroundings:
    """The place of a running director, and those who must know of changes to it."""

    def __init__(
        self, place: Place, attachment: Attachment, prober: Prober, *, standby: bool
    ) -> None:
        self.place = place
        self.standby = standby
        """Another director has the VIPs: they are not announced."""
        self._attachment = attachment
        self._prober = prober
        self.local_vips: Mapping[Address, Interface] = {}
        """VIPs that this host's kernel has, and where."""
        self._present: Collection[Interface] = ()

    def take(self, place: Place, config: Config, table: Needs) -> None:
        """Another configuration's place, with what the table has besides it."""
        before = _wire(self.place)
        self.place, _ = self._extended(place, table)
        self._attachment.let_in(self.place, config)
        self._prober.peers = config.settings.peers
        if _wire(place) != before:
            self._prober.move(place.interface, place.kernel.index, place.identity)
        self._prober.update(self.place.sources, self._announced)

    def look(self, present: Collection[Interface]) -> list[VipLocal]:
        """The host's interfaces, or what is on them, have changed: what that is for the VIPs."""
        before, self._present = self.local_vips, present
        vips = self.place.vips
        now = local_vips(vips, present, on_loopback=vips if self.place.local else ())
        self.local_vips = now
        return [
            *(VipLocal(v, i.name, "", on=False) for v, i in before.items() if v not in now),
            *(VipLocal(v, i.name, why_local(v, i)) for v, i in now.items() if v not in before),
        ]

    def add(self, needs: Needs, config: Config) -> list[str]:
        """Goes into force before it returns; tells what cannot be served, and the cure."""
        fresh = self._unknown(needs)
        if not fresh.vips and not fresh.servers:
            return []
        before = self.place
        self.place, problems = self._extended(before, fresh)
        if self.place.vips != before.vips:
            self._attachment.let_in(self.place, config)
        self._prober.add(
            {a: s for a, s in self.place.sources.items() if a not in before.sources},
            self._announced[len(before.vips) :],
        )
        for problem in problems:
            _log.warning("%s", problem)
        return problems

    @property
    def _announced(self) -> tuple[Address, ...]:
        return () if self.standby else self.place.vips

    def stand_by(self, *, standby: bool) -> None:
        """Leaves the VIPs to another director, or takes them and says so to the network."""
        if standby == self.standby:
            self._prober.announce_again()
            return
        self.standby = standby
        self._attachment.serve(serves=not standby)
        if standby:
            self._prober.leave()
        else:
            self._prober.update(self.place.sources, self._announced)

    def _unknown(self, needs: Needs) -> Needs:
        place = self.place
        vips = set(place.vips)
        return Needs(
            tuple(vip for vip in needs.vips if vip not in vips),
            tuple(a for a in needs.servers if a not in place.sources and a not in place.local),
        )

    def _extended(self, place: Place, needs: Needs) -> tuple[Place, list[str]]:
        """The place with more, those that can be served here at the end."""
        problems: list[str] = []
        vips, known = set(place.vips), {*place.sources, *place.local}
        new = [vip for vip in needs.vips if vip not in vips]
        servers = [address for address in needs.servers if address not in known]
        routes = look_up([*new, *servers])
        served = tuple(vip for vip in new if self._may_announce(vip, routes[vip], problems))
        ways = {
            address: way
            for address in servers
            if (way := _way(place, address, routes[address], problems)) is not None
        }
        extended = replace(
            place,
            vips=(*place.vips, *served),
            sources={**place.sources, **{a: way.source for a, way in ways.items()}},
            mtus={**place.mtus, **{a: way.mtu for a, way in ways.items() if way.mtu}},
        )
        return extended, problems

    def _may_announce(self, vip: Address, route: Route, problems: list[str]) -> bool:
        if not route.local:
            return True
        where = local_vips([vip], self._present).get(vip)
        cure = f"ip addr del {vip}/PREFIX dev INTERFACE" if where is None else where.removal(vip)
        problems.append(
            f"VIP {vip} is an address of this host's kernel, which would answer its packets"
            f" with a RST: not served; run: {cure}, then add it again"
        )
        return False

    def drop(self, vips: Collection[Address]) -> None:
        """These are no longer announced; the filter is made anew with the next that come."""
        left = tuple(vip for vip in self.place.vips if vip not in vips)
        self.place = replace(self.place, vips=left)
        self._attachment.leave(self.place)
        self._prober.forget(vips)


def _wire(place: Place) -> tuple[object, ...]:
    """By what others on the wire know this host."""
    return place.interface.index, place.interface.mac, place.kernel.index, place.identity


def _way(place: Place, address: Address, route: Route, problems: list[str]) -> OnLink | None:
    try:
        way = on_link(address, route)
    except SetupError as error:
        problems.append(str(error))
        return None
    if way.local:
        problems.append(
            f"real server {address} is this host itself: write it into the configuration file"
        )
    elif way.interface_index != place.kernel.index:
        problems.append(f"real server {address} is not reached through {place.kernel.name}")
    else:
        return way
    return None
