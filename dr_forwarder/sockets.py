"""Sockets: the AF_PACKET sockets a director needs, made while there is the privilege to."""

from __future__ import annotations

import ctypes
import logging
import socket
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address

from . import nd
from .addresses import Instruction, neighbour_filter
from .config.model import Address
from .errors import SetupError
from .fanout import by_client
from .interfaces import Interface
from .vlan import Vlan

_log = logging.getLogger(__name__)

SOL_PACKET = 263
_SO_ATTACH_FILTER = 26
_PACKET_ADD_MEMBERSHIP = 1
PACKET_IGNORE_OUTGOING = 23
_PACKET_FANOUT, _PACKET_FANOUT_DATA = 18, 22
_PACKET_FANOUT_CBPF = 6
_PACKET_FANOUT_FLAG_UNIQUEID, _PACKET_FANOUT_FLAG_IGNORE_OUTGOING = 0x2000, 0x4000
_PACKET_MR_MULTICAST, _PACKET_MR_UNICAST = 0, 3
_ETH_P_ALL = 0x0003
_INSTRUCTION = struct.Struct("HBBI")


@dataclass(frozen=True, slots=True)
class RingSockets:
    """One worker's: frames up to an MTU, those joined by offloads, and what is sent."""

    small: socket.socket
    large: socket.socket
    send: socket.socket


@dataclass(frozen=True, slots=True)
class Sockets:
    """Three for each worker, one for ARP, one for this host itself; all closed together."""

    rings: tuple[RingSockets, ...]
    arp: socket.socket
    """ARP and neighbour discovery, heard and sent."""
    local: socket.socket
    """To a real server that is this host: sends on lo, hears nothing."""

    def close(self) -> None:
        """Closes all; the rings must be gone."""
        of_rings = (each for ring in self.rings for each in (ring.small, ring.large, ring.send))
        for each in (*of_rings, self.arp, self.local):
            each.close()


def open_sockets(workers: int = 1) -> Sockets:
    """Needs CAP_NET_RAW, and is all that does. Raises SetupError."""
    made: list[socket.socket] = []
    try:
        for _ in range(3 * workers + 2):
            made.append(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
    except PermissionError as error:
        for each in made:
            each.close()
        raise SetupError(
            "cannot open packet sockets: CAP_NET_RAW is missing; run as root, or give it: docker"
            " run --cap-add NET_RAW, systemd AmbientCapabilities=CAP_NET_RAW, or setcap"
            " cap_net_raw+ep on the Python interpreter"
        ) from error
    arp, local, *others = made
    rings = tuple(RingSockets(*others[i : i + 3]) for i in range(0, len(others), 3))
    return Sockets(rings, arp, local)


def attach_filter(where: socket.socket, program: Sequence[Instruction]) -> None:
    """Replaces the socket's filter at once; no frame meets none or half of one."""
    _give_program(where, socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def _give_program(
    where: socket.socket, level: int, option: int, program: Sequence[Instruction]
) -> None:
    code = b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    where.setsockopt(level, option, struct.pack("HL", len(program), ctypes.addressof(buffer)))


def share(sockets: Sequence[socket.socket]) -> None:
    """Gives each frame to one of these bound sockets, all of one client to the same (packet(7)).

    Frames that this host sends come to none. Raises OSError.
    """
    how = _PACKET_FANOUT_CBPF | _PACKET_FANOUT_FLAG_IGNORE_OUTGOING
    first = sockets[0]
    first.setsockopt(SOL_PACKET, _PACKET_FANOUT, (how | _PACKET_FANOUT_FLAG_UNIQUEID) << 16)
    group = first.getsockopt(SOL_PACKET, _PACKET_FANOUT) & 0xFFFF
    for each in sockets[1:]:
        each.setsockopt(SOL_PACKET, _PACKET_FANOUT, how << 16 | group)
    _give_program(first, SOL_PACKET, _PACKET_FANOUT_DATA, by_client())


def receive_mac(where: socket.socket, interface: Interface, mac: bytes) -> None:
    """Makes the interface let frames for this MAC address, or group, in."""
    kind = _PACKET_MR_MULTICAST if mac[0] & 1 else _PACKET_MR_UNICAST
    request = struct.pack("iHH8s", interface.index, kind, len(mac), mac)
    where.setsockopt(SOL_PACKET, _PACKET_ADD_MEMBERSHIP, request)


def listen_to_neighbours(where: socket.socket, interface: Interface, vlan: Vlan) -> None:
    """Makes this the socket that hears, and sends, ARP and neighbour discovery."""
    where.setblocking(False)
    where.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    attach_filter(where, neighbour_filter(vlan))
    where.bind((interface.name, _ETH_P_ALL))


def join_groups(vips: Collection[Address], interface: Interface) -> socket.socket:
    """Joins the solicited-node groups of IPv6 VIPs, so that snooping switches send them here.

    An ordinary socket that must stay open; a host without IPv6 on the interface does without.
    """
    joined = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    for vip in vips:
        if isinstance(vip, IPv6Address):
            request = nd.solicited_node(vip).packed + struct.pack("I", interface.index)
            try:
                joined.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
            except OSError as error:
                _log.warning("%s: cannot join the group of %s: %s", interface.name, vip, error)
    return joined
