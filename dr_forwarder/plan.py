"""Plan: from configuration, health and MAC addresses to the changes the table needs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from .config.model import Address, Config, Real, Virtual
from .config.table_keys import key_of, server_of, service_of
from .health import Health
from .orders import NO_DRAINS, Drains, drained
from .table import Change, Drain, Key, Operation, Server, Service, ServiceRow

HealthOf = Callable[[Virtual, Real], Health]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A service as it should be, with its servers in the order they are to be added."""

    service: Service
    servers: tuple[Server, ...]
    bereft: bool = False
    """No real server gets traffic, and so the fallback does, if there is one."""


def wanted(
    config: Config,
    health: HealthOf,
    current: Sequence[ServiceRow],
    only: Container[Key] | None = None,
    drains: Drains = NO_DRAINS,
) -> tuple[Wanted, ...]:
    """What the table should hold, or these services of it, all in the file's order."""
    present = {row.service.key: row for row in current}
    return tuple(
        _wanted(virtual, health, present, drains, readd=config.readd_quiescent)
        for virtual in config.virtuals
        if only is None or key_of(virtual) in only
    )


def _wanted(
    virtual: Virtual,
    health: HealthOf,
    present: Mapping[Key, ServiceRow],
    drains: Drains,
    *,
    readd: bool,
) -> Wanted:
    service = service_of(virtual)
    row = present.get(service.key)
    before = {r.server.address: r.server.weight for r in row.servers} if row else {}
    servers: dict[Address, Server] = {}
    any_up = False
    for real in virtual.real:
        drain = drains.get((service.key, real.address), Drain.NONE)
        weight = _weight(virtual, real, health(virtual, real).up, before, readd=readd)
        if drain is not Drain.NONE and (weight is not None or real.address in before):
            weight = 0  # and it stays, whatever its checks say: its connections are to go on
        if weight is None:
            continue
        any_up = any_up or weight > 0
        known = servers.get(real.address)
        # The same address on two lines (with two check ports) is one server: up if either is.
        if known is None or known.weight == 0:
            servers[real.address] = server_of(virtual, real, weight=weight, drain=drain)
    if virtual.fallback is not None and not any_up:
        address = virtual.fallback.address
        port = virtual.fallback.port if virtual.address is None else virtual.port
        drain = drains.get((service.key, address), Drain.NONE)
        servers[address] = drained(Server(address, port, 1), drain)
    return Wanted(service, tuple(servers.values()), bereft=not any_up)


def _weight(
    virtual: Virtual,
    real: Real,
    up: bool | None,
    before: Mapping[Address, int],
    *,
    readd: bool,
) -> int | None:
    """The weight this server should have; None: it should not be in the table.

    A server that has not been checked yet gets no traffic, but one that an earlier run left in
    the table keeps what it had until its first result (ldirectord trusts those too).
    """
    if up:
        return real.weight
    if up is None:
        spare = virtual.fallback
        if spare is not None and set(before) == {real.address} == {spare.address}:
            return None  # it is there as the fallback, not because it was ever up
        weight = before.get(real.address)
        return weight if weight is None or weight == 0 else real.weight
    if virtual.quiescent and (readd or real.address in before):
        return 0
    return None


def changes(
    current: Sequence[ServiceRow],
    goal: Sequence[Wanted],
    macs: Mapping[Address, bytes],
    mtus: Mapping[Address, int] = MappingProxyType({}),
) -> tuple[Change, ...]:
    """The changes that lead from the table as it is to the table as it should be.

    ``mtus`` are of ways that take less than the interface.
    """
    present = {row.service.key: row for row in current}
    keys = {target.service.key for target in goal}
    steps = [
        Change(Operation.DELETE_SERVICE, row.service)
        for row in current
        if row.service.key not in keys
    ]
    for target in goal:
        steps += _service_changes(present.get(target.service.key), target)
    steps += _mac_changes(current, goal, macs, mtus)
    return tuple(steps)


def _service_changes(row: ServiceRow | None, target: Wanted) -> Iterator[Change]:
    service = target.service
    if row is None:
        yield Change(Operation.ADD_SERVICE, service)
    elif row.service != service:
        yield Change(Operation.EDIT_SERVICE, service)
    before = {each.server.address: each.server for each in row.servers} if row else {}
    after = {server.address for server in target.servers}
    for address, gone in before.items():
        if address not in after:
            yield Change(Operation.DELETE_SERVER, service, gone)
    for server in target.servers:
        if server.address not in before:
            yield Change(Operation.ADD_SERVER, service, server)
        elif before[server.address] != server:
            yield Change(Operation.EDIT_SERVER, service, server)


def _mac_changes(
    current: Sequence[ServiceRow],
    goal: Sequence[Wanted],
    macs: Mapping[Address, bytes],
    mtus: Mapping[Address, int],
) -> Iterator[Change]:
    """A MAC is told for every server that does not have it yet; once an address is enough."""
    known: dict[Address, set[tuple[bytes | None, int]]] = {}
    for row in current:
        for each in row.servers:
            known.setdefault(each.server.address, set()).add((each.mac, each.mtu))
    told: set[Address] = set()
    addresses = {row.service.key: {each.server.address for each in row.servers} for row in current}
    for target in goal:
        present = addresses.get(target.service.key, set())
        for server in target.servers:
            mac = macs.get(server.address)
            if mac is None or server.address in told:
                continue
            mtu = mtus.get(server.address, 0)
            if known.get(server.address) == {(mac, mtu)} and server.address in present:
                continue
            told.add(server.address)
            yield Change(Operation.SET_MAC, None, server, mac, mtu)
