"""Throughput: what the measured runs say, and what they do not. No I/O, no clock."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_BUSY = 0.95
"""A thread that had less of its CPU than this either waited for frames or for the CPU."""
_LOST = 0.01
"""A forwarder that lost less than this had no frames waiting all the time."""


@dataclass(frozen=True, slots=True)
class Run:
    """One forwarder under one flood."""

    forwarder: str
    crowded: bool
    """Others shared its CPU, so that frames waited for it and not it for frames."""
    sent: int
    forwarded: int
    rate: float
    """Frames that came back while the generator sent, a second."""
    cpu_ns: float
    """Of the forwarder's thread, a frame."""
    user: float
    """Share of it that was not spent in system calls."""
    busy: float
    """Share of the time that the thread was running."""

    @property
    def lost(self) -> float:
        """Share of the frames that the forwarder did not take."""
        return max(0.0, 1 - self.forwarded / self.sent)

    @property
    def limit(self) -> str:
        """What kept the rate from being higher."""
        if self.lost < _LOST:
            return "generator"
        return "forwarder" if self.busy >= _BUSY else "shared CPU"


@dataclass(frozen=True, slots=True)
class Spread:
    """Least, median and greatest of some values."""

    least: float
    median: float
    greatest: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """The director against a baseline, run beside run: more than 1 is better than the baseline.

    A spread is None when no pair of runs says anything about the forwarders.
    """

    baseline: str
    bar: float | None
    capacity: Spread | None
    """Frames for the same CPU time, when frames always wait."""
    rate: Spread | None
    """Frames in the same time, each with a CPU for itself."""
    rate_limits: tuple[str, ...]
    """What limited the rates of all pairs."""

    @property
    def met(self) -> bool | None:
        """Whether the median of the capacity reaches the bar."""
        if self.bar is None or self.capacity is None:
            return None
        return self.capacity.median >= self.bar


def spread(values: Sequence[float]) -> Spread:
    """Of one value at least."""
    return Spread(min(values), statistics.median(values), max(values))


def ratio(runs: Sequence[Run], baseline: str, bar: float | None) -> Ratio:
    """Compares each of the director's runs with the baseline's of the same round."""
    alone = _pairs([run for run in runs if not run.crowded], baseline)
    crowded = _pairs([run for run in runs if run.crowded], baseline)
    fair = [pair for pair in alone if _limits(pair) == {"forwarder"}]
    full = [pair for pair in crowded if "generator" not in _limits(pair)]
    return Ratio(
        baseline=baseline,
        bar=bar,
        capacity=_spread_of(full, lambda our, their: their.cpu_ns / our.cpu_ns),
        rate=_spread_of(fair, lambda our, their: our.rate / their.rate),
        rate_limits=tuple(sorted(set().union(*map(_limits, alone)))),
    )


def _pairs(runs: Sequence[Run], baseline: str) -> list[tuple[Run, Run]]:
    ours = [run for run in runs if run.forwarder == "director"]
    theirs = [run for run in runs if run.forwarder == baseline]
    return list(zip(ours, theirs, strict=True))


def _limits(pair: tuple[Run, Run]) -> set[str]:
    return {run.limit for run in pair}


def _spread_of(
    pairs: Sequence[tuple[Run, Run]], quotient: Callable[[Run, Run], float]
) -> Spread | None:
    return spread([quotient(our, their) for our, their in pairs]) if pairs else None
