"""What watching costs a frame: `python -m bench.trace`.

Frames of 1,000 connections go through the core, without I/O, in batches as the loop takes them. The
ways take turns every few milliseconds, and each ratio is of neighbours in time. What a frame costs
with I/O is many times as much, so the share of that is less than what is printed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import ExitStack

from bench.core import ROUND, Core, core
from dr_forwarder.bench.model import Comparison, Findings, Value
from dr_forwarder.bench.session import Session

_FLOWS = 1000

_WAYS: dict[str, tuple[int, int] | None] = {
    "off": None,
    "one frame in 1,000": (1000, 0),
    "one frame in 100": (100, 0),
    "1,000 records a second": (1, 1000),
    "every frame": (1, 0),
}
"""For whoever watches: one frame in so many, records a second at most."""


def _made(stack: ExitStack, watched: tuple[int, int] | None, *, recorder: bool) -> Core:
    made = stack.enter_context(core(connections=_FLOWS * 2))
    if recorder:
        made.can_trace()
    if watched is not None:
        made.watch(*watched)
    assert made.fill(_FLOWS) == _FLOWS
    return made


def _nanoseconds(made: Core) -> float:
    made.prepare(0, _FLOWS)
    began_s = time.thread_time()
    assert made.decide() == ROUND
    return (time.thread_time() - began_s) / ROUND * 1e9


def measure(rounds: int) -> dict[str, list[float]]:
    """Nanoseconds a frame of each way, in each round."""
    with ExitStack() as stack:
        cores = {"without the flight recorder": _made(stack, None, recorder=False)}
        cores |= {way: _made(stack, watched, recorder=True) for way, watched in _WAYS.items()}
        taken: dict[str, list[float]] = {way: [] for way in cores}
        for _ in range(rounds):
            for way, made in cores.items():
                taken[way].append(_nanoseconds(made))
    return taken


def section(session: Session) -> Findings:
    """As a part of the whole benchmark."""
    session.tell("what watching costs")
    taken = measure(50 if session.plan.is_short else 300)
    values = {way: [Value(ns) for ns in all_ns] for way, all_ns in taken.items()}
    title = "a decision without I/O, by what is watched"
    found = Comparison(title, "ns/frame", values, less_is_better=True, base="off")
    return Findings(comparisons=(found,))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    taken = measure(parser.parse_args().rounds)
    print(f"{'':<28} {'ns/frame':>8} {'least':>6}  to 'off': quartile - median - quartile")
    for way, ns in taken.items():
        ratios = [a / b for a, b in zip(ns, taken["off"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        spread = f"{low:.3f} - {middle:.3f} - {high:.3f}"
        print(f"{way:<28} {statistics.median(ns):>8.1f} {min(ns):>6.1f}  {spread}")


if __name__ == "__main__":
    main()
