"""Room: how many services and servers the core's tables are made for. Pure."""

from __future__ import annotations

from .config.model import Config
from .errors import SetupError

SERVICES, SERVERS = 1024, 16384
"""The usual room, which most files need little of."""
MOST = 65_534
"""The core numbers both in sixteen bits."""


def of(config: Config) -> tuple[int, int]:
    """Services and servers: twice what the file has, for those that go while others come.

    It grows by doubling, so that a service more seldom makes another table; raises SetupError.
    """
    services, servers = _needed(config)
    for what, needed in (("virtual services", services), ("real servers", servers)):
        if needed > MOST:
            raise SetupError(f"{needed} {what} are more than a director has room for: {MOST}")
    return _enough(SERVICES, services), _enough(SERVERS, servers)


def refuse_more(config: Config, room: tuple[int, int]) -> None:
    """Raises SetupError for a file that the tables as they are cannot take."""
    for what, needed, there in zip(
        ("virtual services", "real servers"), _needed(config), room, strict=True
    ):
        if needed > there:
            raise SetupError(
                f"{needed} {what} do not fit into the running director's table of {there}:"
                " restart instead"
            )


def _needed(config: Config) -> tuple[int, int]:
    servers = sum(len(virtual.real) + bool(virtual.fallback) for virtual in config.virtuals)
    return len(config.virtuals), servers


def _enough(usual: int, needed: int) -> int:
    room = usual
    while room < 2 * needed:
        room *= 2
    return min(room, MOST)
