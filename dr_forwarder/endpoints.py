"""Endpoints: an address with a port, and how it is written. Pure; imports next to nothing."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address


def endpoint(address: Address, port: int) -> str:
    """``address:port`` as ipvsadm writes it, IPv6 in brackets."""
    return f"{bracketed(address)}:{port}"


def bracketed(address: Address) -> str:
    """An address as it stands before a port: IPv6 in brackets."""
    return f"[{address}]" if address.version == 6 else str(address)
