"""Which MAC addresses the director and the real servers of a replay have."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path

from ..addresses import virtual_mac
from ..capturing import Seen, survey
from ..config.model import Config
from ..endpoints import Address
from .summary import Mac

_PASSES = 16
"""Looks through the capture; one is enough unless somebody has a MAC address that was made up."""


def made_up(address: Address, taken: Container[bytes] = ()) -> bytes:
    """Locally administered, and recognizable: 02:00 and the last four bytes of the address.

    Where that is taken, the next number that is not.
    """
    number = int.from_bytes(address.packed[-4:])
    while (mac := b"\x02\x00" + number.to_bytes(4)) in taken:
        number = (number + 1) % (1 << 32)
    return mac


def _known(seen: Seen) -> Mac | None:
    if seen.claimed:
        return Mac(seen.claimed, "arp")
    return Mac(seen.reached, "frames") if seen.reached else None


def look_up(
    capture: Path, config: Config, *, mac: bytes | None, given: Mapping[Address, bytes]
) -> tuple[Mac, dict[Address, Mac]]:
    """The director's and the servers': as given, as the capture shows, or else made up.

    What is made up nobody else has. A server at a loopback address is the director's own host
    (`fallback=127.0.0.1:80`). The director's is that of the VIPs: what the capture's own frames
    were sent to, so that frames that come are told from those that the captured director sent
    itself.
    """
    taken = {*given.values(), *config.settings.peers, *([mac] if mac else [])}
    for _ in range(_PASSES):
        director, macs, unfree = _look(capture, config, mac, given, taken)
        if not unfree:
            break
        taken |= unfree
    return director, macs


def _look(
    capture: Path,
    config: Config,
    mac: bytes | None,
    given: Mapping[Address, bytes],
    taken: set[bytes],
) -> tuple[Mac, dict[Address, Mac], set[bytes]]:
    """One look through the capture; the last are MAC addresses that were made up in vain."""
    vips, servers = config.vips, config.servers
    own = virtual_mac(config.settings.virtual_router_id)
    names = _made_up(servers, taken | {own})
    own = _free(own, taken | set(names.values()))
    candidates = {**names, **(dict.fromkeys(vips, own))}
    with capture.open("rb") as file:
        seen = survey(file, [*vips, *servers], candidates)
    director = Mac(mac, "given") if mac else None
    for vip in vips:
        director = director or _known(seen[vip])
    if director is None:
        director = Mac(own, "made up")
    macs = {
        server: Mac(director.mac, "this host")
        if server.is_loopback
        else _known(seen[server]) or Mac(names[server], "made up")
        for server in servers
    }
    used = {each.mac for each in (director, *macs.values()) if each.source == "made up"}
    known = {each.mac for each in (director, *macs.values()) if each.source != "made up"}
    unfree = {candidates[each] for each, what in seen.items() if what.taken} | known
    return (
        director,
        macs | {address: Mac(each, "given") for address, each in given.items()},
        (used & unfree),
    )


def _made_up(servers: Sequence[Address], taken: set[bytes]) -> dict[Address, bytes]:
    names: dict[Address, bytes] = {}
    taken = set(taken)
    for server in servers:
        names[server] = made_up(server, taken)
        taken.add(names[server])
    return names


def _free(mac: bytes, taken: Container[bytes]) -> bytes:
    """The director's, or one like a server's where somebody else has it."""
    return mac if mac not in taken else made_up(ip_address(int.from_bytes(mac[-4:])), taken)
