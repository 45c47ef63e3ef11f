"""Model: what the live screen shows of a look, in which order, and how fast it grew. Pure."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from ..cluster import Line, Look, State, place, total


class Order(enum.Enum):
    """What the servers are sorted by."""

    SERVICE = "service"
    FRAMES = "packets a second"
    NEW = "new connections a second"
    ACTIVE = "active connections"
    STATE = "state"


_STATES = (State.DOWN, State.UNKNOWN, State.QUIET, State.UP)


def ordered(rows: Sequence[Line], order: Order, *, reverse: bool = False) -> tuple[Line, ...]:
    """Sorted; the greatest figures and the worst states come first, unless reversed."""
    return tuple(sorted(rows, key=lambda line: _key(line, order), reverse=reverse))


def _key(line: Line, order: Order) -> tuple[object, ...]:
    match order:
        case Order.SERVICE:
            return place(line)
        case Order.FRAMES:
            return (-line.rates.packets, *place(line))
        case Order.NEW:
            return (-line.rates.connections, *place(line))
        case Order.ACTIVE:
            return (-line.active, *place(line))
        case Order.STATE:
            return (_STATES.index(line.state), *place(line))


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many frames ended so."""

    name: str
    count: int
    rate: float
    """A second, since the look before."""


def verdicts(look: Look, before: Look | None) -> tuple[Verdict, ...]:
    """Those that occurred, the most frequent first; their counts add up to the frames."""
    seen = [
        Verdict(name, count, _rate(look, before, name))
        for name, count in look.stats.verdicts.items()
        if count
    ]
    return tuple(sorted(seen, key=lambda verdict: -verdict.count))


def _rate(look: Look, before: Look | None, name: str) -> float:
    if before is None:
        return 0.0
    return _growth(look, before, look.stats.verdicts[name] - before.stats.verdicts.get(name, 0))


def _growth(look: Look, before: Look, more: int) -> float:
    """A second; a director that was started anew has less than before."""
    seconds = look.at_s - before.at_s
    return max(0, more) / seconds if seconds > 0 else 0.0


def books(look: Look, before: Look | None) -> Verdict:
    """What came in, as the core counted it, and whether the verdicts add up to it."""
    stats, rate = look.stats, sum(each.rate for each in verdicts(look, before))
    missing = stats.frames - sum(stats.verdicts.values())
    name = f"frames in, {missing:,} WITHOUT A VERDICT" if missing else "frames in, the sum of"
    return Verdict(name, stats.frames, rate)


def workers(look: Look, before: Look | None) -> tuple[Verdict, ...]:
    """How many frames each of several took; none where there is only one, which takes all."""
    now, then = look.stats.workers, before.stats.workers if before else ()
    if len(now) < 2:
        return ()
    if len(then) != len(now):
        then = now
    return tuple(
        Verdict(
            f"by worker {number}, {each.ring_dropped:,} more lost before it",
            each.frames,
            _growth(look, before or look, each.frames - earlier.frames),
        )
        for number, (each, earlier) in enumerate(zip(now, then, strict=True))
    )


def headline(look: Look, before: Look | None, rows: Sequence[Line]) -> str:
    """All of the director in one line; says so if the books do not balance."""
    stats = look.stats
    said = [
        f"{books(look, before).rate:,.0f} frames/s",
        f"{stats.rates.connections:,} new/s",
        f"{stats.connections:,} connections",
        total(rows) or "no servers",
    ]
    if stats.ring_dropped:
        said.append(f"{stats.ring_dropped:,} lost by the kernel")
    if missing := stats.frames - sum(stats.verdicts.values()):
        said.append(f"BOOKS: {missing:,} frames without a verdict")
    return "   ".join(said)
