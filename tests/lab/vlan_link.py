"""A VLAN sub-interface for a lab's host: the kernel's own kind, or one made of a veth and eBPF.

Not every kernel has the module 8021q. A veth's peer, and two programs of a few instructions that
put the tag in and take it out as that module does (into and out of the packet's metadata, offloads
and all), behave alike.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from dr_forwarder.lab.namespace import Namespace
from dr_forwarder.lab.topology import Host
from dr_forwarder.vlan import Vlan

_SYS_BPF = 321  # x86-64; elsewhere 280
_PROG_LOAD, _LINK_CREATE = 5, 28
_SCHED_CLS, _TCX_INGRESS = 3, 46
_VLAN_PUSH, _VLAN_POP, _REDIRECT = 18, 19, 23
_CUSTOMER_TAG, _SERVICE_TAG = 0x8100, 0x88A8
_INGRESS = 1  # BPF_F_INGRESS
_VLAN_TCI = 24  # offset in struct __sk_buff

Instruction = tuple[int, int, int, int, int]


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


# ---- eBPF (Documentation/bpf/standardization/instruction-set.rst) ----


def _move32(register: int, value: int) -> Instruction:
    return (0xB4, register, 0, 0, value)


def _call(helper: int) -> Instruction:
    return (0x85, 0, 0, 0, helper)


_EXIT: Instruction = (0x95, 0, 0, 0, 0)
_KEEP_CONTEXT: Instruction = (0xBF, 6, 1, 0, 0)
_CONTEXT: Instruction = (0xBF, 1, 6, 0, 0)


def _redirect(index: int, flags: int) -> tuple[Instruction, ...]:
    return (_move32(1, index), _move32(2, flags), _call(_REDIRECT), _EXIT)


def _push(tags: Vlan, to: int) -> tuple[Instruction, ...]:
    """Whatever the host sends gets the tags, the inner one first, and leaves by ``eth0``."""
    types = (_CUSTOMER_TAG, _SERVICE_TAG)
    program: list[Instruction] = [_KEEP_CONTEXT]
    for kind, identifier in zip(types, reversed(tags.identifiers), strict=False):
        program += [_CONTEXT, _move32(2, socket.htons(kind)), _move32(3, identifier)]
        program += [_call(_VLAN_PUSH)]
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
            _move32(0, -1),  # TCX_NEXT
            _EXIT,
            _CONTEXT,
            _call(_VLAN_POP),
        ]
    return (*program, *_redirect(to, _INGRESS))


def _bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    libc = ctypes.CDLL(None, use_errno=True)
    number = _SYS_BPF if os.uname().machine == "x86_64" else 280
    result = int(libc.syscall(number, command, buffer, len(attributes)))
    if result < 0:
        raise NoVlanError(f"no 8021q here, and bpf(2) says: {os.strerror(ctypes.get_errno())}")
    return result


def _attach(program: tuple[Instruction, ...], index: int) -> None:
    """The link lives as long as this process: its descriptor is never closed."""
    code = b"".join(
        struct.pack("<BBhi", op, target | source << 4, offset, value)
        for op, target, source, offset, value in program
    )
    instructions = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"MIT")
    load = struct.pack(
        "<IIQQ",
        _SCHED_CLS,
        len(program),
        ctypes.addressof(instructions),
        ctypes.addressof(licence),
    )
    descriptor = _bpf(_PROG_LOAD, load.ljust(72, b"\0"))
    _bpf(_LINK_CREATE, struct.pack("<IIII", descriptor, index, _TCX_INGRESS, 0).ljust(48, b"\0"))
    os.close(descriptor)
