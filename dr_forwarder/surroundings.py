"""Surroundings: what the addresses in the table need outside it, kept in step with them.

A VIP must pass the socket filter and be announced, a real server must be asked for its MAC. Those
of the configuration are surveyed before it is taken; those that come over the control socket are
looked up when they come. Kernel IPVS takes any address, and so does the table: one that cannot be
served here is told of, and left alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from pyroute2 import AsyncIPRoute

from .attachment import Attachment
from .config.model import Address, Config
from .errors import SetupError
from .interfaces import OnLink, is_local, on_link
from .prober import Prober
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
        self, netlink: AsyncIPRoute, place: Place, attachment: Attachment, prober: Prober
    ) -> None:
        self.place = place
        self.standby = False
        """Another director has the VIPs: they are not announced."""
        self._netlink = netlink
        self._attachment = attachment
        self._prober = prober
        self._one_at_a_time = asyncio.Lock()

    async def take(self, place: Place, config: Config, table: Needs) -> None:
        """Another configuration's place, with what the table has besides it."""
        async with self._one_at_a_time:
            self.place, _ = await self._extended(place, table)
            self._attachment.let_in(self.place, config)
            self._prober.update(self.place.sources, self._announced)

    async def add(self, needs: Needs, config: Config) -> list[str]:
        """Goes into force before it returns; tells what cannot be served, and the cure."""
        fresh = self._unknown(needs)
        if not fresh.vips and not fresh.servers:
            return []
        async with self._one_at_a_time:
            before = self.place
            self.place, problems = await self._extended(before, fresh)
            if self.place.vips != before.vips:
                self._attachment.let_in(self.place, config)
            self._prober.add(
                {a: s for a, s in self.place.sources.items() if a not in before.sources},
                [vip for vip in self._announced if vip not in before.vips],
            )
        for problem in problems:
            _log.warning("%s", problem)
        return problems

    @property
    def _announced(self) -> tuple[Address, ...]:
        return () if self.standby else self.place.vips

    def stand_by(self, *, standby: bool) -> None:
        """Leaves the VIPs to another director, or takes them and says so to the network."""
        self.standby = standby
        self._prober.update(self.place.sources, self._announced)

    def _unknown(self, needs: Needs) -> Needs:
        place = self.place
        return Needs(
            tuple(vip for vip in needs.vips if vip not in place.vips),
            tuple(a for a in needs.servers if a not in place.sources and a not in place.local),
        )

    async def _extended(self, place: Place, needs: Needs) -> tuple[Place, list[str]]:
        problems: list[str] = []
        vips = [vip for vip in needs.vips if vip not in place.vips]
        vips = [vip for vip in vips if await self._may_announce(vip, problems)]
        known = {*place.sources, *place.local}
        ways = {
            address: way
            for address in needs.servers
            if address not in known
            and (way := await self._way(place, address, problems)) is not None
        }
        extended = replace(
            place,
            vips=(*place.vips, *vips),
            sources={**place.sources, **{a: way.source for a, way in ways.items()}},
            mtus={**place.mtus, **{a: way.mtu for a, way in ways.items() if way.mtu}},
        )
        return extended, problems

    async def _may_announce(self, vip: Address, problems: list[str]) -> bool:
        if not await is_local(self._netlink, vip):
            return True
        problems.append(
            f"VIP {vip} is an address of this host's kernel, which would answer its packets"
            f" with a RST: not served; run: ip addr del {vip} dev INTERFACE, then add it again"
        )
        return False

    async def _way(self, place: Place, address: Address, problems: list[str]) -> OnLink | None:
        try:
            way = await on_link(self._netlink, address)
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

    def drop(self, vips: Collection[Address]) -> None:
        """These are no longer announced; the filter is made anew with the next that come."""
        left = tuple(vip for vip in self.place.vips if vip not in vips)
        self.place = replace(self.place, vips=left)
        self._prober.forget(vips)
