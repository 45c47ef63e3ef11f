"""VIP checks: which checks can go through the VIP, to the real server's MAC address. Pure."""

from __future__ import annotations

from typing import Final

from .model import CheckType, Virtual

SERVICES: Final = ("http", "https")
"""Whose negotiate checks can; of the others only the connects of a combined check."""


def obstacle(virtual: Virtual) -> str:
    """Say why the checks of this service go to the servers' own addresses; nothing if not so."""
    check = virtual.check
    if virtual.address is None:
        return "a firewall mark names no VIP"
    if virtual.protocol != "tcp":
        return f"it needs TCP, and the service is {virtual.protocol}"
    if check.type in (CheckType.CONNECT, CheckType.COMBINED):
        return ""
    if check.type is not CheckType.NEGOTIATE:
        return f"checktype={check.type.value} does not connect"
    if check.service not in SERVICES:
        return f"service={check.service} is not http: use checktype=connect"
    return ""
