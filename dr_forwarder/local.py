"""Local: what this host lacks to be a real server of its own director. Pure.

Its kernel needs the VIPs for itself then, as on every real server, and must keep as quiet about
them; the director hands it frames by lo.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network

from .addresses import Identity
from .errors import SetupError
from .interfaces import Interface
from .vlan import Vlan

Network = IPv4Network | IPv6Network
Sysctl = Callable[[str, str], int]
"""The value of net.ipv4.conf.SCOPE.NAME, by scope and name."""

_QUIET = (1, 2, 8)
"""Values of arp_ignore with which no address of lo is answered for."""


def refuse_unfit(
    server: str,
    vips: Mapping[Network, bool],
    *,
    interface: Interface,
    loopback_up: bool,
    identity: Identity,
    vlan: Vlan,
    sysctl: Sysctl,
) -> None:
    """Raises SetupError, with all that is to be done, when ``server`` cannot be this host.

    ``vips`` are what it is to serve, and whether the kernel has them already.
    """
    if vlan.identifiers:
        raise SetupError(
            f"real server {server} is this host, which cannot be told a VLAN's frames: use the"
            f" VLAN's own interface, as in --interface {interface.name}.{vlan}, without vlan"
        )
    if not identity.is_virtual:
        cure = (
            "a macvlan takes no virtual one, so use another interface"
            if interface.kind == "macvlan"
            else "set mac = virtual"
        )
        raise SetupError(
            f"real server {server} is this host, whose kernel would take every frame of the VIPs"
            f" for itself, the other servers' too, at the interface's own MAC address: {cure}"
        )
    cures = [*_cures(vips, interface, sysctl)]
    if not loopback_up:
        cures.insert(0, "ip link set lo up")
    if cures:
        raise SetupError(
            f"real server {server} is this host, which must then have the VIPs on lo and keep"
            f" quiet about them, like every real server; run: {'; '.join(cures)}"
        )


def _cures(vips: Mapping[Network, bool], interface: Interface, sysctl: Sysctl) -> Iterator[str]:
    """Commands in the order they are to be run: an address that is there first is announced."""
    if any(vip.version == 4 for vip in vips):
        yield from _quiet(interface.name, sysctl)
    for vip, present in vips.items():
        if vip.network_address in interface.addresses:
            yield interface.removal(vip.network_address)
        elif present:
            continue
        yield _have(vip)


def _quiet(interface: str, sysctl: Sysctl) -> Iterator[str]:
    """The kernel takes the greater of an interface's value and that of all of them."""
    # A dot in a name would be read as another level of the tree.
    own = interface.replace(".", "/")
    for name, fit, cure in (("arp_ignore", _QUIET, 1), ("arp_announce", (2,), 2)):
        for_all, for_one = sysctl("all", name), sysctl(own, name)
        if max(for_all, for_one) not in fit:
            yield f"sysctl -w net.ipv4.conf.{own if for_one > for_all else 'all'}.{name}={cure}"
    # Strict, it would look for the client behind lo.
    if max(sysctl("all", "rp_filter"), sysctl("lo", "rp_filter")) == 1:
        yield "sysctl -w net.ipv4.conf.lo.rp_filter=2"


def _have(vip: Network) -> str:
    if vip.num_addresses == 1:
        return f"ip addr add {vip} dev lo"
    return f"ip {'-6 ' if vip.version == 6 else ''}route add local {vip} dev lo"
