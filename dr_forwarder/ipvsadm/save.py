"""Save: the table as the command lines that would make it, ``ipvsadm -S``. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from .. import flags
from ..table import Key, Service, ServiceFlag, ServiceRow
from . import sorting
from .listing import NameOf, mask_text

_OPTIONS = {"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}


def saved(rows: Sequence[ServiceRow], name_of: NameOf) -> str:
    """One line a service and a server; each ends with a newline.

    Without thresholds and time-outs, because ipvsadm does not save those.
    """
    in_order = (
        replace(row, servers=tuple(sorting.servers(row.servers))) for row in sorting.services(rows)
    )
    return "".join(f"{line}\n" for line in _lines(in_order, name_of))


def kept(rows: Sequence[ServiceRow], name_of: NameOf) -> str:
    """The same with thresholds, and in the order that makes the same table again."""
    oldest_first = (replace(row, servers=row.servers[::-1]) for row in rows)
    return "".join(f"{line}\n" for line in _lines(oldest_first, name_of, thresholds=True))


def _lines(
    rows: Iterable[ServiceRow], name_of: NameOf, *, thresholds: bool = False
) -> Iterator[str]:
    for row in rows:
        key = row.service.key
        name = _name(key, name_of)
        yield f"-A {name} -s {row.service.scheduler}{_options(row.service)}"
        for each in row.servers:
            server = each.server
            real = name_of(server.address, server.port, key.protocol)
            limits = ""
            if thresholds and (server.upper or server.lower):
                limits = f" -x {server.upper} -y {server.lower}"
            yield f"-a {name} -r {real} -g -w {server.weight}{limits}"


def _name(key: Key, name_of: NameOf) -> str:
    if key.protocol == "fwm":
        return f"-f {int(key.address)}" + (" -6" if key.address.version == 6 else "")
    return f"{_OPTIONS[key.protocol]} {name_of(key.address, key.port, key.protocol)}"


def _options(service: Service) -> str:
    text = ""
    if service.persistent_s is not None:
        text += f" -p {service.persistent_s}"
        if mask := mask_text(service):
            text += f" -M {mask}"
    if service.flags & ServiceFlag.ONE_PACKET:
        text += " -o"
    if names := flags.shown(service.flags, scheduler=service.scheduler):
        text += f" -b {names}"
    return text
