"""What can become of a director's interface: each change is made, and ends with the network able to
carry the VIP's traffic again. They leave the lab such that all can follow each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from dr_forwarder.lab import Lab, links
from dr_forwarder.lab.namespace import Namespace

AWAY_S = 1.0
"""So long the interface is away; checks fail meanwhile."""
_NO_DAD = 0x02


def _index(netlink: IPRoute, name: str) -> int:
    index: int = netlink.link_lookup(ifname=name)[0]
    return index


def _where(netlink: IPRoute) -> int:
    """Where the host has its addresses: eth0, or a VLAN of it."""
    names = {link.get("ifname"): int(link["index"]) for link in netlink.get_links()}
    tagged = [index for name, index in names.items() if name.startswith("eth0.")]
    return (*tagged, names["eth0"])[0]


def _set(name: str, **link: object) -> None:
    with IPRoute() as netlink:
        netlink.link("set", index=_index(netlink, name), **link)


def _eth0(lab: Lab, **link: object) -> None:
    lab.namespace("director").run(_set, "eth0", **link)


def _port(lab: Lab, **link: object) -> None:
    lab.namespace("switch").run(_set, "p-director", **link)


def put_addresses(lab: Lab) -> None:
    """Gives eth0 what it has lost; Linux takes IPv6 addresses away from a link that is set down."""
    host = lab.topology.director

    def put() -> None:
        with IPRoute() as netlink:
            index = _where(netlink)
            for each in host.interfaces:
                flags = {"flags": _NO_DAD} if each.version == 6 else {}
                address = {"address": str(each.ip), "prefixlen": each.network.prefixlen}
                with suppress(NetlinkError):  # it has it still
                    netlink.addr("add", index=index, **address, **flags)

    lab.namespace("director").run(put)


def lose_addresses(lab: Lab) -> None:
    def lose() -> None:
        with IPRoute() as netlink:
            netlink.flush_addr(index=_where(netlink))

    lab.namespace("director").run(lose)


def lose_interface(lab: Lab) -> None:
    def lose() -> None:
        with IPRoute() as netlink:
            netlink.link("del", index=_index(netlink, "eth0"))

    lab.namespace("director").run(lose)


def make_interface(lab: Lab) -> None:
    host, inside = lab.topology.director, lab.namespace("director")
    links.add_cable(lab.namespace("switch"), host, inside)
    links.add_addresses(inside, host)
    links.wait_until_forwarding(lab.namespace("switch"))


def set_down(lab: Lab) -> None:
    _eth0(lab, state="down")


def set_up(lab: Lab) -> None:
    _eth0(lab, state="up")
    put_addresses(lab)


def down_and_up(lab: Lab) -> None:
    set_down(lab)
    time.sleep(AWAY_S)
    set_up(lab)


def down_and_up_at_once(lab: Lab) -> None:
    set_down(lab)
    set_up(lab)


def unplug(lab: Lab) -> None:
    _port(lab, state="down")


def plug_in(lab: Lab) -> None:
    _port(lab, state="up")


def carrier_lost_and_back(lab: Lab) -> None:
    unplug(lab)
    time.sleep(AWAY_S)
    plug_in(lab)


def made_anew(lab: Lab) -> None:
    lose_interface(lab)
    time.sleep(AWAY_S)
    make_interface(lab)


def made_anew_at_once(lab: Lab) -> None:
    lose_interface(lab)
    make_interface(lab)


def renamed_and_back(lab: Lab) -> None:
    inside = lab.namespace("director")
    for before, after in (("eth0", "lan0"), ("lan0", "eth0")):
        inside.run(_set, before, state="down")
        inside.run(_set, before, ifname=after)
        inside.run(_set, after, state="up")
        time.sleep(AWAY_S)
    put_addresses(lab)


def another_mac(lab: Lab) -> None:
    def turn() -> None:
        with IPRoute() as netlink:
            index = _index(netlink, "eth0")
            (link,) = netlink.get_links(index)
            mac = bytearray.fromhex(link.get("address").replace(":", ""))
            mac[5] ^= 0x40
            netlink.link("set", index=index, address=mac.hex(":"))

    lab.namespace("director").run(turn)


def other_addresses(lab: Lab) -> None:
    lose_addresses(lab)
    time.sleep(AWAY_S)
    put_addresses(lab)


def longer_frames_and_back(lab: Lab) -> None:
    for mtu in (9000, 1500):
        _port(lab, mtu=mtu)
        _eth0(lab, mtu=mtu)
        time.sleep(AWAY_S)


def set_mtu(lab: Lab, mtu: int) -> None:
    """On every host and in the switch."""
    for host in lab.topology.hosts:
        lab.namespace("switch").run(_set, host.port, mtu=mtu)
        lab.namespace(host.name).run(_set, "eth0", mtu=mtu)


def make_macvlan(lab: Lab) -> None:
    """On top of the host's cable, by the name that the cable had."""
    host, inside = lab.topology.director, lab.namespace("director")

    def stack() -> None:
        with IPRoute() as netlink:
            below = _index(netlink, "eth0")
            netlink.link("set", index=below, ifname="below0")
            netlink.link("set", index=below, state="up")
            netlink.link("add", ifname="eth0", kind="macvlan", link=below, macvlan_mode="bridge")

    links.add_cable(lab.namespace("switch"), host, inside)
    inside.run(stack)
    links.add_addresses(inside, host)


def at_another_switch_and_back(lab: Lab) -> None:
    """The link comes back at another port of the network: two bridges, joined by a cable."""

    def join() -> None:
        with IPRoute() as netlink:
            if netlink.link_lookup(ifname="br1"):
                return
            netlink.link("add", ifname="br1", kind="bridge")
            netlink.link("add", ifname="i0", kind="veth", peer={"ifname": "i1"})
            for name, bridge in (("i0", "br0"), ("i1", "br1")):
                master = _index(netlink, bridge)
                netlink.link("set", index=_index(netlink, name), master=master, state="up")
            netlink.link("set", index=_index(netlink, "br1"), state="up")

    def move(to: str) -> None:
        with IPRoute() as netlink:
            port = _index(netlink, "p-director")
            netlink.link("set", index=port, master=0)
            netlink.link("set", index=port, master=_index(netlink, to), state="up")

    switch = lab.namespace("switch")
    switch.run(join)
    for bridge in ("br1", "br0"):
        set_down(lab)
        time.sleep(AWAY_S)
        switch.run(move, bridge)
        set_up(lab)
        time.sleep(AWAY_S)


def in_another_namespace_and_back(lab: Lab) -> None:
    with Namespace("elsewhere") as elsewhere:
        _eth0(lab, net_ns_fd=elsewhere.fd)
        time.sleep(AWAY_S)
        elsewhere.run(_set, "eth0", net_ns_fd=lab.namespace("director").fd)
        set_up(lab)


CHANGES: Mapping[str, Callable[[Lab], None]] = {
    each.__name__: each
    for each in (
        down_and_up,
        down_and_up_at_once,
        carrier_lost_and_back,
        made_anew,
        made_anew_at_once,
        renamed_and_back,
        another_mac,
        other_addresses,
        longer_frames_and_back,
        at_another_switch_and_back,
        in_another_namespace_and_back,
    )
}
