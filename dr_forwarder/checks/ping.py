"""Ping: an ICMP echo request, RFC 792 and RFC 4443."""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from dr_forwarder.checks.model import HindranceError, Target
from dr_forwarder.checksum import internet_checksum
from dr_forwarder.config.model import Address

_DATA_BYTES: Final = 64
_HEADER: Final = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence
_ROOM_BYTES: Final = 2048


@dataclass(frozen=True, slots=True)
class _Icmp:
    """What differs between the families."""

    family: socket.AddressFamily
    protocol: int
    request: int
    reply: int


_ICMP: Final = {
    4: _Icmp(socket.AF_INET, socket.IPPROTO_ICMP, request=8, reply=0),
    6: _Icmp(socket.AF_INET6, socket.IPPROTO_ICMPV6, request=128, reply=129),
}


async def check(target: Target) -> str:
    """Passes on the first reply; each of `checkcount` tries has `checktimeout`."""
    icmp = _ICMP[target.address.version]
    tries = target.check.ping_count
    with _open(icmp) as sock:
        identifier = _identifier(sock)
        sock.connect((str(target.address), 0))
        for sequence in range(1, tries):
            try:
                async with asyncio.timeout(target.check.check_timeout_s):
                    return await _echo(sock, icmp, target.address, identifier, sequence)
            except TimeoutError:
                pass
        # The last try lasts as long as the whole check may.
        return await _echo(sock, icmp, target.address, identifier, tries)


def _open(icmp: _Icmp) -> socket.socket:
    """A raw socket needs CAP_NET_RAW; a datagram one the sysctl net.ipv4.ping_group_range."""
    for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM):
        try:
            sock = socket.socket(icmp.family, kind, icmp.protocol)
        except PermissionError:
            continue
        sock.setblocking(False)
        return sock
    raise HindranceError("ping needs CAP_NET_RAW, or a group in net.ipv4.ping_group_range")


def _identifier(sock: socket.socket) -> int:
    if sock.type == socket.SOCK_RAW:
        return secrets.randbelow(0x10000)
    # The kernel writes the port of a datagram socket into the identifier.
    sock.bind(("", 0))
    port: int = sock.getsockname()[1]
    return port


async def _echo(
    sock: socket.socket, icmp: _Icmp, address: Address, identifier: int, sequence: int
) -> str:
    loop = asyncio.get_running_loop()
    data = secrets.token_bytes(_DATA_BYTES)
    await loop.sock_sendall(sock, _request(icmp, identifier, sequence, data))
    wanted = _HEADER.pack(icmp.reply, 0, 0, identifier, sequence) + data
    while True:
        packet, source = await loop.sock_recvfrom(sock, _ROOM_BYTES)
        # A raw socket sees all ICMP of its peer, on loopback our own requests too.
        if _is_reply(_message(sock, packet), wanted) and _is_from(source, address):
            return "ICMP echo reply"
        # What is there already is handed out without a turn of the event loop.
        await asyncio.sleep(0)


def _request(icmp: _Icmp, identifier: int, sequence: int, data: bytes) -> bytes:
    blank = _HEADER.pack(icmp.request, 0, 0, identifier, sequence) + data
    # ICMPv6 sums over addresses that only the kernel knows; it does so (RFC 3542 section 3.1).
    checksum = internet_checksum(blank) if icmp.family == socket.AF_INET else 0
    return _HEADER.pack(icmp.request, 0, checksum, identifier, sequence) + data


def _message(sock: socket.socket, packet: bytes) -> bytes:
    """The ICMP message: raw IPv4 sockets, and only they, hand out the IP header as well."""
    if sock.family == socket.AF_INET and sock.type == socket.SOCK_RAW and packet:
        return packet[(packet[0] & 0x0F) * 4 :]
    return packet


def _is_reply(message: bytes, wanted: bytes) -> bool:
    # All but the checksum, which the kernel has looked at.
    return message[:2] == wanted[:2] and message[4:] == wanted[4:]


def _is_from(source: tuple[str, int], address: Address) -> bool:
    return ip_address(source[0]) == address
