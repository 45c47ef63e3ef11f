"""Interfaces: what the kernel says of a network interface.

Asked by netlink: /sys/class/net shows the network namespace of whoever mounted it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from pyroute2 import AsyncIPRoute, NetlinkError

from .config.model import Address

LOOPBACK: Final = 1
"""The index of lo in every network namespace."""
_UP, _RUNNING = 0x1, 0x40
_SIOCGIFFLAGS = 0x8913
_IFREQ = struct.Struct("16sH22x")
_TENTATIVE, _DAD_FAILED = 0x40, 0x08
_TRIES: Final = 10
"""A list that changes while it is read is read again."""


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
    prefixes: Mapping[Address, int] = field(default_factory=dict)
    """Of each of them the length of its network's prefix."""
    tentative: tuple[Address, ...] = ()
    """Of them those that cannot be sent from: being looked for in the network, or found there."""
    carrier: bool = True
    flaps: int = 0
    """How often the carrier was lost or came back."""
    master: int = 0
    """The index of the bond or bridge that it is a port of; 0: of none."""

    def removal(self, address: Address) -> str:
        """The command that takes an address away; without its prefix `ip` may take another."""
        return f"ip addr del {address}/{self.prefixes.get(address, 'PREFIX')} dev {self.name}"

    @property
    def usable(self) -> bool:
        """Frames can come and go."""
        return self.up and self.carrier


async def interfaces(netlink: AsyncIPRoute) -> Mapping[str, Interface]:
    """Every interface of this network namespace, by name; raises OSError."""
    for _ in range(_TRIES):
        try:
            return await _interfaces(netlink)
        except NetlinkError as error:
            if error.code != errno.EBUSY:
                raise OSError(error.code, os.strerror(error.code)) from error
    raise OSError(errno.EBUSY, "the interfaces change too fast to be read")


async def _interfaces(netlink: AsyncIPRoute) -> Mapping[str, Interface]:
    addresses: dict[int, dict[Address, int]] = {}
    tentative: set[tuple[int, Address]] = set()
    async for message in await netlink.get_addr():
        text = message.get("local") or message.get("address")
        if text:
            address = ip_address(text)
            addresses.setdefault(message["index"], {})[address] = message["prefixlen"]
            if (message.get("flags") or 0) & (_TENTATIVE | _DAD_FAILED):
                tentative.add((message["index"], address))
    found = [_interface(link, addresses, tentative) async for link in await netlink.get_links()]
    return {interface.name: interface for interface in found}


def _interface(
    link: Any,
    addresses: Mapping[int, Mapping[Address, int]],
    tentative: Collection[tuple[int, Address]],
) -> Interface:
    index = link["index"]
    own = addresses.get(index, {})
    info = link.get("linkinfo")
    kind = (info.get("kind") if info else None) or ""
    data = info.get("data") if info else None
    mode = str(data.get("macvlan_mode") or "") if kind == "macvlan" and data else ""
    mac = link.get("address") or "00:00:00:00:00:00"
    return Interface(
        name=link.get("ifname"),
        index=index,
        mac=bytes.fromhex(mac.replace(":", "")),
        mtu=link.get("mtu"),
        up=bool(link["flags"] & _UP),
        kind=kind,
        macvlan_mode=mode,
        addresses=tuple(own),
        prefixes=own,
        tentative=tuple(address for address in own if (index, address) in tentative),
        carrier=link.get("carrier") != 0,
        flaps=link.get("carrier_changes") or 0,
        master=link.get("master") or 0,
    )


def state_now(name: str) -> str:
    """``up``, ``down`` or ``gone``, asked at once: what netlink says of it may still be on its way.

    See netdevice(7). Raises OSError.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            answer = fcntl.ioctl(asking, _SIOCGIFFLAGS, _IFREQ.pack(name.encode(), 0))
        except OSError as error:
            if error.errno == errno.ENODEV:
                return "gone"
            raise
    _, flags = _IFREQ.unpack(answer)
    return "up" if flags & _UP and flags & _RUNNING else "down"


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
