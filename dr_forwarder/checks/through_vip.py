"""Through the VIP: checks that go the clients' way, to the VIP at the real server's MAC address.

They find the server that has lost its VIP, whose own address answers as ever.
"""

from __future__ import annotations

import asyncio

from dr_forwarder.checks.model import CheckError, Target, VipPath


async def check(target: Target, path: VipPath) -> str:
    """Passes when the server accepts a connection to the VIP."""
    if not target.port:
        raise CheckError("no port to connect to: set checkport")
    (await connected(target, path)).close()
    return f"connected to the VIP {target.vip}"


async def connected(target: Target, path: VipPath) -> asyncio.Transport:
    """A connection to the VIP. Raises CheckError, and says while it waits what for, so that a time
    limit can say it too.
    """
    assert target.vip is not None
    waits_for = f"{target.address} does not say its MAC address"
    try:
        mac = (await path.mac(target.address)).hex(":")
        waits_for = f"the VIP {target.vip} is not answered for at {mac}"
        return await path.connect(target.address, target.vip, target.port)
    except ConnectionRefusedError as error:
        raise CheckError(
            f"connections to the VIP {target.vip} are refused at {mac}, port {target.port}"
        ) from error
    except asyncio.CancelledError as error:
        raise asyncio.CancelledError(waits_for) from error
