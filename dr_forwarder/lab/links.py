"""Links: bridge, cables and addresses of a lab, by netlink. The one user of pyroute2 here.

Each function takes the namespace it works in, opens netlink in that namespace's thread and closes
it again: no socket is left behind, and a running event loop in the caller's thread is no concern.
"""

from __future__ import annotations

import time
from ipaddress import IPv6Address

# pyroute2 ships neither stubs nor py.typed; what leaves this module is typed.
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from dr_forwarder.lab.errors import LabError, LabUnavailable
from dr_forwarder.lab.namespace import Namespace
from dr_forwarder.lab.topology import Address, Host

_LOOPBACK = 1
_BRIDGE = "br0"
_PORT_STATE = ("IFLA_LINKINFO", "IFLA_INFO_SLAVE_DATA", "IFLA_BRPORT_STATE")
_FORWARDING = 3  # BR_STATE_FORWARDING, linux/if_bridge.h
_NO_DAD = 0x02  # IFA_F_NODAD: usable at once, without a second of duplicate detection
_PATIENCE_S = 5.0
_PAUSE_S = 0.005


def add_bridge(switch: Namespace) -> None:
    """Make the switch: a bridge as the kernel makes them."""
    switch.run(_add_bridge)


def add_cable(switch: Namespace, host: Host, inside: Namespace) -> None:
    """Join a host to the switch: ``eth0`` in the host, ``p-<name>`` on the bridge."""
    switch.run(_add_cable, host, inside.fd)


def add_addresses(inside: Namespace, host: Host) -> None:
    """Bring up ``lo`` and ``eth0`` and give ``eth0`` the host's addresses."""
    inside.run(_add_addresses, host)


def add_vip(inside: Namespace, vip: Address) -> None:
    """Give ``lo`` the virtual address alone, without a network (/32, /128)."""
    inside.run(_change_vip, "add", vip)


def remove_vip(inside: Namespace, vip: Address) -> None:
    """Take the virtual address from ``lo`` again."""
    inside.run(_change_vip, "del", vip)


def wait_until_forwarding(switch: Namespace) -> None:
    """Wait until every port of the bridge forwards, so that the first frame is not lost."""
    switch.run(_wait_until_forwarding)


def statistics(inside: Namespace, interface: str = "eth0") -> dict[str, int]:
    """Read the interface's counters (IFLA_STATS64): rx_packets, tx_bytes and so on."""
    return inside.run(_statistics, interface)


def _add_bridge() -> None:
    with IPRoute() as netlink:
        _make(netlink, ifname=_BRIDGE, kind="bridge")
        netlink.link("set", index=_index(netlink, _BRIDGE), state="up")


def _add_cable(host: Host, namespace_fd: int) -> None:
    with IPRoute() as netlink:
        peer = {"ifname": "eth0", "address": host.mac, "net_ns_fd": namespace_fd}
        _make(netlink, ifname=host.port, address=host.port_mac, kind="veth", peer=peer)
        bridge, port = _index(netlink, _BRIDGE), _index(netlink, host.port)
        netlink.link("set", index=port, master=bridge, state="up")


def _make(netlink: IPRoute, **link: object) -> None:
    try:
        netlink.link("add", **link)
    except NetlinkError as error:
        raise LabUnavailable(
            f"the kernel does not make a {link['kind']} ({error.args[-1]})",
            cure=f"load it once as root: modprobe {link['kind']}",
        ) from error


def _add_addresses(host: Host) -> None:
    with IPRoute() as netlink:
        eth0 = _index(netlink, "eth0")
        netlink.link("set", index=_LOOPBACK, state="up")
        netlink.link("set", index=eth0, state="up")
        for interface in host.interfaces:
            netlink.addr(
                "add",
                index=eth0,
                address=str(interface.ip),
                prefixlen=interface.network.prefixlen,
                **_flags(interface.ip),
            )


def _change_vip(command: str, vip: Address) -> None:
    with IPRoute() as netlink:
        netlink.addr(
            command,
            index=_LOOPBACK,
            address=str(vip),
            prefixlen=vip.max_prefixlen,
            **_flags(vip),
        )


def _flags(address: Address) -> dict[str, int]:
    return {"flags": _NO_DAD} if isinstance(address, IPv6Address) else {}


def _index(netlink: IPRoute, name: str) -> int:
    index: int = netlink.link_lookup(ifname=name)[0]
    return index


def _wait_until_forwarding() -> None:
    until = time.monotonic() + _PATIENCE_S
    with IPRoute() as netlink:
        while waiting := _ports_not_forwarding(netlink):
            if time.monotonic() > until:
                raise LabError(f"ports of the switch do not come up: {', '.join(waiting)}")
            time.sleep(_PAUSE_S)


def _ports_not_forwarding(netlink: IPRoute) -> list[str]:
    bridge = _index(netlink, _BRIDGE)
    ports = (link for link in netlink.get_links() if link.get("master") == bridge)
    return [port.get("ifname") for port in ports if port.get_nested(*_PORT_STATE) != _FORWARDING]


def _statistics(interface: str) -> dict[str, int]:
    with IPRoute() as netlink:
        (link,) = netlink.get_links(ifname=interface)
        counters: dict[str, int] = dict(link.get("stats64"))
        return counters
