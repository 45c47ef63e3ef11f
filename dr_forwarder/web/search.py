"""Search: which connections are asked for. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from ..endpoints import Address, split
from ..table import Connection

_HELP = "an address with or without port (10.0.0.9:80), a network (10.0.0.0/24), :PORT, or a state"


@dataclass(frozen=True, slots=True)
class End:
    """A network, a port, or both."""

    network: IPv4Network | IPv6Network | None
    port: int | None

    def holds(self, address: Address, port: int) -> bool:
        """Whether this address and port are in it."""
        return self.port in (None, port) and (self.network is None or address in self.network)


@dataclass(frozen=True, slots=True)
class Search:
    """Each end must be the client, the service or the server; each word be in the state."""

    ends: tuple[End, ...] = ()
    words: tuple[str, ...] = ()

    @classmethod
    def of(cls, text: str) -> Search:
        """Reads ``10.0.0.9``, ``10.0.0.0/24``, ``[::1]:80``, ``:443``, ``established``, or several.

        Nothing finds all. Raises ValueError.
        """
        ends, words = [], []
        for written in text.split():
            if written.replace("_", "").isalpha():
                words.append(written.upper())
            else:
                ends.append(_end(written))
        return cls(tuple(ends), tuple(words))

    def finds(self, connection: Connection) -> bool:
        """Whether this one is asked for."""
        sides = (
            (connection.client, connection.client_port),
            (connection.address, connection.port),
            (connection.server, connection.server_port),
        )
        return all(word in connection.state for word in self.words) and all(
            any(end.holds(*side) for side in sides) for end in self.ends
        )


def _end(written: str) -> End:
    try:
        host, port = split(written)
        return End(ip_network(host, strict=False) if host else None, port)
    except ValueError as error:
        raise ValueError(f"{written!r} is not {_HELP}") from error
