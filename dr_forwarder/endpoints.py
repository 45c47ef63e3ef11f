"""Endpoints: an address with a port, and how it is written. Pure; imports next to nothing."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address


def endpoint(address: Address, port: int) -> str:
    """``address:port`` as ipvsadm writes it, IPv6 in brackets."""
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
