"""Listings of the kernel's against ours: what must be equal, and by how much numbers may differ.

The leniencies are those of ``deviations``: timers, lingering and ended connections, lots.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from . import deviations
from .deviations import LATE_REARM_S, REARM_S, TIMER_S

Entry = tuple[str, ...]
"""Protocol, state, source, virtual and destination of a connection line."""
Found = Iterator[tuple[str, object, object]]
"""What, expected, got."""

_ACTIVE = {"ESTABLISHED", "SYN_RECV", "SYN_SENT", "SYNACK"}
_TEMPLATE = {"NONE", "ASSURED"}
_NUMBERS = re.compile(r"(.{33})(( +\d+[KMGT]?){5})$")
_SERVER_LINE = re.compile(r"(  -> (\S+) +Route +\d+ +)(\d+) +(\d+) +$")


def same(what: str, expected: object, got: object) -> Found:
    """Nothing, when they are equal."""
    if expected != got:
        yield what, expected, got


def near(what: str, expected: int | None, got: int | None) -> Found:
    """Seconds left, or None of what is not there."""
    if expected is None or got is None:
        yield from same(what, expected, got)
    elif abs(expected - got) > TIMER_S:
        yield what, expected, got


def alike(theirs: Mapping[str, int], ours: Mapping[str, int]) -> Found:
    """Counts of lots drawn: five standard deviations of their difference."""
    for name in theirs.keys() | ours.keys():
        wanted, got = theirs.get(name, 0), ours.get(name, 0)
        if (wanted - got) ** 2 > 25 * (wanted + got):
            yield f"how often {name}", wanted, got


# ---- Connections ----


def entries(lines: Iterable[str]) -> dict[Entry, list[int]]:
    """Seconds left, ascending, by entry."""
    found: dict[Entry, list[int]] = defaultdict(list)
    for line in lines:
        protocol, left, *rest = line.split()
        minutes, _, seconds = left.rpartition(":")
        found[protocol, *rest].append(int(minutes) * 60 + int(seconds))
        found[protocol, *rest].sort()
    return dict(found)


def server_of(entry: Entry) -> tuple[str, str]:
    """Source, and address of the server: a template's ports may change."""
    return entry[2], entry[4].rpartition(":")[0]


def missing(
    theirs: Mapping[Entry, Sequence[int]],
    ours: Mapping[Entry, Sequence[int]],
    ended: Collection[tuple[str, str]],
) -> Iterator[Entry]:
    """The kernel's entries that we may do without: late, lingering, or of a removed server."""
    for entry, lefts in theirs.items():
        may_go = len(lefts) if server_of(entry) in ended else sum(left == 0 for left in lefts)
        for _ in range(min(may_go, len(lefts) - len(ours.get(entry, ())))):
            yield entry


class Connections:
    """Compares ``ipvsadm -Lnc``; remembers how late the kernel re-armed a template, so far."""

    def __init__(self) -> None:
        self._last: dict[Entry, int] = {}
        self._rearmed: dict[Entry, int] = defaultdict(int)

    def differences(
        self,
        theirs: Mapping[Entry, Sequence[int]],
        ours: Mapping[Entry, Sequence[int]],
        ended: Collection[tuple[str, str]],
    ) -> Found:
        """What is there only on one side, or has another time left."""
        spared = list(missing(theirs, ours, ended))
        for entry in sorted(theirs.keys() | ours.keys()):
            if deviations.is_own_server(entry[-1]):
                continue
            wanted, got = list(theirs.get(entry, ())), list(ours.get(entry, ()))
            wanted = wanted[spared.count(entry) :]
            while len(got) > len(wanted) and got[0] == 0:
                got = got[1:]
            if len(wanted) != len(got):
                yield "connection", _shown(entry, wanted), _shown(entry, got)
                continue
            for wanted_s, got_s in zip(wanted, got, strict=True):
                if not self._near(entry, wanted_s, got_s):
                    yield "time left", _shown(entry, [wanted_s]), _shown(entry, [got_s])

    def _near(self, entry: Entry, theirs_s: int, ours_s: int) -> bool:
        if abs(theirs_s - ours_s) <= TIMER_S:
            late_s = 0
        elif entry[1] in _TEMPLATE:
            late_s = LATE_REARM_S * self._rearmed[entry[2:]]
        else:
            return False
        if theirs_s > self._last.get(entry[2:], theirs_s):
            self._rearmed[entry[2:]] += 1
            late_s = LATE_REARM_S * self._rearmed[entry[2:]]
        self._last[entry[2:]] = theirs_s
        if late_s == 0:
            return abs(theirs_s - ours_s) <= TIMER_S
        # Ours may have been re-armed once more.
        return (theirs_s - ours_s + TIMER_S) % REARM_S <= late_s + 2 * TIMER_S


def _shown(entry: Entry, lefts: Iterable[int]) -> str:
    protocol, state, *rest = entry
    times = " ".join(f"{left // 60:02d}:{left % 60:02d}" for left in lefts) or "(none)"
    return " ".join((protocol, times, state, *rest))


# ---- Tables ----


@dataclass(frozen=True, slots=True)
class Table:
    """Compares ``ipvsadm -Ln`` in all its forms."""

    spared: tuple[Entry, ...]
    """The kernel's connections that we may do without, at this time."""
    lots: frozenset[str]
    """Services whose scheduler draws lots."""

    def differences(self, theirs: Sequence[str], ours: Sequence[str]) -> Found:
        """Line by line."""
        yield from same("lines", len(theirs), len(ours))
        service = ""
        numbers = any("OutPkts" in line or "OutPPS" in line for line in theirs)
        for wanted, got in zip(theirs, ours, strict=False):
            if re.match(r"(TCP|UDP|SCTP|FWM) ", wanted):
                service = wanted.split()[1]
            if wanted == got or self._with_less(wanted, service) == got:
                continue
            if service in self.lots and _without_counts(wanted) == _without_counts(got):
                continue
            if numbers and _without_out(wanted) == _without_out(got):
                continue
            yield "line", repr(wanted), repr(got)

    def _with_less(self, line: str, service: str) -> str:
        found = _SERVER_LINE.match(line)
        if found is None:
            return line
        states = [
            entry[1]
            for entry in self.spared
            if entry[3:] == (service, found[2]) and entry[1] not in _TEMPLATE
        ]
        active = int(found[3]) - sum(state in _ACTIVE for state in states)
        inactive = int(found[4]) - sum(state not in _ACTIVE for state in states)
        return f"{found[1]}{active:<10} {inactive:<10}"


def _without_counts(line: str) -> str:
    found = _SERVER_LINE.match(line)
    return found[1] if found else line


def _without_out(line: str) -> str:
    """Without what went out (deviations.OUT)."""
    found = _NUMBERS.match(line)
    if found is None:
        return line
    connections, packets, _, size, _ = found[2].split()
    return f"{found[1]} {connections} {packets} {size}"


class Lingering:
    """A rescheduled connection counts as inactive until the kernel gets to ending it."""

    def __init__(self) -> None:
        self._owed = 0

    def allows(self, wanted: tuple[int, int], got: tuple[int, int]) -> bool:
        """Whether changes of active and inactive agree, but for connections that linger."""
        self._owed += wanted[1] - got[1]
        return wanted[0] == got[0] and self._owed in (-1, 0, 1)
