"""Interfaces: what the kernel says of a network interface and of the way to an address.

Asked by netlink: /sys/class/net shows the network namespace of whoever mounted it.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from .config.model import Address
from .errors import SetupError

_RTN_UNICAST, _RTN_LOCAL = 1, 2


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface."""

    name: str
    index: int
    mac: bytes
    mtu: int
    up: bool
    kind: str = ""
    """``veth``, ``bridge``, ``macvlan`` ...; empty for hardware."""
    macvlan_mode: str = ""
    addresses: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class OnLink:
    """An address that is reached without a router."""

    interface_index: int
    source: Address
    """What the host calls itself towards that address."""
    mtu: int = 0
    """Of this route, bytes; 0: it sets none."""
    local: bool = False
    """An address of this host itself."""


async def interfaces(netlink: AsyncIPRoute) -> Mapping[str, Interface]:
    """Every interface of this network namespace, by name."""
    addresses: dict[int, list[Address]] = {}
    async for message in await netlink.get_addr():
        text = message.get("local") or message.get("address")
        if text:
            addresses.setdefault(message["index"], []).append(ip_address(text))
    found = [_interface(link, addresses) async for link in await netlink.get_links()]
    return {interface.name: interface for interface in found}


def _interface(link: Any, addresses: Mapping[int, list[Address]]) -> Interface:
    info = link.get("linkinfo")
    kind = (info.get("kind") if info else None) or ""
    data = info.get("data") if info else None
    mode = str(data.get("macvlan_mode") or "") if kind == "macvlan" and data else ""
    mac = link.get("address") or "00:00:00:00:00:00"
    return Interface(
        name=link.get("ifname"),
        index=link["index"],
        mac=bytes.fromhex(mac.replace(":", "")),
        mtu=link.get("mtu"),
        up=bool(link["flags"] & 1),
        kind=kind,
        macvlan_mode=mode,
        addresses=tuple(addresses.get(link["index"], ())),
    )


async def on_link(netlink: AsyncIPRoute, address: Address) -> OnLink:
    """The way to a real server; raises SetupError when it is not on the same segment."""
    try:
        routes = list(await netlink.route("get", dst=str(address)))
    except NetlinkError as error:
        reason = "no route" if error.code == errno.ENETUNREACH else "its route refuses packets"
        raise SetupError(
            f"real server {address} cannot be reached: {reason}; direct routing needs it on the"
            " same segment: give this host an address in its network"
        ) from error
    route = routes[0]
    gateway = route.get("gateway") or route.get("via")
    if gateway:
        raise SetupError(
            f"real server {address} is not on the same segment: it is reached through router"
            f" {gateway}; direct routing rewrites MAC addresses and cannot cross a router"
        )
    if route["type"] == _RTN_LOCAL:
        return OnLink(route.get("oif"), address, local=True)
    if route["type"] != _RTN_UNICAST:
        raise SetupError(f"real server {address} is no unicast address of a neighbour")
    source = route.get("prefsrc")
    unspecified = IPv4Address(0) if address.version == 4 else IPv6Address(0)
    metrics = route.get("metrics")
    mtu = metrics.get("mtu") if metrics else None
    return OnLink(route.get("oif"), ip_address(source) if source else unspecified, mtu or 0)


async def is_local(netlink: AsyncIPRoute, address: Address) -> bool:
    """True when the kernel takes packets to this address for its own."""
    try:
        routes = list(await netlink.route("get", dst=str(address)))
    except NetlinkError:
        return False
    return bool(routes[0]["type"] == _RTN_LOCAL)


async def is_blackholed(netlink: AsyncIPRoute, address: Address) -> bool:
    """True when the kernel drops what it would forward to this address."""
    try:
        await netlink.route("get", dst=str(address))
    except NetlinkError as error:
        return bool(error.code == errno.EINVAL)
    return False


def is_forwarding(interface: str, *, version: int = 4, proc: Path = Path("/proc/sys/net")) -> bool:
    """True when the kernel forwards packets that come in on this interface.

    For IPv6 the setting of all interfaces alone decides.
    """
    name = interface if version == 4 else "all"
    return sysctl(name, "forwarding", version=version, proc=proc) == 1


def sysctl(scope: str, name: str, *, version: int = 4, proc: Path = Path("/proc/sys/net")) -> int:
    """The value of net.ipvVERSION.conf.SCOPE.NAME; 0 on a host that has none."""
    try:
        return int((proc / f"ipv{version}/conf" / scope / name).read_text())
    except FileNotFoundError:
        return 0
