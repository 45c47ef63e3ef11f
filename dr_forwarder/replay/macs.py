"""Which MAC addresses the director and the real servers of a replay have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..addresses import virtual_mac
from ..capturing import Seen, survey
from ..config.model import Config
from ..endpoints import Address
from .summary import Mac


def made_up(address: Address) -> bytes:
    """Locally administered, and recognizable: 02:00 and the last four bytes of the address."""
    return b"\x02\x00" + address.packed[-4:]


def _known(seen: Seen) -> Mac | None:
    if seen.claimed:
        return Mac(seen.claimed, "arp")
    return Mac(seen.reached, "frames") if seen.reached else None


def look_up(
    capture: Path, config: Config, *, mac: bytes | None, given: Mapping[Address, bytes]
) -> tuple[Mac, dict[Address, Mac]]:
    """The director's and the servers': as given, as the capture shows, or else made up.

    A server at a loopback address is the director's own host (`fallback=127.0.0.1:80`).
    The director's is that of the VIPs: what the capture's own frames were sent to, so that frames
    that come are told from those that the captured director sent itself.
    """
    vips, servers = config.vips, config.servers
    with capture.open("rb") as file:
        seen = survey(file, [*vips, *servers])
    director = Mac(mac, "given") if mac else None
    for vip in vips:
        director = director or _known(seen[vip])
    if director is None:
        director = Mac(virtual_mac(config.settings.virtual_router_id), "made up")
    macs = {
        server: Mac(director.mac, "this host")
        if server.is_loopback
        else _known(seen[server]) or Mac(made_up(server), "made up")
        for server in servers
    }
    return director, macs | {address: Mac(each, "given") for address, each in given.items()}
