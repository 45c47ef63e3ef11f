"""Mark boxes: rules that set marks, followed for all packets at once. Pure.

A box is a set of packets: destinations, protocols, ports. What rules have made of the marks so far
is a list of boxes, each with its mark; the first that holds a packet counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, summarize_address_range
from typing import Final

PROTOCOLS: Final = ("tcp", "udp", "sctp")
ALL_PROTOCOLS: Final = 0b111
"""As bits, in this order."""
LAST_PORT: Final = 65535
MOST_BOXES: Final = 20_000
_DEEPEST: Final = 64
"""Chains that call each other; the kernel refuses loops."""


@dataclass(frozen=True, slots=True)
class Box:
    """Packets by destination, protocol and destination port; without a range of addresses, all."""

    family: int = 0
    """4, 6, or 0 for both."""
    addresses: tuple[int, int] | None = None
    protocols: int = ALL_PROTOCOLS
    ports: tuple[int, int] = (0, LAST_PORT)

    def common(self, other: Box) -> Box | None:
        """What is in both; None for nothing."""
        if self.family and other.family and self.family != other.family:
            return None
        addresses = self.addresses or other.addresses
        if self.addresses and other.addresses:
            addresses = _overlap(self.addresses, other.addresses)
            if addresses is None:
                return None
        protocols, ports = self.protocols & other.protocols, _overlap(self.ports, other.ports)
        if not protocols or ports is None:
            return None
        return Box(self.family or other.family, addresses, protocols, ports)

    def without(self, other: Box) -> Iterator[Box]:
        """Boxes of what is in this one alone."""
        both = self.common(other)
        if both is None:
            yield self
            return
        if both.addresses and self.addresses:
            for part in _outside(self.addresses, both.addresses):
                yield replace(self, addresses=part)
        if rest := self.protocols & ~both.protocols:
            yield replace(both, protocols=rest, ports=self.ports)
        for part in _outside(self.ports, both.ports):
            yield replace(both, ports=part)


EVERYTHING: Final = Box()


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int] | None:
    first, last = max(one[0], other[0]), min(one[1], other[1])
    return (first, last) if first <= last else None


def _outside(whole: tuple[int, int], part: tuple[int, int]) -> Iterator[tuple[int, int]]:
    if whole[0] < part[0]:
        yield whole[0], part[0] - 1
    if part[1] < whole[1]:
        yield part[1] + 1, whole[1]


def networks(box: Box) -> Iterator[IPv4Network | IPv6Network]:
    """The destinations of a box that has some."""
    if box.addresses is not None:
        kind = ip_address("0.0.0.0" if box.family == 4 else "::").__class__
        first, last = (kind(each) for each in box.addresses)
        yield from summarize_address_range(first, last)


# ---- Rules ----


@dataclass(frozen=True, slots=True)
class Among:
    """A packet is in one of the boxes, or in none of them."""

    boxes: tuple[Box, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Marked:
    """Its mark so far is this one, where the mask has bits."""

    value: int
    mask: int = 0xFFFFFFFF
    negated: bool = False

    def holds(self, mark: int) -> bool:
        """Say so of a mark."""
        return (mark & self.mask == self.value) != self.negated


@dataclass(frozen=True, slots=True)
class SetMark:
    """The mark becomes ``mark & keep ^ flip``."""

    keep: int
    flip: int

    def of(self, mark: int) -> int:
        """Give the new one."""
        return (mark & self.keep) ^ self.flip


@dataclass(frozen=True, slots=True)
class Verdict:
    """``accept``, ``drop``, ``return``, ``jump`` or ``goto``, the last two to a chain."""

    word: str
    chain: str = ""


Action = SetMark | Verdict


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; its actions are for the packets that match all."""

    line: int
    text: str
    matches: tuple[Among | Marked, ...] = ()
    actions: tuple[Action, ...] = ()
    obstacle: str = ""
    """Why it cannot be known which packets match, or what is done to them."""
    applies: bool = True
    """False: it is for another interface."""


@dataclass(slots=True)
class Chain:
    """Rules; a base chain has a place in the order in which the kernel asks."""

    rules: list[Rule] = field(default_factory=list)
    order: tuple[int, int] | None = None
    """Hook and priority, where it is one that sees packets on their way in."""
    drops: bool = False
    """Its policy."""


# ---- What becomes of the packets ----

_LIVE, _DONE, _DROPPED = "live", "done", "dropped"


@dataclass(frozen=True, slots=True)
class Entry:
    """Packets, their mark, and where they are."""

    box: Box
    mark: int = 0
    place: str = _LIVE
    """``live``, ``done`` with this base chain, ``dropped``, or waiting for the end of a chain."""
    line: int = 0
    """Of the rule that set the mark."""


