"""Listing: the table in the text of ipvsadm 1.31, to the blank. Pure.

Where ipvsadm's own sort goes wrong (it compares addresses as signed differences, so that
192.168.0.1 comes before 10.0.0.1), rows are in the order of their addresses.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address

from .. import flags
from ..endpoints import Address, endpoint
from ..table import (
    HOST_MASK,
    Connection,
    Counters,
    ServerRow,
    Service,
    ServiceFlag,
    ServiceRow,
)

_HOST_MASK_6 = IPv6Address((1 << 128) - 1)
TABLE_SIZE = 4096
"""What kernel IPVS prints by default for its hash; parsers skip it, people know it."""

NameOf = Callable[[Address, int, str], str]
"""From address, port and protocol to what is printed for them."""


class View(enum.Enum):
    """Which columns to show."""

    PLAIN = "plain"
    STATS = "stats"
    THRESHOLDS = "thresholds"
    PERSISTENT = "persistent-conn"


_TITLES = {
    View.PLAIN: (
        "Prot LocalAddress:Port Scheduler Flags",
        "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn",
    ),
    View.STATS: (
        f"{'Prot LocalAddress:Port':<33} {'Conns':>8} {'InPkts':>8} {'OutPkts':>8}"
        f" {'InBytes':>8} {'OutBytes':>8}",
        "  -> RemoteAddress:Port",
    ),
    View.THRESHOLDS: (
        f"{'Prot LocalAddress:Port':<33} {'Uthreshold':<10} {'Lthreshold':<10}"
        f" {'ActiveConn':<10} {'InActConn':<10}",
        "  -> RemoteAddress:Port",
    ),
    View.PERSISTENT: (
        f"{'Prot LocalAddress:Port':<33} {'Weight':<9} {'PersistConn':<11}"
        f" {'ActiveConn':<10} {'InActConn':<10}",
        "  -> RemoteAddress:Port",
    ),
}


def numeric(address: Address, port: int, protocol: str) -> str:
    """``10.0.0.1:80``."""
    return endpoint(address, port)


def table(
    rows: Iterable[ServiceRow],
    *,
    view: View = View.PLAIN,
    exact: bool = False,
    name_of: NameOf = numeric,
) -> str:
    """``ipvsadm -L``: every line ends with a newline."""
    lines = [f"IP Virtual Server version 1.2.1 (size={TABLE_SIZE})", *_TITLES[view]]
    for row in sorted(rows, key=_service_order):
        lines.append(_service_line(row, view, exact, name_of))
        protocol = row.service.key.protocol
        for server in sorted(row.servers, key=_server_order):
            name = name_of(server.server.address, server.server.port, protocol)
            lines.append(_server_line(server, name, view, exact))
    return "".join(f"{line}\n" for line in lines)


def _service_order(row: ServiceRow) -> tuple[object, ...]:
    key = row.service.key
    is_mark = key.protocol == "fwm"
    protocol = {"fwm": 6, "tcp": 6, "udp": 17, "sctp": 132}[key.protocol]
    return (is_mark, key.address.version, protocol, int(key.address), key.port)


def _server_order(row: ServerRow) -> tuple[int, int]:
    return (int(row.server.address), row.server.port)


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
    return f"{head} {service.scheduler}{_flags(service)}"


def _flags(service: Service) -> str:
    """``(sh-fallback,sh-port) persistent 360 mask 255.255.255.0 ops``."""
    names = flags.shown(service.flags, scheduler=service.scheduler)
    text = f" ({names})" if names else ""
    if service.persistent_s is not None:
        text += f" persistent {service.persistent_s}"
        if service.mask not in (HOST_MASK, _HOST_MASK_6):
            text += f" mask {_mask_text(service.mask)}"
    return text + (" ops" if service.flags & ServiceFlag.ONE_PACKET else "")


def _mask_text(mask: Address) -> str:
    return str(mask) if mask.version == 4 else str(int(mask).bit_count())


def _server_line(row: ServerRow, name: str, view: View, exact: bool) -> str:
    if isinstance(row.server.address, IPv4Address):
        name = name[:28]
    head = f"  -> {name:<28}"
    connections = f"{row.active:<10} {row.inactive:<10}"
    server = row.server
    match view:
        case View.PLAIN:
            return f"{head} {'Route':<7} {server.weight:<6} {connections}"
        case View.STATS:
            return f"{head}{_numbers(row.counters, exact)}"
        case View.THRESHOLDS:
            return f"{head} {server.upper:<10} {server.lower:<10} {connections}"
        case View.PERSISTENT:
            return f"{head} {server.weight:<9} {row.persistent:<11} {connections}"


def _numbers(counters: Counters, exact: bool) -> str:
    # The server answers the client directly, so nothing is ever seen going out.
    values = (counters.connections, counters.packets, 0, counters.bytes, 0)
    return "".join(_number(value, exact) for value in values)


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


def connections(
    entries: Iterable[Connection], *, name_of: NameOf = numeric, persistent: bool = False
) -> str:
    """``ipvsadm -Lc``, by service and client; kernel IPVS prints them in the order of its hash.

    ``persistent``: with the heads that ``--persistent-conn`` adds; the columns stay empty.
    """
    title = "pro expire state       source             virtual            destination"
    if persistent:
        title += "        pe name          pe_data"
    lines = ["IPVS connection entries", title]
    lines += _connection_lines(sorted(entries, key=_connection_order), name_of)
    return "".join(f"{line}\n" for line in lines)


def _connection_order(entry: Connection) -> tuple[object, ...]:
    return (
        entry.protocol,
        entry.address.version,
        int(entry.address),
        entry.port,
        int(entry.client),
        entry.client_port,
    )


def _connection_lines(entries: Sequence[Connection], name_of: NameOf) -> Iterator[str]:
    for entry in entries:
        source = name_of(entry.client, entry.client_port, entry.protocol)
        virtual = name_of(entry.address, entry.port, entry.protocol)
        # Direct routing keeps the port, also that of a template made unfindable (65535).
        destination = name_of(entry.server, entry.port, entry.protocol)
        minutes, seconds = divmod(int(entry.left_s), 60)
        expire = f"{minutes:02d}:{seconds:02d}"
        yield (
            f"{_short(entry.protocol):<3} {expire:<6} {entry.state:<11} {source:<18}"
            f" {virtual:<18} {destination}"
        )


def _short(protocol: str) -> str:
    return {"fwm": "IP", "sctp": "SCTP"}.get(protocol, protocol.upper())


def timeouts(values: tuple[int, int, int]) -> str:
    """``ipvsadm -L --timeout``; seconds."""
    tcp_s, tcp_fin_s, udp_s = values
    return f"Timeout (tcp tcpfin udp): {tcp_s} {tcp_fin_s} {udp_s}\n"
