"""Client: asks a running director over its Unix socket. Imports nothing slow."""

from __future__ import annotations

import http.client
import json
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from .errors import NotRunning
from .table import (
    Connection,
    Counters,
    Key,
    Server,
    ServerRow,
    Service,
    ServiceFlag,
    ServiceRow,
    Stats,
)

_LIMIT_S = 10.0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_LIMIT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_LIMIT_S)
        self.sock.connect(str(self._path))


class Client:
    """What a running director knows. Each call asks anew; raises NotRunning."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "control"

    def get(self, what: str) -> Any:
        """The JSON at /v1/``what``."""
        connection = _UnixConnection(self._path)
        try:
            connection.request("GET", f"/v1/{what}")
            answer = connection.getresponse()
            body = answer.read()
        except PermissionError as error:
            raise NotRunning(
                f"{self._path}: permission denied; run as the director's user"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise NotRunning(f"no director is running in {self._path.parent} ({error})") from error
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            raise NotRunning(f"the director answers {answer.status} {answer.reason} to {what}")
        return json.loads(body)

    def services(self) -> tuple[ServiceRow, ...]:
        """The table."""
        return tuple(_service_row(raw) for raw in self.get("services"))

    def connections(self) -> tuple[Connection, ...]:
        """The connection table."""
        return tuple(_connection(raw) for raw in self.get("connections"))

    def stats(self) -> Stats:
        """The counters."""
        return Stats(**self.get("stats"))

    def timeouts(self) -> tuple[int, int, int]:
        """Seconds: established TCP, TCP after a FIN, UDP."""
        tcp_s, tcp_fin_s, udp_s = self.get("timeouts")
        return tcp_s, tcp_fin_s, udp_s


def _service_row(raw: dict[str, Any]) -> ServiceRow:
    service = raw["service"]
    key = service["key"]
    return ServiceRow(
        service=Service(
            key=Key(key["protocol"], ip_address(key["address"]), key["port"]),
            scheduler=service["scheduler"],
            persistent_s=service["persistent_s"],
            mask=ip_address(service["mask"]),
            flags=ServiceFlag(service["flags"]),
        ),
        servers=tuple(_server_row(each) for each in raw["servers"]),
        counters=Counters(**raw["counters"]),
    )


def _server_row(raw: dict[str, Any]) -> ServerRow:
    server = dict(raw["server"])
    server["address"] = ip_address(server["address"])
    mac = raw["mac"]
    return ServerRow(
        **{
            **raw,
            "server": Server(**server),
            "counters": Counters(**raw["counters"]),
            "mac": bytes.fromhex(mac.replace(":", "")) if mac else None,
        }
    )


def _connection(raw: dict[str, Any]) -> Connection:
    addresses = {name: ip_address(raw[name]) for name in ("client", "address", "server")}
    return Connection(**{**raw, **addresses})