class TooManyError(ValueError):
    """The rules cut the packets into too many boxes."""


def follow(chains: Mapping[str, Chain]) -> list[Entry]:
    """All packets after all base chains on their way in; the first entry that fits counts."""
    entries = [Entry(EVERYTHING)]
    bases = [chain for chain in chains.values() if chain.order is not None]
    for base in sorted(bases, key=lambda chain: chain.order or (0, 0)):
        entries = _run(base, entries, chains, 0)
        entries = _resume(entries, _LIVE, _DROPPED) if base.drops else entries
        entries = _resume(entries, _DONE)
    return entries


def _run(
    chain: Chain, entries: list[Entry], chains: Mapping[str, Chain], depth: int
) -> list[Entry]:
    """Give packets that are live to the chain; those that return are live again at its end."""
    for rule in chain.rules:
        if rule.applies and not rule.obstacle:
            entries = _apply(rule, entries, chains, depth)
        if len(entries) > MOST_BOXES:
            raise TooManyError(f"the rules cut packets into more than {MOST_BOXES} parts")
    return _resume(entries, f"returned {depth}")


def _resume(entries: list[Entry], place: str, to: str = _LIVE) -> list[Entry]:
    return [replace(e, place=to) if e.place == place else e for e in entries]


def _apply(
    rule: Rule, entries: list[Entry], chains: Mapping[str, Chain], depth: int
) -> list[Entry]:
    regions = _regions(rule)
    waiting = f"waiting {depth}"
    hit: list[Entry] = []
    for region in regions:
        for entry in entries:
            if (box := region.common(entry.box)) is not None:
                place = waiting if entry.place == _LIVE and not _holds(rule, entry) else entry.place
                hit.append(replace(entry, box=box, place=place))
    spared = _resume(list(_spared(rule, regions, entries)), _LIVE, waiting)
    entries = [*spared, *hit, *_resume(list(_left(regions, entries)), _LIVE, waiting)]
    for action in rule.actions:
        entries = _act(action, entries, chains, depth, rule.line)
    return _resume(entries, waiting)


def _spared(rule: Rule, regions: Sequence[Box], entries: list[Entry]) -> Iterator[Entry]:
    """Packets in the regions that a negated match lets go."""
    for match in rule.matches:
        if isinstance(match, Among) and match.negated:
            for region in (each.common(box) for each in regions for box in match.boxes):
                for entry in entries:
                    box = None if region is None else region.common(entry.box)
                    if box is not None:
                        yield replace(entry, box=box)


def _regions(rule: Rule) -> list[Box]:
    regions = [EVERYTHING]
    for match in rule.matches:
        if isinstance(match, Among) and not match.negated:
            both = (region.common(box) for region in regions for box in match.boxes)
            regions = [box for box in both if box is not None]
    return regions


def _holds(rule: Rule, entry: Entry) -> bool:
    return all(match.holds(entry.mark) for match in rule.matches if isinstance(match, Marked))


def _left(regions: Sequence[Box], entries: list[Entry]) -> Iterator[Entry]:
    """Entries that no region covers as a whole."""
    for entry in entries:
        if not any(region.common(entry.box) == entry.box for region in regions):
            yield entry


def _act(
    action: Action, entries: list[Entry], chains: Mapping[str, Chain], depth: int, line: int
) -> list[Entry]:
    if isinstance(action, SetMark):
        return [
            replace(e, mark=action.of(e.mark), line=line) if e.place == _LIVE else e
            for e in entries
        ]
    match action.word:
        case "accept":
            return _resume(entries, _LIVE, _DONE)
        case "drop":
            return _resume(entries, _LIVE, _DROPPED)
        case "return":
            return _resume(entries, _LIVE, f"returned {depth}")
    if depth >= _DEEPEST or action.chain not in chains:
        return entries
    entries = _run(chains[action.chain], entries, chains, depth + 1)
    return _resume(entries, _LIVE, f"returned {depth}") if action.word == "goto" else entries


def marked(entries: Iterable[Entry]) -> Iterator[tuple[Box, Entry]]:
    """The boxes that have a mark in the end, without what an entry before takes out of them."""
    unmarked: list[Box] = []
    for entry in entries:
        if entry.mark == 0 or entry.place == _DROPPED:
            unmarked.append(entry.box)
            continue
        parts = [entry.box]
        for hole in unmarked:
            parts = [rest for part in parts for rest in part.without(hole)]
        yield from ((part, entry) for part in parts)
