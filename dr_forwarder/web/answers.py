"""Answers: what the page's script is told, as JSON's types. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from ..cluster import Line, Look, State, host, lines
from ..events import Happening
from ..messages import jsonable
from ..table import Key, ServiceRow

MOST_SERVERS: Final = 200
"""So many of a service are told of one by one, those that are down first."""
_ORDER: Final = {State.DOWN: 0, State.UNKNOWN: 1, State.QUIET: 2, State.UP: 3}


def look(look: Look, chosen: str | None) -> dict[str, Any]:
    """The counters, all services in short, and the servers of the chosen one, or of the first."""
    servers = _by_service(look)
    rows = {_name(row.service.key): row for row in look.services}
    name = chosen if chosen in rows else next(iter(rows), None)
    return {
        "at_s": look.at_s,
        "stats": jsonable(look.stats),
        "services": [_short(key, row, servers[key]) for key, row in rows.items()],
        "states": _states(line for each in servers.values() for line in each),
        "chosen": None if name is None else _whole(name, rows[name], servers[name]),
    }


def names(look: Look) -> set[str]:
    """Of services, by which one of them is chosen."""
    return {_name(row.service.key) for row in look.services}


def _by_service(look: Look) -> dict[str, list[Line]]:
    """Each service's lines, those outside the table too."""
    found: dict[str, list[Line]] = {_name(row.service.key): [] for row in look.services}
    for line in lines(look):
        if line.service is not None:
            found[_name(line.service)].append(line)
    return found


def _name(key: Key) -> str:
    """IPv4 and IPv6 may have the same mark."""
    return f"{key} (IPv6)" if key.protocol == "fwm" and key.address.version == 6 else str(key)


def _states(found: Iterable[Line]) -> dict[str, int]:
    counts = {state.value: 0 for state in State}
    for line in found:
        counts[line.state.value] += 1
    return counts


def _short(key: str, row: ServiceRow, found: list[Line]) -> dict[str, Any]:
    return {"name": key, "rates": jsonable(row.rates), "states": _states(found)}


def _whole(key: str, row: ServiceRow, found: list[Line]) -> dict[str, Any]:
    told = sorted(found, key=lambda line: _ORDER[line.state])[:MOST_SERVERS]
    kept = {id(line) for line in told}
    return {
        **_short(key, row, found),
        "service": jsonable(row.service),
        "servers": [
            {**jsonable(line), "address": host(line.server)} for line in found if id(line) in kept
        ],
        "more": len(found) - len(told),
    }


def events(
    happened: Sequence[Happening], text: Callable[[Happening], str | None], *, after: int
) -> dict[str, Any]:
    """Those that have words, the oldest first; and the number of the last, which begins anew with
    a director that is started again."""
    return {
        "last": happened[-1].number if happened else 0,
        "events": [
            {"number": each.number, "at_s": each.at_s, "kind": each.kind, "text": words}
            for each in happened
            if each.number > after and (words := text(each)) is not None
        ],
    }
