"""Source: a running director, looked at and told by its control socket."""

from __future__ import annotations

import time
from ipaddress import ip_address

from ..client import Client
from ..cluster import Line, Look, checked, host
from ..errors import Refused


class Far:
    """Each call waits for the director's answer; all raise ForwarderError."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def look(self) -> Look:
        """All that is shown."""
        client = self._client
        services, stats = client.services(), client.stats()
        health = tuple(checked(raw) for raw in client.get("health"))
        return Look(time.monotonic(), services, stats, health)

    def act(self, verb: str, line: Line) -> None:
        """``drain``, ``disable`` or ``enable`` a server."""
        if line.service is None:
            raise Refused(f"{line.virtual} is no service of the table", status=404)
        server = ip_address(host(line.server))
        match verb:
            case "drain":
                self._client.drain(server, line.service)
            case "disable":
                self._client.disable(server, line.service)
            case "enable":
                self._client.enable(server, line.service)
