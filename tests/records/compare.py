"""Listings of the kernel's against ours: what must be equal, and by how much numbers may differ.

The leniencies are those of ``deviations``: timers, lingering and ended connections, lots.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from . import deviations
from .datagrams import joined
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
        self._misread: set[str] = set()

    def misread(self, source: str) -> None:
        """The kernel took something else of this client for its TCP flags (deviations.MISREAD)."""
        self._misread.add(source)

    def differences(
        self,
        theirs: Mapping[Entry, Sequence[int]],
        ours: Mapping[Entry, Sequence[int]],
        ended: Collection[tuple[str, str]],
    ) -> Found:
        """What is there only on one side, or has another time left."""
        spared = list(missing(theirs, ours, ended))
        for entry in sorted(theirs.keys() | ours.keys()):
            if deviations.is_own_server(entry[-1]) or self._has_other_state(entry, theirs, ours):
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

    def _has_other_state(
        self, entry: Entry, theirs: Collection[Entry], ours: Collection[Entry]
    ) -> bool:
        """There on both sides, and misread by the kernel."""
        ends = entry[2:]
        both = any(e[2:] == ends for e in theirs) and any(e[2:] == ends for e in ours)
        return entry[2] in self._misread and both

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

Counts = Mapping[tuple[str, str], tuple[int, int]]
"""Packets and bytes, by service and server."""


class Counted:
    """How much more was counted of datagrams in fragments than by the kernel, so far."""

    def __init__(self) -> None:
        self._more: dict[tuple[str, str], tuple[int, int]] = {}

    def note(self, before: Counts, after: Counts, pieces: deviations.Pieces) -> None:
        """After one datagram; the kernel counts it once, if it saw it whole."""
        whole = joined(pieces.sent)
        kernels = (1, whole.size) if whole and pieces.theirs else (0, 0)
        for place, (packets, size) in after.items():
            packets_before, bytes_before = before.get(place, (0, 0))
            if packets > packets_before:
                more_packets, more_bytes = self._more.get(place, (0, 0))
                self._more[place] = (
                    more_packets + packets - packets_before - kernels[0],
                    more_bytes + size - bytes_before - kernels[1],
                )

    def more(self, service: str, server: str | None) -> tuple[int, int]:
        """Packets and bytes of a server, or of a whole service."""
        found = [
            more
            for (of_service, of_server), more in self._more.items()
            if of_service == service and server in (None, of_server)
        ]
        return sum(packets for packets, _ in found), sum(size for _, size in found)


@dataclass(frozen=True, slots=True)
class Table:
    """Compares ``ipvsadm -Ln`` in all its forms."""

    spared: tuple[Entry, ...]
    """The kernel's connections that we may do without, at this time."""
    lots: frozenset[str]
    """Services whose scheduler draws lots."""
    counted: Counted

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
            if numbers and self._numbers_agree(wanted, got, service):
                continue
            yield "line", repr(wanted), repr(got)

    def _numbers_agree(self, wanted: str, got: str, service: str) -> bool:
        theirs, ours = _numbers(wanted), _numbers(got)
        if theirs is None or ours is None:
            return False
        words = theirs[0].split()
        packets, size = self.counted.more(service, words[1] if words[0] == "->" else None)
        ours[1][1] -= packets
        ours[1][2] -= size
        return theirs == ours

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


def _numbers(line: str) -> tuple[str, list[int]] | None:
    """Without what went out (deviations.OUT): connections, packets, bytes."""
    found = _NUMBERS.match(line)
    if found is None:
        return None
    columns = found[2].split()
    return found[1], [int(columns[at]) if columns[at].isdecimal() else -1 for at in (0, 1, 3)]


def origins(theirs: Sequence[str], ours: Sequence[str]) -> Found:
    """``/proc/net/ip_vs_conn_sync``: in any order, seconds left nearly."""
    wanted, got = (dict(line.rsplit(maxsplit=1) for line in lines[1:]) for lines in (theirs, ours))
    yield from same("connections", sorted(wanted), sorted(got))
    for entry in wanted.keys() & got.keys():
        yield from near(f"seconds left of {entry}", int(wanted[entry]), int(got[entry]))


def blocks(lines: Iterable[str]) -> list[list[str]]:
    """Services with their servers, in an order of their own (deviations.ORDER)."""
    found: list[list[str]] = [[]]
    for line in lines:
        if re.match(r"(TCP|UDP|SCTP|FWM) ", line):
            found.append([])
        found[-1].append(line)
    return [found[0], *sorted(found[1:])]


class Lingering:
    """A rescheduled connection counts as inactive until the kernel gets to ending it."""

    def __init__(self) -> None:
        self._owed = 0

    def allows(self, wanted: tuple[int, int], got: tuple[int, int]) -> bool:
        """Whether changes of active and inactive agree, but for connections that linger."""
        self._owed += wanted[1] - got[1]
        return wanted[0] == got[0] and self._owed in (-1, 0, 1)
