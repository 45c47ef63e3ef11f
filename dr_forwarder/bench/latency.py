"""Latency: from before a frame is sent until the kernel has it back at the sender's socket."""

from __future__ import annotations

from collections.abc import Sequence

from .judge import LOSSLESS
from .model import SUBJECT, Comparison, Curve, Findings, Table, Value, spread
from .rates import searched
from .runs import Load, Run
from .session import FLOWS, Session, of_rounds
from .site import Running, Shape

BAR_US = 60.0
_LONE_RATE = 1000
_SAMPLES_A_SECOND = 5000
_SHARES = (10, 50, 90)
_TRIES = 3
"""At each load; the one that lost least counts, for a rate found once is not quite another's."""
_PERCENTILES = (50, 90, 99)


def percentile_us(latencies_ns: Sequence[int], percent: int) -> float:
    """Of times of which the shortest is first, by the nearest rank."""
    return latencies_ns[min(len(latencies_ns) - 1, len(latencies_ns) * percent // 100)] / 1000


def lone(session: Session) -> Findings:
    """One frame a millisecond; the forwarder sleeps between two.

    Then the same while its CPU is not halted meanwhile: what is less is the way back from a halt.
    """
    names = session.names
    medians, awake_medians = of_rounds(names), of_rounds(names)
    all_ns = {name: list[int]() for name in names}
    for _, name in session.rounds(names, "lone frames"):
        with session.opened(name) as running:
            medians[name].append(_median(session, running, all_ns[name]))
            with session.testbed.without_halts():
                awake_medians[name].append(_median(session, running, []))
    title = "a lone frame, median of each round"
    comparison = Comparison(title, "us", medians, less_is_better=True)
    title = "a lone frame, its CPU never halted, median of each round"
    unhalted = Comparison(title, "us", awake_medians, less_is_better=True)
    rows = tuple(
        (name, *_percentiles(sorted(found)), f"{len(found):,}")
        for name, found in all_ns.items()
        if found
    )
    columns = ("microseconds", *(f"p{percent}" for percent in _PERCENTILES), "frames")
    return Findings(
        comparisons=(comparison, unhalted),
        tables=(Table("a lone frame", columns, rows),),
        notes=_bar(comparison.numbers(SUBJECT), unhalted.numbers(SUBJECT)),
    )


def _median(session: Session, running: Running, all_ns: list[int]) -> Value:
    """Of a run of lone frames, whose times are added to the others'."""
    seconds = 2 * session.plan.run_s
    load = Load(b"", first_flow=FLOWS, rate=_LONE_RATE, seconds=seconds, sample_every=1)
    run, disturbance = session.quiet_run(running, lambda: load)
    refused = disturbance or ("" if run.sent.latencies_ns else "no frame came back")
    if refused:
        return Value(None, refused)
    all_ns += run.sent.latencies_ns
    return Value(percentile_us(run.sent.latencies_ns, 50))


def _bar(medians: Sequence[float], unhalted: Sequence[float]) -> tuple[str, ...]:
    if not medians:
        return ()
    median = spread(medians).median
    met = "met" if median <= BAR_US else "MISSED"
    said = f"bar: a median of {BAR_US:g} us or less; {median:.0f} us: {met}"
    if unhalted:
        less = median - spread(unhalted).median
        said += f"; {less:.0f} us of it are the way of the forwarder's CPU back from a halt"
    return (said,)


def _percentiles(latencies_ns: Sequence[int]) -> tuple[str, ...]:
    return tuple(f"{percentile_us(latencies_ns, percent):,.0f}" for percent in _PERCENTILES)


_AWAKE_US = (0, 50, 200, 500, 900, 1100)
"""The last one is longer than the pause between two lone frames: the director never sleeps."""


def awake(session: Session) -> Findings:
    """The director alone, told to stay awake for a while after a frame (`busy_poll`)."""
    seconds = 2 * session.plan.run_s
    load = Load(b"", first_flow=FLOWS, rate=_LONE_RATE, seconds=seconds, sample_every=1)
    latencies = {us: list[int]() for us in _AWAKE_US}
    shares = {us: list[float]() for us in _AWAKE_US}
    names = {str(us): us for us in _AWAKE_US}
    refused = 0
    for _, name in session.rounds(list(names), "microseconds awake"):
        us = names[name]
        with session.opened(SUBJECT, shape=Shape(busy_poll_us=us)) as running:
            run, disturbance = session.quiet_run(running, lambda: load)
        if disturbance:
            refused += 1
            continue
        latencies[us] += run.sent.latencies_ns
        shares[us].append(run.usage.cpu_s / run.sent.seconds)
    found = {us: sorted(latencies[us]) for us in _AWAKE_US if latencies[us]}
    rows = tuple(
        (f"{us:,}", *_percentiles(times), f"{spread(shares[us]).median:.0%}")
        for us, times in found.items()
    )
    columns = ("busy_poll", *(f"p{percent}" for percent in _PERCENTILES), "of its CPU")
    points = [(float(us), percentile_us(times, 50)) for us, times in found.items()]
    title = "a lone frame each millisecond, microseconds"
    return Findings(
        tables=(Table(title, columns, rows),),
        curves=(Curve("a lone frame and busy_poll", "us awake", "us, median", {SUBJECT: points}),),
        notes=(f"{refused} values refused: others had the CPUs",) if refused else (),
    )


def loaded(session: Session) -> Findings:
    """At shares of what each forwards without loss; rates that no section found are looked for."""
    rows, lines, notes = [], {}, []
    for name in session.names:
        rate = _rate(session, name)
        if rate is None:
            notes.append(f"{name}: no rate without loss, so no share of it")
            continue
        points = []
        for share in _SHARES:
            session.tell(f"latency: {name} at {share} %")
            run, disturbance = _at(session, name, int(rate * share / 100))
            latencies = run.sent.latencies_ns
            if disturbance or not latencies:
                notes.append(f"{name} at {share} %: refused, {disturbance or 'nothing came back'}")
                continue
            loss = f"{run.lost:.2%}" if run.lost > LOSSLESS else ""
            row = (name, f"{share} %", f"{rate * share / 100:,.0f}", *_percentiles(latencies), loss)
            rows.append(row)
            points.append((rate * share / 100, percentile_us(latencies, 50)))
        lines[name] = points
    columns = ("microseconds", "load", "frames/s", *(f"p{p}" for p in _PERCENTILES), "lost")
    return Findings(
        tables=(Table("at shares of the forwarder's own rate without loss", columns, tuple(rows)),),
        curves=(Curve("median latency and load", "frames/s", "us", lines),),
        notes=tuple(notes),
    )


def _rate(session: Session, name: str) -> float | None:
    if name not in session.no_loss:
        session.tell(f"latency: how much {name} forwards")
        found = searched(session, name)[0].number
        if found is None:
            return None
        session.no_loss[name] = found
    return session.no_loss[name]


def _at(session: Session, name: str, rate: int) -> tuple[Run, str]:
    load = Load(
        b"",
        first_flow=FLOWS,
        rate=max(1, rate),
        seconds=2 * session.plan.run_s,
        sample_every=max(1, rate // _SAMPLES_A_SECOND),
    )
    with session.opened(name) as running:
        tries = [session.quiet_run(running, lambda: load) for _ in range(_TRIES)]
    return min(tries, key=lambda tried: (bool(tried[1]), tried[0].lost))
