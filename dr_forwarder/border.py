"""Border: what the core's structs are as frozen data, and the other way round. No I/O, no engine.

With `dataplane`, `framing`, `capturing` and `tracing` the only importers of the extension; no cdata
leaves them.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from ._dataplane import ffi, lib
from .config.model import Address, Mark
from .table import (
    Change,
    Connection,
    Counters,
    Drain,
    Key,
    Server,
    ServerRow,
    Service,
    ServiceFlag,
    Stats,
    WorkerStats,
)

PROTOCOLS = {"fwm": 0, "tcp": 6, "udp": 17, "sctp": 132}
PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}
_MAPPED = bytes(10) + b"\xff\xff"
_DRAINS = tuple(Drain)
_NO_SCHEDULER = 0xFF
"""The core answers ENOENT to it."""


def elements(enum: str, prefix: str, count: str) -> tuple[str, ...]:
    """The names of a C enum in its order, without the last one that counts them."""
    numbered = ffi.typeof(f"enum {enum}").elements
    names = (name for _, name in sorted(numbered.items()) if name != count)
    return tuple(name.removeprefix(prefix) for name in names)


VERDICTS = tuple(name.lower() for name in elements("dr_verdict", "DR_", "DR_VERDICTS"))
"""The name of every verdict, in the core's order."""

WAYS = tuple(name.lower() for name in elements("dr_by", "DR_BY_", "DR_BYS"))
"""How a frame's real server was found, in the core's order."""

_TCP_STATES = elements("dr_tcp_state", "DR_TCP_", "DR_TCP_STATES")
_SCTP_STATES = (
    *("NONE", "INIT1", "INIT", "C-SENT", "C-REPLIED", "C-WAIT", "COOKIE", "C-ECHOED"),
    *("ESTABLISHED", "S-SENT", "S-RECEIVED", "S-ACK-SENT", "REJECTED", "CLOSED"),
)


def packed(address: Address) -> bytes:
    """Sixteen bytes; IPv4 is mapped (RFC 4291 section 2.5.5.2)."""
    return address.packed if isinstance(address, IPv6Address) else _MAPPED + address.packed


def unpacked(raw: bytes) -> Address:
    """The address of sixteen bytes."""
    return IPv4Address(raw[12:]) if raw[:12] == _MAPPED else IPv6Address(raw)


def _packed_mask(mask: Address) -> bytes:
    return mask.packed if isinstance(mask, IPv6Address) else b"\xff" * 12 + mask.packed


def _scheduler(name: str) -> int:
    number = int(lib.dr_scheduler_find(name.encode()))
    return _NO_SCHEDULER if number < 0 else number


def fill_service(out: Any, service: Service) -> None:
    """Writes a ``struct dr_service``."""
    out.address = packed(service.key.address)
    out.mask = _packed_mask(service.mask)
    out.port = service.key.port
    out.protocol = PROTOCOLS[service.key.protocol]
    out.scheduler = _scheduler(service.scheduler)
    out.flags = service.flags.value
    if service.persistent_s is not None:
        out.flags |= lib.DR_PERSISTENT
    out.persistent_s = service.persistent_s or 0
    out.slow_start_s = service.slow_start_s


def fill_server(out: Any, server: Server) -> None:
    """Writes a ``struct dr_server``."""
    out.address = packed(server.address)
    out.port = server.port
    out.weight = server.weight
    out.upper = server.upper
    out.lower = server.lower
    out.drain = _DRAINS.index(server.drain)


def fill_change(out: Any, change: Change) -> None:
    """Writes a ``struct dr_change``."""
    out.operation = change.operation.value
    if change.service is not None:
        fill_service(out.service, change.service)
    if change.server is not None:
        fill_server(out.server, change.server)
    out.mac = change.mac or bytes(6)
    out.mtu = change.mtu


def fill_mark(out: Any, mark: Mark) -> None:
    """Writes a ``struct dr_mark``."""
    out.address = packed(mark.network.network_address)
    out.prefix = mark.network.prefixlen + 128 - mark.network.max_prefixlen
    out.protocol = 0 if mark.protocol is None else PROTOCOLS[mark.protocol]
    out.first_port, out.last_port = mark.first_port, mark.last_port
    out.mark = mark.mark


def service(raw: Any) -> Service:
    """Reads a ``struct dr_service``."""
    address = unpacked(bytes(raw.address))
    mask = bytes(raw.mask)
    return Service(
        key=Key(PROTOCOL_NAMES[raw.protocol], address, raw.port),
        scheduler=ffi.string(lib.dr_scheduler_name(raw.scheduler)).decode(),
        persistent_s=raw.persistent_s if raw.flags & lib.DR_PERSISTENT else None,
        mask=IPv4Address(mask[12:]) if address.version == 4 else IPv6Address(mask),
        flags=ServiceFlag(raw.flags & ~lib.DR_PERSISTENT),
        slow_start_s=raw.slow_start_s,
    )


def counters(raw: Any) -> Counters:
    """Reads a ``struct dr_counters``."""
    return Counters(raw.connections, raw.packets, raw.bytes)


def server_row(raw: Any) -> ServerRow:
    """Reads a ``struct dr_server_row``."""
    mac = bytes(raw.mac)
    config = raw.server
    return ServerRow(
        server=Server(
            unpacked(bytes(config.address)),
            config.port,
            config.weight,
            config.upper,
            config.lower,
            _DRAINS[config.drain],
        ),
        active=raw.active,
        inactive=raw.inactive,
        persistent=raw.persistent,
        counters=counters(getattr(raw, "in")),
        rates=counters(raw.rates),
        mac=mac if any(mac) else None,
        mtu=raw.mtu,
        overloaded=bool(raw.overloaded),
    )


def _state_name(raw: Any) -> str:
    if raw.is_template:
        return "ASSURED" if raw.state else "NONE"
    return state_name(raw.protocol, raw.state)


def state_name(protocol: int, state: int) -> str:
    """A connection's state as ipvsadm writes it."""
    match PROTOCOL_NAMES[protocol]:
        case "udp":
            return "UDP"
        case "sctp":
            return _SCTP_STATES[state]
    return str(_TCP_STATES[state])


def connection(raw: Any) -> Connection:
    """Reads a ``struct dr_connection_row``."""
    return Connection(
        protocol=PROTOCOL_NAMES[raw.protocol],
        client=unpacked(bytes(raw.client)),
        client_port=raw.client_port,
        address=unpacked(bytes(raw.address)),
        port=raw.port,
        server=unpacked(bytes(raw.server)),
        server_port=raw.server_port,
        state=_state_name(raw),
        left_s=raw.left_ms / 1000,
        template=bool(raw.is_template),
        removed=bool(raw.removed),
        synced=bool(raw.synced),
    )


def stats(raw: Any, workers: Iterable[Any]) -> Stats:
    """Reads a ``struct dr_stats``, and of each worker a ``struct dr_worker_stats``."""
    return Stats(
        frames=raw.frames,
        bytes=raw.bytes,
        verdicts=dict(zip(VERDICTS, list(raw.verdicts), strict=True)),
        created=raw.created,
        expired=raw.expired,
        displaced=raw.displaced,
        unproved=raw.unproved,
        connections=raw.connections,
        services=raw.services,
        servers=raw.servers,
        ring_dropped=raw.ring_dropped,
        counters=counters(getattr(raw, "in")),
        rates=counters(raw.rates),
        workers=tuple(
            WorkerStats(each.frames, each.forwarded, each.ring_dropped, each.wakeups)
            for each in workers
        ),
    )
