"""Survey: whether and where a configuration can run on this host. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network

from pyroute2 import AsyncIPRoute

from . import local
from .addresses import Identity, identity, refuse_local
from .config.model import Address, Config
from .errors import NotYet, SetupError
from .interfaces import LOOPBACK, Interface, interfaces, is_forwarding, sysctl
from .routes import OnLink, Route, look_up, on_link


@dataclass(frozen=True, slots=True)
class Place:
    """Where a configuration can run on this host; looked up before anything is done."""

    interface: Interface
    kernel: Interface
    """By which the host itself is in that network: the same, or the VLAN's own interface."""
    identity: Identity
    vips: tuple[Address, ...]
    sources: Mapping[Address, Address]
    """Every real and fallback server on the network, with the address the host has towards it."""
    local: frozenset[Address]
    """Real and fallback servers that are this host itself."""
    mtus: Mapping[Address, int]
    """Of the ways whose route says how much it takes, bytes above Ethernet."""


async def survey(
    netlink: AsyncIPRoute,
    config: Config,
    held: Place | None = None,
    *,
    tolerates_local: bool = False,
) -> Place:
    """Looks whether this configuration can work here; raises SetupError with the cure.

    NotYet for what may come by itself. ``held`` is where the director is already: its interface
    is known by its index while that lives, whatever its name is. ``tolerates_local`` leaves it to
    others to tell of VIPs that the kernel has.
    """
    present = await interfaces(netlink)
    if held is None:
        _look_for_daemons(config, present)
    expected = _expected(config, present, held)
    vips = config.vips
    routes = look_up(config.servers)
    where = expected or _by_index(present, held)
    every_way = {
        address: _way_to(address, route, where, present, config)
        for address, route in routes.items()
    }
    here = frozenset(address for address, way in every_way.items() if way.local)
    ways = {address: way for address, way in every_way.items() if not way.local}
    served_here = dict.fromkeys(_served_by(here, config))
    if not tolerates_local:
        refuse_local([vip for vip in vips if ip_network(vip) not in served_here], present.values())
    interface = expected or _interface_of(config, present, ways, here)
    _refuse_others(config, interface, present, ways)
    kernel = _kernel(config, interface, present, ways)
    who = _identity(config, interface, kernel, vips)
    if here:
        local.refuse_unfit(
            next(str(address) for address in every_way if address in here),
            {vip: look_up([one])[one].local for vip in served_here for one in [_one_of(vip)]},
            interface=kernel,
            loopback_up=any(each.up for each in present.values() if each.index == LOOPBACK),
            identity=who,
            vlan=config.settings.vlan,
            sysctl=sysctl,
        )
    return Place(
        interface=interface,
        kernel=kernel,
        identity=who,
        vips=vips,
        sources={address: way.source for address, way in ways.items()},
        local=here,
        mtus={address: way.mtu for address, way in ways.items() if way.mtu},
    )


def _identity(
    config: Config,
    interface: Interface,
    kernel: Interface,
    vips: tuple[Address, ...],
) -> Identity:
    routes = look_up(vips)
    return identity(
        config.settings.mac,
        interface,
        kernel_name=kernel.name,
        virtual_router_id=config.settings.virtual_router_id,
        is_forwarding=any(
            is_forwarding(kernel.name, version=version)
            for version in {vip.version for vip in vips if not routes[vip].blackholed}
        ),
    )


def _served_by(servers: frozenset[Address], config: Config) -> Iterator[local.Network]:
    """The VIPs of all services that one of these servers is in."""
    for virtual in config.virtuals:
        addresses = {real.address for real in virtual.real}
        if virtual.fallback is not None:
            addresses.add(virtual.fallback.address)
        if not addresses & servers:
            continue
        if virtual.address is not None:
            yield ip_network(virtual.address)
        yield from (
            mark.network
            for mark in config.marks
            if virtual.address is None
            and mark.mark == virtual.fwmark
            and mark.network.version == (6 if virtual.ipv6 else 4)
        )


def _one_of(vip: local.Network) -> Address:
    """An address of it; of a network not the first, which is a broadcast address of old."""
    return vip[0] if vip.num_addresses == 1 else vip[1]


