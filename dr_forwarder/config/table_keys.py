"""Table keys: the table's service and server for those of a configuration. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from .. import flags
from ..flags import NO_FLAGS, ServiceFlag
from ..table import HOST_MASK, Drain, Key, Server, Service
from .model import Address, Real, Virtual


def service_of(virtual: Virtual) -> Service:
    """The table's service for a virtual service of the configuration."""
    return Service(
        key=key_of(virtual),
        scheduler=virtual.scheduler,
        persistent_s=virtual.persistent_s,
        mask=_mask(virtual),
        flags=_flags(virtual),
        slow_start_s=virtual.slow_start_s,
    )


def key_of(virtual: Virtual) -> Key:
    """What the table knows a service by."""
    if virtual.address is not None:
        return Key(virtual.protocol, virtual.address, virtual.port)
    number = virtual.fwmark
    return Key("fwm", IPv6Address(number) if virtual.ipv6 else IPv4Address(number), 0)


def _flags(virtual: Virtual) -> ServiceFlag:
    chosen = NO_FLAGS
    if virtual.scheduler_flags is not None:
        chosen = flags.parse(virtual.scheduler_flags, scheduler=virtual.scheduler)
    return chosen | ServiceFlag.ONE_PACKET if virtual.one_packet else chosen


def _mask(virtual: Virtual) -> Address:
    """The netmask as written: a dotted quad, or for IPv6 a prefix length."""
    if not virtual.ipv6:
        return HOST_MASK if virtual.netmask is None else IPv4Address(virtual.netmask)
    prefix = 128 if virtual.netmask is None else int(virtual.netmask)
    return IPv6Address((1 << 128) - (1 << 128 - prefix))


def server_of(virtual: Virtual, real: Real, *, weight: int, drain: Drain = Drain.NONE) -> Server:
    """In direct routing a frame's port is not rewritten, so a server has the service's port.

    That of a mark, which has none, keeps its own, as under ipvsadm.
    """
    port = real.port if virtual.address is None else virtual.port
    return Server(real.address, port, weight, real.upper, real.lower, drain)
