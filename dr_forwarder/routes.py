"""Routes: which way the kernel would take to each of many addresses. Asks, and changes nothing.

By netlink (rtnetlink(7), RTM_GETROUTE), many questions in one message: ten thousand real servers
are asked for at every start and reload.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from .config.model import Address
from .errors import NotYet, SetupError

_REQUEST = 1
_GETROUTE, _NEWROUTE, _ERROR = 26, 24, 2
_TO, _INTERFACE, _GATEWAY, _SOURCE, _METRICS, _VIA = 1, 4, 5, 7, 8, 18
_METRIC_MTU = 2
_UNICAST, _LOCAL = 1, 2
_AT_ONCE = 64
"""Their answers fit into a socket's buffer of the default size."""
_ROOM = 64 * 1024

_HEADER = struct.Struct("=IHHII")
_ROUTE = struct.Struct("=BBBBBBBBI")
_ATTRIBUTE = struct.Struct("=HH")


@dataclass(frozen=True, slots=True)
class Route:
    """What the kernel would do with a packet to an address."""

    kind: int = 0
    """As rtnetlink numbers them: unicast, local, broadcast ..."""
    interface_index: int = 0
    gateway: Address | None = None
    source: Address | None = None
    """What the host calls itself towards that address."""
    mtu: int = 0
    """Of this route, bytes; 0: it sets none."""
    errno: int = 0
    """Why there is none."""

    @property
    def local(self) -> bool:
        """The kernel takes packets to this address for its own."""
        return self.kind == _LOCAL

    @property
    def blackholed(self) -> bool:
        """The kernel drops what it would forward to this address."""
        return self.errno == errno.EINVAL


@dataclass(frozen=True, slots=True)
class OnLink:
    """An address that is reached without a router."""

    interface_index: int
    source: Address
    """What the host calls itself towards that address."""
    mtu: int = 0
    """Of this route, bytes; 0: it sets none."""
    local: bool = False
    """An address of this host itself."""


def look_up(addresses: Sequence[Address]) -> Mapping[Address, Route]:
    """The route to each; raises OSError if netlink fails."""
    found: dict[Address, Route] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.bind((0, 0))
        for first in range(0, len(addresses), _AT_ONCE):
            asked = addresses[first : first + _AT_ONCE]
            netlink.send(b"".join(_question(each, number) for number, each in enumerate(asked)))
            left = len(asked)
            while left:
                for number, route in _answers(netlink.recv(_ROOM)):
                    found[asked[number]] = route
                    left -= 1
    return found


def on_link(address: Address, route: Route) -> OnLink:
    """The way to a real server; raises SetupError when it is not on the same segment.

    NotYet when there is no way at all, as before the interface has its address.
    """
    if route.errno:
        no_route = route.errno == errno.ENETUNREACH
        reason = "no route" if no_route else "its route refuses packets"
        kind = NotYet if no_route else SetupError
        raise kind(
            f"real server {address} cannot be reached: {reason}; direct routing needs it on the"
            " same segment: give this host an address in its network"
        )
    if route.gateway:
        raise SetupError(
            f"real server {address} is not on the same segment: it is reached through router"
            f" {route.gateway}; direct routing rewrites MAC addresses and cannot cross a router"
        )
    if route.local:
        return OnLink(route.interface_index, address, local=True)
    if route.kind != _UNICAST:
        raise SetupError(f"real server {address} is no unicast address of a neighbour")
    unspecified = IPv4Address(0) if address.version == 4 else IPv6Address(0)
    return OnLink(route.interface_index, route.source or unspecified, route.mtu)


# ---- Messages ----


def _question(address: Address, number: int) -> bytes:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    packed = address.packed
    body = _ROUTE.pack(family, len(packed) * 8, 0, 0, 0, 0, 0, 0, 0)
    body += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(packed), _TO) + packed
    return _HEADER.pack(_HEADER.size + len(body), _GETROUTE, _REQUEST, number, 0) + body


def _answers(data: bytes) -> Iterator[tuple[int, Route]]:
    """The number of each question, and what the kernel says."""
    while len(data) >= _HEADER.size:
        length, kind, _, number, _ = _HEADER.unpack_from(data)
        body = data[_HEADER.size : length]
        if kind == _ERROR:
            yield number, Route(errno=-struct.unpack_from("=i", body)[0])
        elif kind == _NEWROUTE:
            yield number, _route(body)
        else:
            raise OSError(errno.EPROTO, os.strerror(errno.EPROTO))
        data = data[_aligned(length) :]


def _route(body: bytes) -> Route:
    kind = _ROUTE.unpack_from(body)[7]
    told = dict(_attributes(body[_ROUTE.size :]))
    metrics = dict(_attributes(told.get(_METRICS, b"")))
    gateway = told.get(_GATEWAY) or told.get(_VIA, b"")[2:]  # the family stands before a via
    return Route(
        kind=kind,
        interface_index=_number(told.get(_INTERFACE)),
        gateway=ip_address(gateway) if gateway else None,
        source=ip_address(told[_SOURCE]) if _SOURCE in told else None,
        mtu=_number(metrics.get(_METRIC_MTU)),
    )


def _number(value: bytes | None) -> int:
    return int.from_bytes(value or b"", sys.byteorder)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        yield kind, data[_ATTRIBUTE.size : length]
        data = data[_aligned(max(length, _ATTRIBUTE.size)) :]


def _aligned(length: int) -> int:
    return length + 3 & ~3
