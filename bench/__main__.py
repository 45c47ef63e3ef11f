"""The side-by-side benchmark: the director against forwarders that decide nothing.

python -m bench [--quick] [--rounds N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import scale
from bench.machine import describe, stolen
from bench.report import Lone, Results, text
from bench.testbed import FORWARDERS, BenchError, Testbed
from bench.throughput import Run, ratio
from dr_forwarder.lab.errors import LabError
from dr_forwarder.lab.privilege import acquire_privileges

_BARS = {"ring": 0.85, "recvmmsg": None, "recv-send": 1.6}
_PAUSE_US = 1000


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to look."""

    rounds: int
    round_s: float
    lone_frames: int
    idle_s: float


_FULL = Plan(rounds=5, round_s=1.5, lone_frames=2000, idle_s=2.0)
_QUICK = Plan(rounds=2, round_s=0.5, lone_frames=300, idle_s=1.0)


def _tell(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


def _run(testbed: Testbed, name: str, seconds: float, *, crowded: bool) -> Run:
    flood, work = testbed.measure(name, seconds, crowded=crowded)
    if work.forwarded == 0:
        raise BenchError(f"{name} forwarded nothing")
    return Run(
        forwarder=name,
        crowded=crowded,
        sent=flood.sent,
        forwarded=work.forwarded,
        rate=flood.returned / flood.seconds,
        cpu_ns=work.cpu_ns / work.forwarded,
        user=work.user_ns / (work.user_ns + work.system_ns),
        busy=work.cpu_ns / (flood.seconds * 1e9),
    )


def _rounds(testbed: Testbed, plan: Plan) -> Iterator[Run]:
    for number, crowded in product(range(plan.rounds), (True, False)):
        for name in FORWARDERS:
            run = _run(testbed, name, plan.round_s, crowded=crowded)
            yield run
            _tell(
                f"round {number + 1}: {name:9} {'crowded' if crowded else 'alone':7} "
                f"{run.cpu_ns:6,.0f} ns/frame {run.rate:9,.0f} frames/s, limited by {run.limit}"
            )


def _percentile(values: Sequence[int], percent: int) -> float:
    return values[min(len(values) - 1, len(values) * percent // 100)] / 1000


def _lone(testbed: Testbed, name: str, count: int) -> Lone:
    times = testbed.probe(count, _PAUSE_US)
    if not times:
        raise BenchError(f"{name} forwarded no lone frame")
    p50, p90, p99 = (_percentile(times, percent) for percent in (50, 90, 99))
    return Lone(name, count, count - len(times), p50_us=p50, p90_us=p90, p99_us=p99)


def _at_rest(testbed: Testbed, plan: Plan) -> tuple[tuple[Lone, ...], float]:
    """Lone frames, and what the director uses when there are none."""
    _tell("lone frames")
    with testbed.forwarder("recv-send"):
        least = _lone(testbed, "recv-send", plan.lone_frames)
    with testbed.forwarder("director") as director:
        ours = _lone(testbed, "director", plan.lone_frames)
        _tell("idle")
        before = director.cpu_ns()
        time.sleep(plan.idle_s)
        idle_ns = director.cpu_ns() - before
    return (ours, least), idle_ns / 1e6 / plan.idle_s


def _measure(testbed: Testbed, plan: Plan) -> Results:
    stolen_before, ticks_before = stolen()
    generator = testbed.flood(plan.round_s)
    runs = tuple(_rounds(testbed, plan))
    lone, idle_ms_per_s = _at_rest(testbed, plan)
    stolen_after, ticks_after = stolen()
    return Results(
        machine=describe(),
        generator_cpu=testbed.generator_cpu,
        forwarder_cpu=testbed.forwarder_cpu,
        rounds=plan.rounds,
        round_s=plan.round_s,
        generator_rate=generator.rate,
        stolen=(stolen_after - stolen_before) / (ticks_after - ticks_before),
        runs=runs,
        ratios=tuple(ratio(runs, name, bar) for name, bar in _BARS.items()),
        lone=lone,
        idle_ms_per_s=idle_ms_per_s,
    )


def _plan(options: argparse.Namespace) -> Plan:
    plan = _QUICK if options.quick else _FULL
    rounds = options.rounds or plan.rounds
    return Plan(rounds, plan.round_s, plan.lone_frames, plan.idle_s)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two short rounds: does it work")
    parser.add_argument("--rounds", type=int, choices=range(1, 51), metavar="N", help="1 to 50")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        acquire_privileges()
        with TemporaryDirectory() as directory, Testbed(Path(directory)) as testbed:
            results = _measure(testbed, _plan(options))
            _tell("ten thousand servers; two thousand that are checked")
            seconds = scale.QUICK_S if options.quick else scale.FULL_S
            start, checks = scale.measure(Path(directory), seconds=seconds)
    except (BenchError, LabError) as error:
        _tell(f"bench: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    print(text(results))
    print("\n".join(scale.text(start, checks)))
    if options.json:
        figures = asdict(results) | {"start_up": asdict(start), "checks": asdict(checks)}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
