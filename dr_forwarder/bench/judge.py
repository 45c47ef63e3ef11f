"""Judge: when a measurement says nothing of the forwarder. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable

from .runs import Run, Sent, Usage

LOSSLESS = 0.001
"""A forwarder that loses no more than this share of the frames is said to lose none."""
_FULL = 0.01
"""One that loses less than this does not always have frames waiting."""
_DISTURBED = 0.05
"""Share of the time for which others may keep a program from its CPU."""


def contention(run: Run) -> str:
    """Empty, or who else used the CPUs."""
    seconds = run.sent.seconds
    if seconds <= 0:
        return "nothing was sent"
    return contention_of_sender(run.sent) or crowding(run.usage, seconds)


def contention_of_sender(sent: Sent) -> str:
    """Empty, or who else used its CPU."""
    if sent.waited_s > _DISTURBED * sent.seconds:
        return f"others had the generator's CPU for {sent.waited_s / sent.seconds:.0%} of the time"
    return ""


def crowding(usage: Usage, seconds: float) -> str:
    """Empty, or who else used the forwarder's CPUs in that time."""
    ticks = usage.ticks
    if ticks.total > 0 and ticks.stolen / ticks.total > _DISTURBED:
        return f"the hypervisor took {ticks.stolen / ticks.total:.0%} of the forwarder's CPU"
    if usage.kept_s / seconds > _DISTURBED:
        return f"others had the forwarder's CPU for {usage.kept_s / seconds:.0%} of the time"
    return ""


def starvation(run: Run) -> str:
    """Empty when frames always waited for the forwarder."""
    return "the generator was the limit" if run.lost < _FULL else ""


def late(run: Run) -> bool:
    """Whether the generator could not send as fast as it was told to."""
    return run.sent.late > _FULL * run.sent.frames


def highest(lossless: Callable[[int], bool], most: int, steps: int) -> int:
    """The highest rate without loss up to `most`, by halving; 0 when there is none."""
    low, high = 0, most
    for _ in range(steps):
        middle = (low + high) // 2
        if lossless(middle):
            low = middle
        else:
            high = middle
    return low
