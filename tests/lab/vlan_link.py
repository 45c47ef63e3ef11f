"""A VLAN sub-interface for a lab's host: the kernel's own kind, or one made of a veth and eBPF.

Not every kernel has the module 8021q. A veth's peer, and two programs of a few instructions that
put the tag in and take it out as that module does (into and out of the packet's metadata, offloads
and all), behave alike.
"""

from __future__ import annotations

import os
import socket

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from dr_forwarder import bpf
from dr_forwarder.ebpf import EXIT, Instruction, call, copy, move
from dr_forwarder.lab.namespace import Namespace
from dr_forwarder.lab.topology import Host
from dr_forwarder.vlan import Vlan

_VLAN_PUSH, _VLAN_POP, _REDIRECT = 18, 19, 23
_CUSTOMER_TAG, _SERVICE_TAG = 0x8100, 0x88A8
_INGRESS = 1  # BPF_F_INGRESS
_VLAN_TCI = 24  # offset in struct __sk_buff


class NoVlanError(Exception):
    """Neither way is open here; the text says what was refused."""


def move_into_vlan(inside: Namespace, host: Host, vlan: Vlan) -> None:
    """Gives ``eth0.<vlan>`` the addresses that ``eth0`` has had."""
    inside.run(_move, host, vlan)


def _move(host: Host, tags: Vlan) -> None:
    with IPRoute() as netlink:
        eth0 = netlink.link_lookup(ifname="eth0")[0]
        name = f"eth0.{tags}"
        try:
            _stack(netlink, eth0, name, tags)
        except NetlinkError:
            _imitate(netlink, host, eth0, name, tags)
        vlan = netlink.link_lookup(ifname=name)[0]
        netlink.link("set", index=vlan, state="up")
        for each in host.interfaces:
            address = {"address": str(each.ip), "prefixlen": each.network.prefixlen}
            netlink.addr("del", index=eth0, **address)
            flags = {"flags": 2} if each.version == 6 else {}  # IFA_F_NODAD
            netlink.addr("add", index=vlan, **address, **flags)


def _stack(netlink: IPRoute, eth0: int, name: str, tags: Vlan) -> None:
    below, *outer = eth0, *tags.identifiers[:-1]
    for identifier in outer:
        service_tag = {"kind": "vlan", "vlan_id": identifier, "vlan_protocol": _SERVICE_TAG}
        netlink.link("add", ifname=f"eth0.{identifier}", link=below, **service_tag)
        below = netlink.link_lookup(ifname=f"eth0.{identifier}")[0]
        netlink.link("set", index=below, state="up")
    netlink.link("add", ifname=name, kind="vlan", link=below, vlan_id=tags.identifiers[-1])


def _imitate(netlink: IPRoute, host: Host, eth0: int, name: str, tags: Vlan) -> None:
    peer = "uplink"
    netlink.link("add", ifname=name, address=host.mac, kind="veth", peer={"ifname": peer})
    vlan, up = netlink.link_lookup(ifname=name)[0], netlink.link_lookup(ifname=peer)[0]
    netlink.link("set", index=up, state="up")
    _attach(_push(tags, eth0), up)
    _attach(_pop(tags, vlan), eth0)


# ---- eBPF ----

_CONTEXT, _KEEP_CONTEXT = copy(1, 6), copy(6, 1)


def _redirect(index: int, flags: int) -> tuple[Instruction, ...]:
    return (move(1, index), move(2, flags), call(_REDIRECT), EXIT)


def _push(tags: Vlan, to: int) -> tuple[Instruction, ...]:
    """Whatever the host sends gets the tags, the inner one first, and leaves by ``eth0``."""
    types = (_CUSTOMER_TAG, _SERVICE_TAG)
    program: list[Instruction] = [_KEEP_CONTEXT]
    for kind, identifier in zip(types, reversed(tags.identifiers), strict=False):
        program += [_CONTEXT, move(2, socket.htons(kind)), move(3, identifier)]
        program += [call(_VLAN_PUSH)]
    return (*program, *_redirect(to, 0))


def _pop(tags: Vlan, to: int) -> tuple[Instruction, ...]:
    """Frames of the VLAN lose their tags and come in by its interface; others go on.

    The next tag is in the metadata once the outer one is popped.
    """
    program: list[Instruction] = [_KEEP_CONTEXT]
    for identifier in tags.identifiers:
        program += [
            (0x61, 2, 6, _VLAN_TCI, 0),
            (0x57, 2, 0, 0, 0xFFF),
            (0x15, 2, 0, 2, identifier),
            move(0, -1),  # TCX_NEXT
            EXIT,
            _CONTEXT,
            call(_VLAN_POP),
        ]
    return (*program, *_redirect(to, _INGRESS))


def _attach(program: tuple[Instruction, ...], index: int) -> None:
    """The link lives as long as this process: its descriptor is never closed."""
    try:
        descriptor = bpf.load(bpf.SCHED_CLS, program)
        bpf.link(descriptor, index, bpf.TCX_INGRESS)
    except OSError as error:
        raise NoVlanError(f"no 8021q here, and bpf(2) says: {error}") from error
    os.close(descriptor)
