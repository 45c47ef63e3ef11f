"""Connect: can a connection to the check port be made? Nothing is sent over it."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from dr_forwarder.checks.model import CheckError, Target

# Firewall marks hide the protocol; ldirectord connects with TCP, and so do we.
_PROTOCOL: Final = {"sctp": socket.IPPROTO_SCTP}


async def check(target: Target) -> str:
    """Passes when the server accepts."""
    if not target.port:
        raise CheckError("no port to connect to: set checkport")
    family = socket.AF_INET6 if target.address.version == 6 else socket.AF_INET
    protocol = _PROTOCOL.get(target.protocol, socket.IPPROTO_TCP)
    with socket.socket(family, socket.SOCK_STREAM, protocol) as sock:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (str(target.address), target.port))
    return "connected"
