"""Connections: the connection table in ipvsadm's text, line by line. Pure.

In the table's order, as of kernel IPVS, so that a large one need never be in memory whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..table import Connection
from .listing import NameOf, numeric

_TITLE = "pro expire state       source             virtual            destination"
_PROTOCOLS = {"fwm": "IP"}


def lines(
    entries: Iterable[Connection], *, name_of: NameOf = numeric, persistent: bool = False
) -> Iterator[str]:
    """``ipvsadm -Lc``; every line ends with a newline.

    ``persistent``: with the headings that ``--persistent-conn`` adds; the columns stay empty.
    """
    title = _TITLE + ("        pe name          pe_data" if persistent else "")
    yield "IPVS connection entries\n"
    yield f"{title}\n"
    yield from _lines(entries, name_of)


def connections(entries: Iterable[Connection]) -> str:
    """``ipvsadm -Lnc`` as one text."""
    return "".join(lines(entries))


def shown_protocol(entry: Connection) -> str:
    """``TCP``; a template of a firewall mark has no protocol of its own."""
    return _PROTOCOLS.get(entry.protocol, entry.protocol.upper())


def _lines(entries: Iterable[Connection], name_of: NameOf) -> Iterator[str]:
    for entry in entries:
        source = name_of(entry.client, entry.client_port, entry.protocol)
        virtual = name_of(entry.address, entry.port, entry.protocol)
        # Direct routing keeps the port, also that of a template made unfindable (65535).
        destination = name_of(entry.server, entry.port, entry.protocol)
        minutes, seconds = divmod(int(entry.left_s), 60)
        expire = f"{minutes:02d}:{seconds:02d}"
        yield (
            f"{shown_protocol(entry):<3} {expire:<6} {entry.state:<11} {source:<18}"
            f" {virtual:<18} {destination}\n"
        )
