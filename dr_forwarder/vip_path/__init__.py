"""VIP path: TCP connections of the director's own to a VIP at a real server's MAC address.

This is the way of the clients' packets, which no ordinary socket can take: the kernel would ask the
network for the VIP's MAC address, which is the director's. So the frames are made here. What comes
back is for the host's own address, and its kernel would answer what it does not know with a RST;
a listening socket at that port, which takes nothing that has less than the highest TTL, keeps it
quiet.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from typing import Final

from ..addresses import answers_filter
from ..config.model import Address
from ..errors import SetupError
from ..sockets import PACKET_IGNORE_OUTGOING, SOL_PACKET, attach_filter
from ..survey import Place
from ..turns import Turns
from ..vlan import Vlan
from .connection import Connection
from .segments import Ends, Segment, frame, header_bytes, parse

_log = logging.getLogger(__name__)

_ETH_P_ALL: Final = 0x0003
_FRAME_BYTES: Final = 128 * 1024
"""Offloads join many segments to one."""
_REFUSE_ALL: Final = ((0x06, 0, 0, 0),)
_IP_MINTTL, _IPV6_MINHOPCOUNT = 21, 73
_HIGHEST_TTL: Final = 255

Port = tuple[int, int]
"""The IP version, and ours."""


class VipPath:
    """All of one director, over one packet socket, which is open only while there is a need."""

    def __init__(self, vlan: Vlan, mac_of: Callable[[Address], bytes | None]) -> None:
        self._vlan = vlan
        self._mac_of = mac_of
        self._place: Place | None = None
        self._socket: socket.socket | None = None
        self._hearing: Turns | None = None
        self._learnt = asyncio.Event()
        self._connections: dict[Port, tuple[Ends, Connection]] = {}

    def update(self, place: Place, vips: Collection[Address]) -> None:
        """Where it is, and the VIPs that are asked for; raises SetupError without CAP_NET_RAW."""
        self._place = place
        if not vips:
            self.close()
            return
        if self._socket is None:
            self._socket = _open()
        attach_filter(self._socket, answers_filter(place.interface.mac, vips, self._vlan))
        self._socket.bind((place.interface.name, _ETH_P_ALL))
        if self._hearing is None:
            self._hearing = Turns(
                self._socket, self._receive, room=_FRAME_BYTES, name="Checks through VIPs"
            )

    def close(self) -> None:
        """Ends every connection."""
        for _, connection in tuple(self._connections.values()):
            connection.abort()
        if self._hearing is not None:
            self._hearing.close()
            self._hearing = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def learnt(self) -> None:
        """A MAC address is known that was not."""
        self._learnt.set()

    async def mac(self, server: Address) -> bytes:
        """The server's MAC address, once it is known."""
        while (mac := self._mac_of(server)) is None:
            self._learnt.clear()
            await self._learnt.wait()
        return mac

    async def connect(self, server: Address, vip: Address, port: int) -> asyncio.Transport:
        """A connection to the VIP at this real server, or OSError; close it.

        A server that is this host has the VIP in its own kernel, and is asked there.
        """
        assert self._place is not None
        if server in self._place.local:
            loop = asyncio.get_running_loop()
            local, _ = await loop.create_connection(asyncio.Protocol, str(vip), port)
            return local
        ends = Ends(
            source_mac=self._place.interface.mac,
            destination_mac=await self.mac(server),
            source=self._place.sources[server],
            destination=vip,
            source_port=0,
            destination_port=port,
        )
        connection = self._begin(ends, self._most(self._place, server))
        try:
            await connection.opened
        except BaseException:
            connection.abort()
            raise
        return connection

    def _most(self, place: Place, server: Address) -> int:
        return place.mtus.get(server, place.interface.mtu) - header_bytes(server.version)

    def _begin(self, ends: Ends, most: int) -> Connection:
        quiet = _quiet_port(ends.source)
        ends = replace(ends, source_port=quiet.getsockname()[1])
        key = (ends.source.version, ends.source_port)

        def on_end() -> None:
            del self._connections[key]
            quiet.close()

        # Heard of before the answer comes: a turn of the event loop is in between.
        connection = Connection(most=most, send=partial(self._send, ends), on_end=on_end)
        self._connections[key] = ends, connection
        return connection

    def _send(self, ends: Ends, segment: Segment) -> None:
        if self._socket is None:
            return
        # What cannot be sent now is said again, like what was lost.
        with contextlib.suppress(OSError):
            self._socket.send(self._vlan.tag(frame(ends, segment)))

    def _receive(self, data: bytes) -> None:
        heard = parse(self._vlan.untag(data))
        if heard is not None:
            self._heard(*heard)

    def _heard(self, ends: Ends, segment: Segment) -> None:
        known = self._connections.get((ends.destination.version, ends.destination_port))
        if known is None:
            return
        ours, connection = known
        who = (ours.destination, ours.destination_port, ours.source)
        if (ends.source, ends.source_port, ends.destination) == who:
            connection.heard(segment)


def _open() -> socket.socket:
    try:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    except PermissionError as error:
        raise SetupError("check_through_vip needs CAP_NET_RAW while running") from error
    made.setblocking(False)
    made.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    return made


def _quiet_port(source: Address) -> socket.socket:
    """A port at which the kernel answers nothing.

    It drops what comes with a lower TTL than who listens asks for (RFC 5082), and every system
    but a few begins with 64 or 128. A filter drops all, but some kernels (seen with Linux 6.18)
    want CAP_NET_ADMIN for one on a TCP socket.
    """
    is_ipv6 = source.version == 6
    made = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if is_ipv6:
            made.setsockopt(socket.IPPROTO_IPV6, _IPV6_MINHOPCOUNT, _HIGHEST_TTL)
        else:
            made.setsockopt(socket.IPPROTO_IP, _IP_MINTTL, _HIGHEST_TTL)
        with contextlib.suppress(PermissionError):
            attach_filter(made, _REFUSE_ALL)
        made.bind((str(source), 0))
        made.listen(1)
    except BaseException:
        made.close()
        raise
    return made
