"""Through the VIP: checks that go the clients' way, to the VIP at the real server's MAC address.

They find the server that has lost its VIP, whose own address answers as ever.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

from dr_forwarder.checks.model import CheckError, Target, VipPath

if TYPE_CHECKING:
    from aiohttp.client import ClientRequest, ClientTimeout
    from aiohttp.tracing import Trace


async def check(target: Target, path: VipPath) -> str:
    """Passes when the server accepts a connection to the VIP."""
    if not target.port:
        raise CheckError("no port to connect to: set checkport")
    (await _connected(target, path)).close()
    return f"connected to the VIP {target.vip}"


async def _connected(target: Target, path: VipPath) -> asyncio.Transport:
    """Raises CheckError, and says while it waits what for: so a time limit can say it too."""
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


class Connector(aiohttp.BaseConnector):
    """Connections of aiohttp that go this way, whatever address is asked for."""

    def __init__(self, target: Target, path: VipPath, tls: ssl.SSLContext) -> None:
        super().__init__(force_close=True, limit=0)
        self._target = target
        self._path = path
        self._tls = tls

    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> ResponseHandler:
        protocol: ResponseHandler = self._factory()
        transport: Any = await _connected(self._target, self._path)
        if req.is_ssl():
            try:
                transport = await self._loop.start_tls(
                    transport, protocol, self._tls, server_hostname=req.server_hostname or req.host
                )
            except BaseException:
                transport.abort()
                raise
        else:
            transport.set_protocol(protocol)
        protocol.connection_made(transport)
        return protocol
