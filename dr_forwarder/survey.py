"""Survey: whether and where a configuration can run on this host. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyroute2 import AsyncIPRoute

from .addresses import Identity, identity, refuse_local
from .config.model import Address, Config
from .errors import SetupError
from .interfaces import (
    Interface,
    OnLink,
    interfaces,
    is_blackholed,
    is_forwarding,
    on_link,
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a configuration can run on this host; looked up before anything is done."""

    interface: Interface
    kernel: Interface
    """By which the host itself is in that network: the same, or the VLAN's own interface."""
    identity: Identity
    vips: tuple[Address, ...]
    sources: Mapping[Address, Address]
    """Every real and fallback server, with the address the host has towards it."""
    mtus: Mapping[Address, int]
    """Of the ways whose route says how much it takes, bytes above Ethernet."""


async def survey(netlink: AsyncIPRoute, config: Config) -> Place:
    """Looks whether this configuration can work here; raises SetupError with the cure."""
    present = await interfaces(netlink)
    vips = _vips(config)
    refuse_local(vips, present.values())
    ways = {address: await on_link(netlink, address) for address in _servers(config)}
    interface = _interface(config, present, ways)
    kernel = _kernel(config, interface, present, ways)
    wanted = config.settings
    blackholed = [await is_blackholed(netlink, vip) for vip in vips]
    return Place(
        interface=interface,
        kernel=kernel,
        identity=identity(
            wanted.mac,
            interface,
            kernel_name=kernel.name,
            virtual_router_id=wanted.virtual_router_id,
            is_forwarding=any(
                is_forwarding(kernel.name, version=vip.version)
                for vip, hole in zip(vips, blackholed, strict=True)
                if not hole
            ),
        ),
        vips=vips,
        sources={address: way.source for address, way in ways.items()},
        mtus={address: way.mtu for address, way in ways.items() if way.mtu},
    )


def _vips(config: Config) -> tuple[Address, ...]:
    """Those of services and of marks; of a network of VIPs the core answers for each address."""
    found = [virtual.address for virtual in config.virtuals]
    found += [mark.single for mark in config.marks]
    return tuple(dict.fromkeys(address for address in found if address is not None))


def _servers(config: Config) -> tuple[Address, ...]:
    reals = (real.address for virtual in config.virtuals for real in virtual.real)
    fallbacks = (virtual.fallback.address for virtual in config.virtuals if virtual.fallback)
    return tuple(dict.fromkeys([*reals, *fallbacks]))


def _interface(
    config: Config, present: Mapping[str, Interface], ways: Mapping[Address, OnLink]
) -> Interface:
    """The configured one, or the one that all servers are on; it must reach every server."""
    names = {interface.index: name for name, interface in present.items()}
    name = config.settings.interface
    if name is None and config.settings.vlan.identifiers:
        raise SetupError(
            f"vlan = {config.settings.vlan} needs the interface whose frames have the tag:"
            " --interface NAME"
        )
    if name is None:
        used = {names[way.interface_index] for way in ways.values()}
        if not used:
            raise SetupError("no real server says which interface to use: --interface NAME")
        if len(used) != 1:
            raise SetupError(
                f"the real servers are on {len(used)} interfaces ({', '.join(sorted(used))}):"
                " say which one the clients come in by: --interface NAME"
            )
        name = used.pop()
    if name not in present:
        raise SetupError(f"there is no interface {name!r}; there are: {', '.join(sorted(present))}")
    if not present[name].up:
        raise SetupError(f"interface {name} is down; run: ip link set {name} up")
    # The host has its own address in a tagged VLAN on another interface, mostly NAME.VLAN.
    for address, way in () if config.settings.vlan.identifiers else ways.items():
        if way.interface_index != present[name].index:
            raise SetupError(
                f"real server {address} is reached through {names[way.interface_index]}, not"
                f" {name}; one interface for clients and real servers is all that is supported yet"
            )
    return present[name]


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
