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


def split(text: str) -> tuple[str, int | None]:
    """Parts ``10.0.0.9:80``, ``[::1]:80``, ``::1``, ``:80``; raises ValueError for no port."""
    host, port = text, ""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if port and not (port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) < 65536):
        raise ValueError(f"{port!r} is no port")
    return host, int(port) if port else None
