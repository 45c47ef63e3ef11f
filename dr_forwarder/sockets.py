"""Sockets: the AF_PACKET sockets a director needs, made while there is the privilege to."""

from __future__ import annotations

import ctypes
import logging
import socket
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
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
_PACKET_ADD_MEMBERSHIP, _PACKET_DROP_MEMBERSHIP = 1, 2
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

    def close_rings(self) -> None:
        """Closes those of the workers; the rings must be gone."""
        for ring in self.rings:
            for each in (ring.small, ring.large, ring.send):
                each.close()

    def close(self) -> None:
        """Closes all; the rings must be gone."""
        self.close_rings()
        self.arp.close()
        self.local.close()


def open_sockets(workers: int = 1) -> Sockets:
    """Needs CAP_NET_RAW, and is all that does. Raises SetupError."""
    arp, local, *others = _packet_sockets(3 * workers + 2)
    return Sockets(_rings(others), arp, local)


def renewed(sockets: Sockets) -> Sockets:
    """With fresh sockets for the rings, and the same others; raises SetupError, OSError.

    One that shares frames with others cannot be bound to another interface (packet(7)).
    """
    return replace(sockets, rings=_rings(_packet_sockets(3 * len(sockets.rings))))


def _packet_sockets(count: int) -> list[socket.socket]:
    made: list[socket.socket] = []
    try:
        for _ in range(count):
            made.append(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
    except OSError as error:
        for each in made:
            each.close()
        if not isinstance(error, PermissionError):
            raise
        raise SetupError(
            "cannot open packet sockets: CAP_NET_RAW is missing; run as root, or give it: docker"
            " run --cap-add NET_RAW, systemd AmbientCapabilities=CAP_NET_RAW, or sudo setpriv"
            " --reuid=$USER --init-groups --inh-caps=+net_raw --ambient-caps=+net_raw dr-forwarder"
            " run ..."
        ) from error
    return made


def _rings(sockets: Sequence[socket.socket]) -> tuple[RingSockets, ...]:
    return tuple(RingSockets(*sockets[i : i + 3]) for i in range(0, len(sockets), 3))


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
    _membership(_PACKET_ADD_MEMBERSHIP, where, interface, mac)


def _membership(option: int, where: socket.socket, interface: Interface, mac: bytes) -> None:
    kind = _PACKET_MR_MULTICAST if mac[0] & 1 else _PACKET_MR_UNICAST
    request = struct.pack("iHH8s", interface.index, kind, len(mac), mac)
    where.setsockopt(SOL_PACKET, option, request)


def listen_to_neighbours(where: socket.socket, interface: Interface, vlan: Vlan) -> None:
    """Makes this the socket that hears, and sends, ARP and neighbour discovery."""
    where.setblocking(False)
    where.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    attach_filter(where, neighbour_filter(vlan))
    where.bind((interface.name, _ETH_P_ALL))


class Groups:
    """The solicited-node groups of IPv6 VIPs, which must reach this host (RFC 4291 section 2.7.1).

    The packet socket has the interface let them in. An ordinary one has the kernel report them
    (MLD), so that snooping switches send them here; a host without IPv6 there does without.
    """

    def __init__(self, packet: socket.socket, interface: Interface, kernel: Interface) -> None:
        self._packet = packet
        self._interface = interface
        self._kernel = kernel
        self._reporting: socket.socket | None = None
        self._joined: set[IPv6Address] = set()

    def be_in_those_of(self, vips: Collection[Address]) -> None:
        """Joins what is new and leaves what is gone; raises OSError."""
        wanted = {nd.solicited_node(vip) for vip in vips if isinstance(vip, IPv6Address)}
        for group in sorted(self._joined - wanted):
            _membership(_PACKET_DROP_MEMBERSHIP, self._packet, self._interface, nd.group_mac(group))
            self._report(socket.IPV6_LEAVE_GROUP, group)
            self._joined.discard(group)
        for group in sorted(wanted - self._joined):
            receive_mac(self._packet, self._interface, nd.group_mac(group))
            self._report(socket.IPV6_JOIN_GROUP, group)
            self._joined.add(group)

    def _report(self, option: int, group: IPv6Address) -> None:
        request = group.packed + struct.pack("I", self._kernel.index)
        try:
            if self._reporting is None:
                self._reporting = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            self._reporting.setsockopt(socket.IPPROTO_IPV6, option, request)
        except OSError as error:
            if option == socket.IPV6_JOIN_GROUP:
                _log.warning("%s: cannot join the group %s: %s", self._kernel.name, group, error)

    def close(self) -> None:
        """Leaves all that the kernel reports; the packet socket's go with that."""
        if self._reporting is not None:
            self._reporting.close()
