"""Save: the table as the command lines that would make it, ``ipvsadm -S``. Pure.

Neither thresholds nor time-outs are among them; ipvsadm does not save those.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .. import flags
from ..table import Key, Service, ServiceFlag, ServiceRow
from . import sorting
from .listing import NameOf, mask_text

_OPTIONS = {"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}


def saved(rows: Sequence[ServiceRow], name_of: NameOf) -> str:
    """One line a service and a server; each ends with a newline."""
    return "".join(f"{line}\n" for line in _lines(rows, name_of))


def _lines(rows: Sequence[ServiceRow], name_of: NameOf) -> Iterator[str]:
    for row in sorting.services(rows):
        key = row.service.key
        name = _name(key, name_of)
        yield f"-A {name} -s {row.service.scheduler}{_options(row.service)}"
        for each in sorting.servers(row.servers):
            server = each.server
            real = name_of(server.address, server.port, key.protocol)
            yield f"-a {name} -r {real} -g -w {server.weight}"


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
