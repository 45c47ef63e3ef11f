"""Proc: look-alikes of kernel IPVS's files under /proc/net, for agents that read those. Pure.

Services are in the order of the table, servers the newest first, as in the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Protocol

from ..endpoints import Address
from ..table import Connection, Counters, Key, ServerRow, Service, ServiceFlag, ServiceRow
from .connections import shown_protocol
from .listing import METHOD, VERSION

TICKS_PER_S = 100
"""The kernel shows a persistence time-out in its own ticks; this many make a second."""

_STATS_HEAD = (
    "   Total Incoming Outgoing         Incoming         Outgoing\n",
    "   Conns  Packets  Packets            Bytes            Bytes\n",
)
_RATES_HEAD = " Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n"


@dataclass(frozen=True, slots=True)
class Totals:
    """All that the director has counted, over all services."""

    counters: Counters = field(default_factory=Counters)
    rates: Counters = field(default_factory=Counters)


class Looks(Protocol):
    """What the files show."""

    def services(self) -> Sequence[ServiceRow]:
        """Give the table."""

    def connections(self) -> Iterable[Connection]:
        """Give the connection table."""

    def totals(self) -> Totals:
        """Give what was counted over all services."""


def text(file: str, looks: Looks) -> str:
    """What is in one of FILES; raises KeyError for another name."""
    return FILES[file](looks)


# ---- The table ----


def ip_vs(rows: Iterable[ServiceRow]) -> str:
    """``/proc/net/ip_vs``."""
    lines = [
        VERSION,
        "Prot LocalAddress:Port Scheduler Flags",
        "  -> RemoteAddress:Port Forward Weight ActiveConn InActConn",
    ]
    for row in rows:
        lines.append(_service_line(row.service))
        lines += [_server_line(each) for each in row.servers]
    return "".join(f"{line}\n" for line in lines)


def _service_line(service: Service) -> str:
    ops = "ops " if service.flags & ServiceFlag.ONE_PACKET else ""
    if service.key.protocol != "fwm" and service.key.address.version == 6:
        ops = ""  # the kernel forgets it for IPv6
        line = f"{_service_name(service.key)} {service.scheduler} "
    elif service.key.protocol == "fwm":
        line = f"{_service_name(service.key)} {service.scheduler} {ops}"
    else:
        line = f"{_service_name(service.key)} {service.scheduler} {ops} "
    if service.persistent_s is None:
        return line
    return f"{line}persistent {service.persistent_s * TICKS_PER_S} {_mask(service.mask)}"


def _service_name(key: Key) -> str:
    if key.protocol == "fwm":
        return f"FWM  {int(key.address):08X}"
    return f"{key.protocol.upper()}  {_endpoint(key.address, key.port)}"


def _server_line(row: ServerRow) -> str:
    server = row.server
    return (
        f"  -> {_endpoint(server.address, server.port)}      {METHOD:<7} {server.weight:<6}"
        f" {row.active:<10} {row.inactive:<10}"
    )


def _endpoint(address: Address, port: int) -> str:
    return f"{_address(address, brackets=True)}:{port:04X}"


def _address(address: Address, *, brackets: bool = False) -> str:
    if isinstance(address, IPv6Address):
        return f"[{address.exploded}]" if brackets else address.exploded
    return f"{int(address):08X}"


def _mask(mask: Address) -> str:
    """Of IPv6 a prefix length, whose bytes the kernel swaps."""
    if mask.version == 6:
        return int(mask).bit_count().to_bytes(4, "little").hex().upper()
    return f"{int(mask):08X}"


# ---- Connections ----


def ip_vs_conn(entries: Iterable[Connection]) -> str:
    """``/proc/net/ip_vs_conn``."""
    head = "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n"
    return head + "".join(
        f"{_flow(entry)} {entry.state:<11} {int(entry.left_s):>7}\n" for entry in entries
    )


def ip_vs_conn_sync(entries: Iterable[Connection]) -> str:
    """``/proc/net/ip_vs_conn_sync``."""
    head = "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Origin Expires\n"
    return head + "".join(
        f"{_flow(entry)} {entry.state:<11} {_origin(entry):<6} {int(entry.left_s):>7}\n"
        for entry in entries
    )


def _flow(entry: Connection) -> str:
    return (
        f"{shown_protocol(entry):<3} {_address(entry.client)} {entry.client_port:04X}"
        f" {_address(entry.address)} {entry.port:04X} {_address(entry.server)} {entry.port:04X}"
    )


def _origin(entry: Connection) -> str:
    return "SYNC" if entry.synced else "LOCAL"


# ---- Counters ----


def ip_vs_stats(totals: Totals) -> str:
    """``/proc/net/ip_vs_stats``; in hexadecimal."""
    return (
        "".join(_STATS_HEAD)
        + f"{_numbers(totals.counters)}\n\n"
        + _RATES_HEAD
        + f"{_numbers(totals.rates)}\n"
    )


def ip_vs_stats_percpu(totals: Totals) -> str:
    """``/proc/net/ip_vs_stats_percpu``; the one forwarding thread is CPU 0."""
    numbers = _numbers(totals.counters)
    return (
        f"    {_STATS_HEAD[0]}CPU {_STATS_HEAD[1]}"
        f"  0 {numbers}\n  ~ {numbers}\n\n"
        f"    {_RATES_HEAD}    {_numbers(totals.rates)}\n"
    )


def _numbers(counters: Counters) -> str:
    # Nothing is ever seen going out.
    columns = (counters.connections, counters.packets, 0, counters.bytes, 0)
    return " ".join(
        f"{value:>{width}X}" for value, width in zip(columns, (8, 8, 8, 16, 16), strict=True)
    )


def ip_vs_app() -> str:
    """``/proc/net/ip_vs_app``: no protocol needs its payload changed in direct routing."""
    return "prot port    usecnt name\n"


FILES: Mapping[str, Callable[[Looks], str]] = {
    "ip_vs": lambda looks: ip_vs(looks.services()),
    "ip_vs_app": lambda _: ip_vs_app(),
    "ip_vs_conn": lambda looks: ip_vs_conn(looks.connections()),
    "ip_vs_conn_sync": lambda looks: ip_vs_conn_sync(looks.connections()),
    "ip_vs_stats": lambda looks: ip_vs_stats(looks.totals()),
    "ip_vs_stats_percpu": lambda looks: ip_vs_stats_percpu(looks.totals()),
}
"""How each file's text is made."""
