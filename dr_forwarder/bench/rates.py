"""Rates: how many frames a second a forwarder on one CPU lets through, its receiving included."""

from __future__ import annotations

from dataclasses import dataclass, field

from .judge import LOSSLESS, contention, highest, late, starvation
from .model import Comparison, Findings, Table, Value, spread
from .runs import Load
from .session import FLOWS, Session, of_rounds
from .site import Running


@dataclass
class _Search:
    """Looks for the highest rate that a forwarder takes without loss."""

    session: Session
    running: Running
    frame_bytes: int
    peak: float = 0.0
    """Frames a second that came back at any rate that was tried."""
    disturbance: str = ""
    is_limited: bool = field(default=False)
    """By the generator."""

    def lossless(self, rate: int) -> bool:
        """Try one rate."""
        load = Load(b"", rate=rate, seconds=self.session.plan.run_s, frame_bytes=self.frame_bytes)
        run, disturbance = self.session.quiet_run(self.running, load)
        if run.lost > LOSSLESS and disturbance:
            self.disturbance = disturbance
        self.is_limited = late(run) and run.lost <= LOSSLESS
        self.peak = max(self.peak, run.rate)
        return run.lost <= LOSSLESS and not late(run)


def _searched(session: Session, name: str, frame_bytes: int) -> tuple[Value, Value]:
    """Without loss, and the most at any rate."""
    with session.opened(name) as running:
        search = _Search(session, running, frame_bytes)
        most = int(session.generator_rate)
        rate = highest(search.lossless, most, session.plan.steps)
    refused = search.disturbance
    if search.is_limited or rate > 0.95 * most:
        refused = f"the generator was the limit ({most:,} frames/s)"
    if refused:
        return Value(None, refused), Value(None, refused)
    return Value(rate), Value(search.peak)


def rates(session: Session) -> Findings:
    """Frames of 60 bytes."""
    if session.testbed.unsteered:
        return Findings(notes=(f"no rates: {session.testbed.unsteered}",))
    names = session.names
    lossless, peak = of_rounds(names), of_rounds(names)
    for _, name in session.rounds(names, "rates"):
        without_loss, most = _searched(session, name, 60)
        lossless[name].append(without_loss)
        peak[name].append(most)
    session.no_loss |= {
        name: spread(numbers).median
        for name, values in lossless.items()
        if (numbers := [value.number for value in values if value.number])
    }
    return Findings(
        comparisons=(
            Comparison("without loss, 60-byte frames", "frames/s", lossless),
            Comparison("the most at any rate, 60-byte frames", "frames/s", peak),
        ),
        notes=(
            f"the generator alone sends {session.generator_rate:,.0f} frames/s;"
            f" without loss: at most one frame in {1 / LOSSLESS:,.0f} lost",
        ),
    )


def sizes(session: Session) -> Findings:
    """Other frames, without loss."""
    if session.testbed.unsteered:
        return Findings(notes=(f"no rates: {session.testbed.unsteered}",))
    names = [name for name in ("director", "ring", "nftables", "ipvs") if name in session.names]
    mixed, longest = of_rounds(names), of_rounds(names)
    for _, name in session.rounds(names, "IMIX and 1,514 bytes"):
        mixed[name].append(_searched(session, name, 0)[0])
        longest[name].append(_searched(session, name, 1514)[0])
    return Findings(
        comparisons=(
            Comparison("without loss, IMIX (60, 590, 1,514 bytes as 7 : 4 : 1)", "frames/s", mixed),
            Comparison("without loss, 1,514-byte frames", "frames/s", longest),
        )
    )


# ---- What a frame costs ----

_BARS = {"ring": 0.90, "recv-send": 1.8, "testpmd": 1.0}


@dataclass(frozen=True)
class _Cost:
    """Nanoseconds a frame."""

    whole: float
    user: float
    system: float
    softirq: float


def costs(session: Session) -> Findings:
    """CPU time of the forwarding thread, while frames always wait for it."""
    names = [name for name in session.names if name not in ("nftables", "ipvs")]
    whole, parts = of_rounds(names), {name: list[_Cost]() for name in names}
    session.testbed.steer(on=False)
    try:
        for _, name in session.rounds(names, "CPU time a frame"):
            cost, refused = _cost(session, name)
            whole[name].append(Value(None if refused else cost.whole, refused))
            parts[name] += [] if refused else [cost]
    finally:
        session.testbed.steer(on=True)
    bars = {name: bar for name, bar in _BARS.items() if name in names}
    return Findings(
        comparisons=(
            Comparison(
                "CPU time of the forwarder's thread",
                "ns/frame",
                whole,
                less_is_better=True,
                bars=bars,
            ),
        ),
        tables=(_split(parts),),
        notes=(
            "others share the forwarder's CPU, so that frames always wait and batches are full;"
            " what nftables and IPVS forward has no thread whose time could be told",
        ),
    )


def _cost(session: Session, name: str) -> tuple[_Cost, str]:
    seconds = 2 * session.plan.run_s
    with session.opened(name) as running, session.testbed.crowd():
        run = session.testbed.run(running, Load(b"", first_flow=FLOWS, seconds=seconds))
    frames = max(1, run.rate * run.sent.seconds)
    usage = run.usage
    whole, system, softirq = (
        part * 1e9 / frames for part in (usage.cpu_s, usage.ticks.system, usage.ticks.softirq)
    )
    cost = _Cost(whole, max(0.0, whole - system - softirq), system, softirq)
    return cost, starvation(run) or _generator_only(contention(run))


def _generator_only(disturbance: str) -> str:
    """The forwarder shares its CPU on purpose."""
    return disturbance if "generator" in disturbance or "hypervisor" in disturbance else ""


def _split(parts: dict[str, list[_Cost]]) -> Table:
    rows = []
    for name, costs_ in parts.items():
        if costs_:
            figures = (
                spread([getattr(cost, part) for cost in costs_]).median
                for part in ("user", "system", "softirq")
            )
            rows.append((name, *(f"{figure:,.0f}" for figure in figures)))
    title = "where it goes, nanoseconds a frame (by clock ticks, so roughly)"
    return Table(title, ("", "user", "system", "softirq"), tuple(rows))
