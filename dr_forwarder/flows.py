"""Flows: what becomes of a client's frames, in sentences. Pure.

The connection table answers for what exists; for a new connection the service's servers are gone
through as a scheduler does, without asking it: asking would move its cursor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from .endpoints import Address, endpoint, split
from .table import Connection, Drain, Key, ServerRow, ServiceRow

MOST_CONNECTIONS = 5
"""So many are told one by one."""

ReasonOf = Callable[[Key, Address], str | None]
"""Why the checks keep this server of this service out; None if they do not."""


@dataclass(frozen=True, slots=True)
class Client:
    """Whose frames are asked about; without a port all of its connections are."""

    address: Address
    port: int | None = None

    @classmethod
    def of(cls, text: str) -> Client:
        """Reads ``10.0.0.9``, ``10.0.0.9:40000``, ``::1`` or ``[::1]:40000``; raises ValueError."""
        try:
            host, port = split(text.strip())
            return cls(ip_address(host), port)
        except ValueError:
            raise ValueError(f"{text!r} is not like 10.0.0.9, or 10.0.0.9:40000") from None

    @property
    def name(self) -> str:
        """``10.0.0.9``, or ``10.0.0.9:40000``."""
        return str(self.address) if self.port is None else endpoint(self.address, self.port)

    def owns(self, connection: Connection) -> bool:
        """Whether this is its connection; a template belongs to a network and is nobody's."""
        return (
            not connection.template
            and connection.client == self.address
            and self.port in (None, connection.client_port)
        )


def concerns(client: Client, connection: Connection) -> bool:
    """Whether ``explain`` must know of it: the client's own, and templates that may be."""
    return connection.template or client.owns(connection)


def explain(
    client: Client,
    services: Sequence[ServiceRow],
    connections: Iterable[Connection],
    *,
    reason_of: ReasonOf = lambda _key, _server: None,
) -> tuple[str, ...]:
    """Sentences about the client: its connections first, then what a new one would meet."""
    found = list(connections)
    own = [each for each in found if client.owns(each)]
    ended = {
        (row.service.key.address, row.service.key.port, each.server.address): each.server.drain
        for row in services
        for each in row.servers
        if each.server.drain in _ENDS
    }
    return (
        *_existing(client, own, ended),
        *(line for row in services for line in _new(client, row, found, reason_of)),
    )


# ---- Connections that exist ----


_ENDS: Final = {
    Drain.DROP: "is drained: its frames are dropped",
    Drain.RESET: "is drained: its next frame ends it, and the client is told",
    Drain.REHASH: "is drained: with its next frame it goes to another server",
}
_Ended = Mapping[tuple[Address, int, Address], Drain]


def _existing(client: Client, own: Sequence[Connection], ended: _Ended) -> Iterator[str]:
    if not own:
        yield f"{client.name} has no connection now."
        return
    for each in own[:MOST_CONNECTIONS]:
        yield _connection(each, ended.get((each.address, each.port, each.server)))
    if len(own) > MOST_CONNECTIONS:
        yield f"And {len(own) - MOST_CONNECTIONS} more connections."


def _connection(each: Connection, drain: Drain | None) -> str:
    who = f"{endpoint(each.client, each.client_port)} to {endpoint(each.address, each.port)}"
    server = endpoint(each.server, each.server_port)
    if each.removed:
        return (
            f"{each.protocol.upper()} {who} belongs to {server}, which has been taken out of the"
            " service: its frames are dropped."
        )
    if drain is not None:
        return f"{each.protocol.upper()} {who} belongs to {server}, which {_ENDS[drain]}."
    return (
        f"{each.protocol.upper()} {who} is in the table ({each.state}): its frames go to {server},"
        f" and it is forgotten in {_time(each.left_s)} unless another comes."
    )


def _time(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


# ---- A new one ----


def _new(
    client: Client, row: ServiceRow, connections: Iterable[Connection], reason_of: ReasonOf
) -> Iterator[str]:
    key = row.service.key
    start = f"A new connection to {key}"
    template = _template(client, row, connections)
    if template is not None:
        server = endpoint(template.server, template.server_port)
        yield (
            f"{start} goes to {server}: persistence keeps clients of {template.client} there for"
            f" another {_time(template.left_s)}."
        )
        return
    able = [each for each in row.servers if _obstacle(each) is None]
    if able:
        choice = ", ".join(f"{each.server.name} (weight {each.server.weight})" for each in able)
        yield f"{start} is given by {row.service.scheduler} to one of: {choice}."
    else:
        yield f"{start} is refused (ICMP port unreachable): no real server can take it."
    for each in row.servers:
        if obstacle := _obstacle(each):
            said = reason_of(key, each.server.address)
            yield f"{each.server.name} takes none: {obstacle}{f' ({said})' if said else ''}."


def _template(
    client: Client, row: ServiceRow, connections: Iterable[Connection]
) -> Connection | None:
    if row.service.persistent_s is None:
        return None
    mask = int(row.service.mask)
    for each in connections:
        if (
            each.template
            and not each.removed
            and each.address == row.service.key.address
            and each.client.version == client.address.version
            and int(each.client) == int(client.address) & mask
        ):
            return each
    return None


def _obstacle(row: ServerRow) -> str | None:
    if row.server.drain is not Drain.NONE:
        return "an operator has taken it out"
    if row.server.weight == 0:
        return "its weight is 0"
    if row.overloaded:
        return f"it is at its upper threshold of {row.server.upper} connections"
    if row.mac is None:
        return "its MAC address is not known"
    return None
