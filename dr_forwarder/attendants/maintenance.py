"""Maintenance: which files of `maintenancedir` take which real servers down. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from ..config.model import Address, Config, Real, Virtual, endpoint
from ..config.table_keys import key_of
from ..watch import Place

HostOf = Callable[[Address], str | None]
"""The name of an address, as far as it is known."""


def find(
    config: Config, files: Collection[str], directory: str, host_of: HostOf
) -> Mapping[Place, str]:
    """The real servers in maintenance, each with the path of a file that says so."""
    found: dict[Place, str] = {}
    for virtual in config.virtuals if files else ():
        for real in virtual.real:
            for name in names(virtual, real, host_of(real.address)):
                if name in files:
                    found[key_of(virtual), real.address, real.port] = f"{directory}/{name}"
                    break
    return found


def names(virtual: Virtual, real: Real, host: str | None) -> Iterator[str]:
    """What a file may be called: address or host name, or its first label, each with the port too.

    The port is that of the real server, which of a firewall mark's may be 0.
    """
    ports = dict.fromkeys((real.port, real.port or virtual.port))
    bare = f"[{real.address}]" if real.address.version == 6 else str(real.address)
    for port in ports:
        yield endpoint(real.address, port)
    yield bare
    for name in _labels(host):
        for port in ports:
            yield f"{name}:{port}"
        yield name


def _labels(host: str | None) -> Iterator[str]:
    if host:
        full = host.lower().rstrip(".")
        yield full
        yield full.partition(".")[0]


def by_name(files: Collection[str], addresses: Collection[Address]) -> bool:
    """True if a file may be called by a host's name, so that names must be looked up."""
    literal = {str(address) for address in addresses} | {f"[{a}]" for a in addresses}
    return any(name not in literal and _host(name) not in literal for name in files)


def _host(name: str) -> str:
    host, colon, port = name.rpartition(":")
    return host if colon and port.isdecimal() else name
