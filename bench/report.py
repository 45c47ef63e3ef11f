"""Report: the results as text. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.machine import Machine
from bench.throughput import Ratio, Run, Spread, spread


@dataclass(frozen=True, slots=True)
class Lone:
    """Microseconds until a lone frame came back."""

    forwarder: str
    frames: int
    lost: int
    p50_us: float
    p90_us: float
    p99_us: float


@dataclass(frozen=True, slots=True)
class Results:
    """Everything one run of the benchmark found."""

    machine: Machine
    generator_cpu: int
    forwarder_cpu: int
    rounds: int
    round_s: float
    generator_rate: float
    """Frames a second into an interface where nobody receives."""
    stolen: float
    """Share of both CPUs' time that the hypervisor gave to others."""
    runs: tuple[Run, ...]
    ratios: tuple[Ratio, ...]
    lone: tuple[Lone, ...]
    idle_ms_per_s: float


def text(results: Results) -> str:
    """For people to read."""
    return "\n".join(
        [
            *_head(results),
            "",
            "Frames always waiting (others share the forwarder's CPU): what a frame costs",
            *_table([run for run in results.runs if run.crowded]),
            "A CPU for itself: what goes through",
            *_table([run for run in results.runs if not run.crowded]),
            "",
            *(line for ratio in results.ratios for line in _ratio(ratio)),
            "",
            *(_lone(lone) for lone in results.lone),
            f"idle       director with 1 connection: {results.idle_ms_per_s:.2f} ms CPU a second",
        ]
    )


def _head(results: Results) -> Iterator[str]:
    machine = results.machine
    yield f"{machine.processor}, {machine.cpus} CPUs, Linux {machine.kernel}, {machine.date}"
    yield (
        f"60-byte TCP frames over veth, generator on CPU {results.generator_cpu}, forwarder on "
        f"CPU {results.forwarder_cpu}, {results.rounds} rounds of {results.round_s:g} s"
    )
    yield "(with veth the sender's CPU does the receiver's work as far as its socket)"
    yield (
        f"generator with nobody to receive: {results.generator_rate:,.0f} frames/s; "
        f"stolen by the hypervisor: {results.stolen:.1%}"
    )


def _table(runs: Sequence[Run]) -> Iterator[str]:
    yield (
        f"{'':10} {'ns/frame':>8} {'least':>6} {'most':>6} {'user':>5}   {'frames/s':>9} "
        f"{'least':>9} {'most':>9}   {'busy':>4} {'lost':>4}  limited by"
    )
    for name in dict.fromkeys(run.forwarder for run in runs):
        yield _row(name, [run for run in runs if run.forwarder == name])


def _row(name: str, runs: Sequence[Run]) -> str:
    rate, cpu = spread([run.rate for run in runs]), spread([run.cpu_ns for run in runs])
    user, busy, lost = (
        spread([getattr(run, figure) for run in runs]).median for figure in ("user", "busy", "lost")
    )
    return (
        f"{name:10} {cpu.median:8,.0f} {cpu.least:6,.0f} {cpu.greatest:6,.0f} {user:5.0%}   "
        f"{rate.median:9,.0f} {rate.least:9,.0f} {rate.greatest:9,.0f}   {busy:4.0%} {lost:4.0%}  "
        f"{', '.join(sorted({run.limit for run in runs}))}"
    )


def _ratio(ratio: Ratio) -> Iterator[str]:
    name = f"director / {ratio.baseline}"
    if ratio.capacity is None:
        yield f"{name:21} frames per CPU time: none, the generator was the limit"
    else:
        yield f"{name:21} frames per CPU time {_three(ratio.capacity)}{_bar(ratio)}"
    if ratio.rate is None:
        yield f"{'':21} frames per second: none, limited by {', '.join(ratio.rate_limits)}"
    else:
        yield f"{'':21} frames per second {_three(ratio.rate)}"


def _bar(ratio: Ratio) -> str:
    if ratio.bar is None:
        return ""
    return f"   bar {ratio.bar:.2f}: {'met' if ratio.met else 'MISSED'}"


def _three(values: Spread) -> str:
    return f"{values.least:.2f} - {values.median:.2f} - {values.greatest:.2f}"


def _lone(lone: Lone) -> str:
    return (
        f"lone frame {lone.forwarder:10} p50 {lone.p50_us:.0f} us, p90 {lone.p90_us:.0f} us, "
        f"p99 {lone.p99_us:.0f} us ({lone.frames:,} frames, {lone.lost} lost)"
    )
