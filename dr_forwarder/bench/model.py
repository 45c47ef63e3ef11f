"""What a section of the benchmark finds. No I/O, no clock."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

SUBJECT = "director"
BY_XDP = "xdp"
"""The director too; it has a section of its own, because it receives in another way."""
BARS = {"ring": 0.90, "recv-send": 1.8, "testpmd": 1.0}
"""What the director shall reach, of what each of these does with the same CPU."""

B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class Spread:
    """Least, median and greatest of some values."""

    least: float
    median: float
    greatest: float


def spread(values: Sequence[float]) -> Spread:
    """Of one value at least."""
    return Spread(min(values), statistics.median(values), max(values))


@dataclass(frozen=True, slots=True)
class Value:
    """One measurement: a number, or why there is none."""

    number: float | None
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The same measured of several, round by round, one after the other in each round."""

    title: str
    unit: str
    values: Mapping[str, Sequence[Value]]
    """Of each one its value in each round."""
    less_is_better: bool = False
    bars: Mapping[str, float] = field(default_factory=dict)
    """What the director's ratio to a baseline must reach."""
    base: str = ""
    """What all others are compared with, where it is not the director with all others."""

    def numbers(self, name: str) -> list[float]:
        """Those that were not refused."""
        return [value.number for value in self.values[name] if value.number is not None]

    @property
    def compared(self) -> tuple[str, ...]:
        """Those that have a ratio."""
        centre = self.base or SUBJECT
        return tuple(name for name in self.values if name != centre and centre in self.values)

    def ratio(self, name: str) -> Spread | None:
        """The director's value to this one's of the same round, or this one's to the base's.

        More than 1 is better.
        """
        ours, theirs = (name, self.base) if self.base else (SUBJECT, name)
        pairs = [
            (our.number, their.number)
            for our, their in zip(self.values[ours], self.values[theirs], strict=True)
            if our.number and their.number
        ]
        if not pairs:
            return None
        if self.less_is_better:
            return spread([their / our for our, their in pairs])
        return spread([our / their for our, their in pairs])


@dataclass(frozen=True, slots=True)
class Table:
    """Figures that stand for themselves."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """Lines to be drawn: of each name its points."""

    title: str
    x: str
    y: str
    lines: Mapping[str, Sequence[tuple[float, float]]]
    logarithmic: bool = False
    """Of x."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What figures depend on besides the program."""

    processor: str
    cpus: int
    kernel: str
    date: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What one section found; all parts may be empty."""

    comparisons: tuple[Comparison, ...] = ()
    tables: tuple[Table, ...] = ()
    curves: tuple[Curve, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Section(Generic[B]):
    """One thing that is measured: its name, what it is in a sentence, and how."""

    name: str
    sentence: str
    run: Callable[[B], Findings]
