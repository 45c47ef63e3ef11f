"""Messages: the table's data as JSON, and back. Pure; both ends of the control socket use it.

What only some commands have to do with is imported where it is made, for the others' sake.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from os import PathLike

from .endpoints import Address
from .table import (
    Change,
    Connection,
    Counters,
    Drain,
    Key,
    Operation,
    Server,
    ServerRow,
    Service,
    ServiceFlag,
    ServiceRow,
    Stats,
    SyncDaemon,
    WorkerStats,
)

TYPE_CHECKING = False  # as in typing, whose import would take a quick command's time
if TYPE_CHECKING:
    from typing import Any

    from .orders import Member, Order, OrderRow
    from .records import Record, Traced


def jsonable(value: object) -> Any:
    """Frozen data as JSON's types: addresses and MAC addresses as text.

    A field that does not count in comparisons is no part of the value, and left out.
    """
    match value:
        case Connection():
            return _connection(value)
        case ServerRow():
            return _server_row(value)
        case IPv4Address() | IPv6Address() | IPv4Network() | IPv6Network():
            return str(value)
        case bytes():
            return value.hex(":")
        case enum.Enum():
            return value.value
        case PathLike():
            return str(value)
        case frozenset():
            return sorted(jsonable(each) for each in value)
        case Mapping():
            return {str(key): jsonable(each) for key, each in value.items()}
        case tuple() | list():
            return [jsonable(each) for each in value]
        case _ if dataclasses.is_dataclass(value):
            return {
                field.name: jsonable(getattr(value, field.name))
                for field in dataclasses.fields(value)
                if field.compare
            }
    return value


def _connection(of: Connection) -> dict[str, Any]:
    """Spelt out, because there may be a million."""
    return {
        "protocol": of.protocol,
        "client": str(of.client),
        "client_port": of.client_port,
        "address": str(of.address),
        "port": of.port,
        "server": str(of.server),
        "server_port": of.server_port,
        "state": of.state,
        "left_s": of.left_s,
        "template": of.template,
        "removed": of.removed,
        "synced": of.synced,
    }


def _server_row(of: ServerRow) -> dict[str, Any]:
    """Spelt out, because there may be ten thousand."""
    return {
        "server": {**_server(of.server), "drain": of.server.drain.value},
        "active": of.active,
        "inactive": of.inactive,
        "persistent": of.persistent,
        "counters": _counters(of.counters),
        "rates": _counters(of.rates),
        "mac": None if of.mac is None else of.mac.hex(":"),
        "mtu": of.mtu,
        "overloaded": of.overloaded,
    }


def _server(of: Server) -> dict[str, Any]:
    """What a change says of one; whether it is drained is an order's."""
    return {
        "address": str(of.address),
        "port": of.port,
        "weight": of.weight,
        "upper": of.upper,
        "lower": of.lower,
    }


def _key(of: Key) -> dict[str, Any]:
    return {"protocol": of.protocol, "address": str(of.address), "port": of.port}


def _counters(of: Counters) -> dict[str, int]:
    return {"connections": of.connections, "packets": of.packets, "bytes": of.bytes}


def change(of: Change) -> dict[str, Any]:
    """A change as ``POST /v1/changes`` takes it."""
    said: dict[str, Any] = {"operation": of.operation.name.lower()}
    if of.service is not None:
        whole = of.operation in (Operation.ADD_SERVICE, Operation.EDIT_SERVICE)
        said["service"] = jsonable(of.service) if whole else {"key": _key(of.service.key)}
    if of.server is not None:
        said["server"] = _server(of.server)
    return said


def key(raw: dict[str, Any]) -> Key:
    """What names a service."""
    return Key(raw["protocol"], ip_address(raw["address"]), raw["port"])


def service(raw: dict[str, Any]) -> Service:
    """A service as configured."""
    return Service(
        key=key(raw["key"]),
        scheduler=raw["scheduler"],
        persistent_s=raw["persistent_s"],
        mask=ip_address(raw["mask"]),
        flags=ServiceFlag(raw["flags"]),
        slow_start_s=raw["slow_start_s"],
    )


def server(raw: dict[str, Any]) -> Server:
    """A real server as configured."""
    raw["address"] = ip_address(raw["address"])
    raw["drain"] = Drain(raw["drain"])
    return Server(**raw)


def order(raw: dict[str, Any]) -> Order:
    """An operator's order."""
    from .orders import Order

    return Order(
        service=key(raw["service"]),
        server=ip_address(raw["server"]),
        given_s=raw["given_s"],
        deadline_s=raw["deadline_s"],
        then=Drain(raw["then"]),
        weight=raw["weight"],
    )


def order_row(raw: dict[str, Any]) -> OrderRow:
    """An operator's order as it is now."""
    from .orders import OrderRow, State

    return OrderRow(
        order(raw["order"]), State(raw["state"]), raw["active"], raw["inactive"], raw["left_s"]
    )


def member(raw: dict[str, Any]) -> Member:
    """A server in its service."""
    return key(raw["service"]), ip_address(raw["server"])


def service_row(raw: dict[str, Any]) -> ServiceRow:
    """A service with its servers."""
    return ServiceRow(
        service=service(raw["service"]),
        servers=tuple(server_row(each) for each in raw["servers"]),
        counters=Counters(**raw["counters"]),
        rates=Counters(**raw["rates"]),
    )


def server_row(raw: dict[str, Any]) -> ServerRow:
    """A real server as it is now."""
    mac = raw["mac"]
    raw["server"] = server(raw["server"])
    raw["counters"] = Counters(**raw["counters"])
    raw["rates"] = Counters(**raw["rates"])
    raw["mac"] = None if mac is None else _mac_bytes(mac)
    return ServerRow(**raw)


def stats(raw: dict[str, Any]) -> Stats:
    """The counters."""
    counters = {name: Counters(**raw[name]) for name in ("counters", "rates")}
    # A director that has run since before an update says nothing of its workers.
    workers = tuple(WorkerStats(**each) for each in raw.get("workers", ()))
    return Stats(**{**raw, **counters, "workers": workers})


def daemon(raw: dict[str, Any]) -> SyncDaemon:
    """A synchronisation daemon."""
    group = raw["group"]
    return SyncDaemon(**{**raw, "group": ip_address(group) if group else None})


def _mac_bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _address(text: str | None) -> Address | None:
    return None if text is None else ip_address(text)


def record(raw: dict[str, Any]) -> Record:
    """What became of a frame."""
    from .records import Candidate, Record

    after, key_ = raw["after"], raw["service"]
    return Record(
        **{
            **raw,
            "head": _mac_bytes(raw["head"]),
            "before": _mac_bytes(raw["before"]),
            "after": None if after is None else _mac_bytes(after),
            **{name: _address(raw[name]) for name in ("client", "address", "server")},
            "service": None if key_ is None else key(key_),
            "candidates": tuple(
                Candidate(**{**each, "address": ip_address(each["address"])})
                for each in raw["candidates"]
            ),
        }
    )


def traced(raw: dict[str, Any]) -> Traced:
    """A line of a trace."""
    from .records import Losses, Traced

    told, losses = raw["record"], raw["losses"]
    return Traced(
        None if told is None else record(told), None if losses is None else Losses(**losses)
    )


def connection(raw: dict[str, Any]) -> Connection:
    """An entry of the connection table."""
    is_ipv4 = ":" not in raw["address"]
    for name in ("client", "address", "server"):
        raw[name] = IPv4Address(raw[name]) if is_ipv4 else IPv6Address(raw[name])
    return Connection(**raw)
