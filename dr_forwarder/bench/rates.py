"""Rates: how many frames a second a forwarder on one CPU lets through, its receiving included."""

from __future__ import annotations

from dataclasses import dataclass, field

from .judge import LOSSLESS, highest, late
from .model import BARS, Comparison, Findings, Value, spread
from .runs import Load
from .session import FLOWS, Session, of_rounds
from .site import Running, Shape

ROOMY = Shape(connections=4_194_304)
"""For more connections than a search can open."""


@dataclass
class _Search:
    """Looks for the highest rate that a forwarder takes without loss."""

    session: Session
    running: Running
    frame_bytes: int = 60
    new_per_million: int = 0
    youngest: int = FLOWS
    """Flow; each try opens others."""
    peak: float = 0.0
    """Frames a second that came back at any rate that was tried."""
    disturbance: str = ""
    is_limited: bool = field(default=False)
    """By the generator."""

    def _load(self, rate: int) -> Load:
        seconds = self.session.plan.run_s
        load = Load(
            b"",
            rate=rate,
            seconds=seconds,
            frame_bytes=self.frame_bytes,
            new_per_million=self.new_per_million,
            first_flow=self.youngest,
        )
        if self.new_per_million:
            self.youngest += int(rate * seconds) + 1
        return load

    def lossless(self, rate: int) -> bool:
        """Try one rate."""
        run, disturbance = self.session.quiet_run(self.running, lambda: self._load(rate))
        if run.lost > LOSSLESS and disturbance:
            self.disturbance = disturbance
        self.is_limited = late(run) and run.lost <= LOSSLESS
        self.peak = max(self.peak, run.rate)
        return run.lost <= LOSSLESS and not late(run)


def searched(
    session: Session,
    name: str,
    *,
    frame_bytes: int = 60,
    new_per_million: int = 0,
    shape: Shape = ROOMY,
) -> tuple[Value, Value]:
    """Without loss, and the most at any rate."""
    with session.opened(name, shape=shape) as running:
        search = _Search(session, running, frame_bytes, new_per_million)
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
        without_loss, most = searched(session, name)
        lossless[name].append(without_loss)
        peak[name].append(most)
    found = Comparison("without loss, 60-byte frames", "frames/s", lossless, bars=BARS)
    session.no_loss |= {
        name: spread(numbers).median for name in names if (numbers := found.numbers(name))
    }
    return Findings(
        comparisons=(
            found,
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
        mixed[name].append(searched(session, name, frame_bytes=0)[0])
        longest[name].append(searched(session, name, frame_bytes=1514)[0])
    return Findings(
        comparisons=(
            Comparison("without loss, IMIX (60, 590, 1,514 bytes as 7 : 4 : 1)", "frames/s", mixed),
            Comparison("without loss, 1,514-byte frames", "frames/s", longest),
        )
    )


def new_connections(session: Session) -> Findings:
    """Every frame opens a connection, which is scheduled; the baselines have none to open."""
    if session.testbed.unsteered:
        return Findings(notes=(f"no rates: {session.testbed.unsteered}",))
    names = [name for name in ("director", "ring", "nftables", "ipvs") if name in session.names]
    found = of_rounds(names)
    for _, name in session.rounds(names, "new connections"):
        found[name].append(searched(session, name, new_per_million=1_000_000)[0])
    return Findings(
        comparisons=(Comparison("new connections without loss", "connections/s", found),)
    )
