"""Interfaces: what the kernel says of a network interface.

Asked by netlink: /sys/class/net shows the network namespace of whoever mounted it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from pyroute2 import AsyncIPRoute

from .config.model import Address


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