def _look_for_daemons(config: Config, present: Mapping[str, Interface]) -> None:
    for daemon in config.settings.daemons:
        if daemon.interface not in present:
            raise NotYet(f"sync_{daemon.role}: there is no interface {daemon.interface!r}")


def _expected(
    config: Config, present: Mapping[str, Interface], held: Place | None
) -> Interface | None:
    """The configured interface, if one is; it must be there, and up."""
    name = config.settings.interface
    if name is None:
        return None
    found = _by_index(present, held)
    if found is not None:
        name = found.name
    if name not in present:
        raise NotYet(f"there is no interface {name!r}; there are: {', '.join(sorted(present))}")
    if present[name].index == LOOPBACK:
        raise SetupError(
            f"interface {name} is the host's own loopback, where no client is: --interface NAME"
        )
    if not present[name].up:
        raise NotYet(f"interface {name} is down; run: ip link set {name} up")
    return present[name]


def _by_index(present: Mapping[str, Interface], held: Place | None) -> Interface | None:
    """The interface that the director is on, if it is there still."""
    if held is None:
        return None
    return next((each for each in present.values() if each.index == held.interface.index), None)


def _way_to(
    address: Address,
    route: Route,
    expected: Interface | None,
    present: Mapping[str, Interface],
    config: Config,
) -> OnLink:
    try:
        return on_link(address, route)
    except SetupError as error:
        # The host's own address in a tagged VLAN is on another interface, which may be to come.
        if config.settings.vlan.identifiers:
            raise
        others = (each for each in present.values() if each.index != LOOPBACK)
        for each in others if expected is None else (expected,):
            if any(own.version == address.version for own in each.addresses if _is_global(own)):
                # It is there already, and in another network.
                raise SetupError(str(error)) from error
        if expected is None:
            raise
        raise NotYet(f"{expected.name} has no IPv{address.version} address: {error}") from error


def _is_global(address: Address) -> bool:
    return not address.is_link_local


def _interface_of(
    config: Config,
    present: Mapping[str, Interface],
    ways: Mapping[Address, OnLink],
    here: frozenset[Address],
) -> Interface:
    """The one that all servers are on, where none is configured."""
    if config.settings.vlan.identifiers:
        raise SetupError(
            f"vlan = {config.settings.vlan} needs the interface whose frames have the tag:"
            " --interface NAME"
        )
    names = {interface.index: name for name, interface in present.items()}
    used = {names[way.interface_index] for way in ways.values() if way.interface_index in names}
    if not used:
        used = {
            each.name
            for each in present.values()
            if each.index != LOOPBACK and here & {*each.addresses}
        }
    if not used:
        raise SetupError("no real server says which interface to use: --interface NAME")
    if len(used) != 1:
        raise SetupError(
            f"the real servers are on {len(used)} interfaces ({', '.join(sorted(used))}):"
            " say which one the clients come in by: --interface NAME"
        )
    (name,) = used
    if not present[name].up:
        raise NotYet(f"interface {name} is down; run: ip link set {name} up")
    return present[name]


def _refuse_others(
    config: Config,
    interface: Interface,
    present: Mapping[str, Interface],
    ways: Mapping[Address, OnLink],
) -> None:
    """Every server must be reached by it."""
    names = {each.index: name for name, each in present.items()}
    # The host has its own address in a tagged VLAN on another interface, mostly NAME.VLAN.
    for address, way in () if config.settings.vlan.identifiers else ways.items():
        if way.interface_index != interface.index:
            raise SetupError(
                f"real server {address} is reached through"
                f" {names.get(way.interface_index, 'another one')}, not {interface.name}; one"
                " interface for clients and real servers is all that is supported yet"
            )


def _kernel(
    config: Config,
    interface: Interface,
    present: Mapping[str, Interface],
    ways: Mapping[Address, OnLink],
) -> Interface:
    """Where the kernel has the real servers as neighbours; in a VLAN that is one interface too."""
    if not config.settings.vlan.identifiers:
        return interface
    used = {way.interface_index for way in ways.values()}
    found = [each for each in present.values() if each.index in used]
    if len(found) > 1:
        names = ", ".join(sorted(each.name for each in found))
        raise SetupError(
            f"the real servers are on {len(found)} interfaces ({names}): all must be in VLAN"
            f" {config.settings.vlan} of {interface.name}"
        )
    return found[0] if found else interface
