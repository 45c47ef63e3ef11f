"""Listing: services and servers in the text of ipvsadm 1.31, to the blank. Pure."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address

from .. import flags
from ..endpoints import Address, endpoint
from ..table import (
    HOST_MASK,
    Counters,
    ServerRow,
    Service,
    ServiceFlag,
    ServiceRow,
    SyncDaemon,
)
from . import sorting
from .values import Names

_HOST_MASK_6 = IPv6Address((1 << 128) - 1)
TABLE_SIZE = 4096
"""What kernel IPVS prints by default for its hash; parsers skip it, people know it."""
VERSION = f"IP Virtual Server version 1.2.1 (size={TABLE_SIZE})"
METHOD = "Route"
"""The only forwarding method there is here."""

NameOf = Callable[[Address, int, str], str]
"""From address, port and protocol to what is printed for them."""


class View(enum.Enum):
    """Which columns to show; of several asked for, the first here."""

    STATS = "stats"
    RATE = "rate"
    THRESHOLDS = "thresholds"
    PERSISTENT = "persistent-conn"
    TUNNEL = "tun-info"
    PLAIN = "plain"


def _heading(widths: Sequence[str], words: Sequence[str]) -> tuple[str, str]:
    columns = "".join(f" {word:{width}}" for width, word in zip(widths, words, strict=True))
    return f"{'Prot LocalAddress:Port':<33}{columns}", "  -> RemoteAddress:Port"


_NUMBERS = (">8",) * 5
_TITLES: Mapping[View, tuple[str, str]] = {
    View.PLAIN: (
        "Prot LocalAddress:Port Scheduler Flags",
        "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn",
    ),
    View.TUNNEL: (
        "Prot LocalAddress:Port Scheduler Flags",
        "  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn",
    ),
    View.STATS: _heading(_NUMBERS, ("Conns", "InPkts", "OutPkts", "InBytes", "OutBytes")),
    View.RATE: _heading(_NUMBERS, ("CPS", "InPPS", "OutPPS", "InBPS", "OutBPS")),
    View.THRESHOLDS: _heading(
        ("<10",) * 4, ("Uthreshold", "Lthreshold", "ActiveConn", "InActConn")
    ),
    View.PERSISTENT: _heading(
        ("<9", "<11", "<10", "<10"), ("Weight", "PersistConn", "ActiveConn", "InActConn")
    ),
}


def numeric(address: Address, port: int, protocol: str) -> str:
    """``10.0.0.1:80``."""
    return endpoint(address, port)


def named(names: Names) -> NameOf:
    """``www.example:http``; a number where nobody knows a name. Each is asked for once."""
    hosts: dict[Address, str] = {}
    ports: dict[tuple[int, str], str] = {}

    def name_of(address: Address, port: int, protocol: str) -> str:
        if address not in hosts:
            host = names.host(address) or str(address)
            hosts[address] = f"[{host}]" if address.version == 6 else host
        if (port, protocol) not in ports:
            ports[port, protocol] = names.port(port, protocol) or str(port)
        return f"{hosts[address]}:{ports[port, protocol]}"

    return name_of


def table(
    rows: Sequence[ServiceRow],
    *,
    view: View = View.PLAIN,
    exact: bool = False,
    name_of: NameOf = numeric,
    in_order: bool = True,
    with_version: bool = True,
) -> str:
    """``ipvsadm -L``: every line ends with a newline.

    Not ``in_order`` is ``--nosort``: servers the newest first. One service's listing has no
    version.
    """
    lines = [VERSION] if with_version else []
    lines += _TITLES[view]
    for row in sorting.services(rows) if in_order else rows:
        lines.append(_service_line(row, view, exact, name_of))
        protocol = row.service.key.protocol
        for server in sorting.servers(row.servers) if in_order else row.servers:
            name = name_of(server.server.address, server.server.port, protocol)
            lines.append(_server_line(server, name, view, exact))
    return "".join(f"{line}\n" for line in lines)


def timeouts(values: tuple[int, int, int]) -> str:
    """``ipvsadm -L --timeout``; seconds."""
    tcp_s, tcp_fin_s, udp_s = values
    return f"Timeout (tcp tcpfin udp): {tcp_s} {tcp_fin_s} {udp_s}\n"


def daemons(running: Iterable[SyncDaemon]) -> str:
    """``ipvsadm -L --daemon``, as it prints what the kernel says by netlink."""
    return "".join(
        f"{each.role} sync daemon (mcast={each.interface}, syncid={each.sync_id},"
        f" maxlen={each.max_length}, group={each.group}, port={each.port}, ttl={each.ttl})\n"
        for each in running
    )


# ---- A service ----


def _service_line(row: ServiceRow, view: View, exact: bool, name_of: NameOf) -> str:
    service = row.service
    key = service.key
    if key.protocol == "fwm":
        name = f"{int(key.address)}" + (" IPv6" if key.address.version == 6 else "")
    else:
        name = name_of(key.address, key.port, key.protocol)
    if isinstance(key.address, IPv4Address):
        name = name[:33]
    head = f"{key.protocol.upper():<4} {name}"
    if view is View.STATS:
        return f"{head:<33}{_numbers(row.counters, exact)}"
    if view is View.RATE:
        return f"{head:<33}{_numbers(row.rates, exact)}"
    return f"{head} {service.scheduler}{_flags(service)}"


def _flags(service: Service) -> str:
    """``(sh-fallback,sh-port) persistent 360 mask 255.255.255.0 ops``."""
    names = flags.shown(service.flags, scheduler=service.scheduler)
    text = f" ({names})" if names else ""
    if service.persistent_s is not None:
        text += f" persistent {service.persistent_s}"
        if mask := mask_text(service):
            text += f" mask {mask}"
    return text + (" ops" if service.flags & ServiceFlag.ONE_PACKET else "")


def mask_text(service: Service) -> str:
    """As ``-M`` takes it; empty when a template is of one client."""
    if service.mask in (HOST_MASK, _HOST_MASK_6):
        return ""
    mask = service.mask
    return str(mask) if mask.version == 4 else str(int(mask).bit_count())


# ---- A server ----


def _server_line(row: ServerRow, name: str, view: View, exact: bool) -> str:
    server = row.server
    if isinstance(server.address, IPv4Address):
        name = name[:28]
    head = f"  -> {name:<28}"
    connections = f"{row.active:<10} {row.inactive:<10}"
    match view:
        case View.PLAIN:
            return f"{head} {METHOD:<7} {server.weight:<6} {connections}"
        case View.TUNNEL:
            return f"{head} {METHOD:<7} {'n/a':<13} {server.weight:<6} {connections}"
        case View.STATS:
            return f"{head}{_numbers(row.counters, exact)}"
        case View.RATE:
            return f"{head}{''.join(_rates(row.rates, exact))}"
        case View.THRESHOLDS:
            return f"{head} {server.upper:<10} {server.lower:<10} {connections}"
        case View.PERSISTENT:
            return f"{head} {server.weight:<9} {row.persistent:<11} {connections}"


# ---- Numbers ----

# The server answers the client directly, so nothing is ever seen going out.
_OUT = 0


def _numbers(counters: Counters, exact: bool) -> str:
    values = (counters.connections, counters.packets, _OUT, counters.bytes, _OUT)
    return "".join(_number(value, exact) for value in values)


def _rates(rates: Counters, exact: bool) -> Iterator[str]:
    """Of a server, connections and packets are never shortened."""
    for value in (rates.connections, rates.packets, _OUT):
        yield f" {value:>8}"
    for value in (rates.bytes, _OUT):
        yield _number(value, exact)


def _number(value: int, exact: bool) -> str:
    """Nine columns: as it is below 10^8, then in decimal units, rounded down."""
    if exact:
        return f"{value:>9}" if value < 10**8 else f" {value}"
    for limit, unit, letter in (
        (10**8, 1, ""),
        (10**9, 10**3, "K"),
        (10**11, 10**6, "M"),
        (10**14, 10**9, "G"),
    ):
        if value < limit:
            return f"{value // unit:>{9 - len(letter)}}{letter}"
    return f"{value // 10**12:>8}T"
