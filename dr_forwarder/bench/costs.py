"""Costs: CPU time of a frame in the forwarder's thread, in full batches, and with larger tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .judge import starvation
from .model import BARS, BY_XDP, SUBJECT, Comparison, Curve, Findings, Table, Value, spread
from .runs import Load
from .session import FLOWS, Session, of_rounds
from .site import Shape


@dataclass(frozen=True)
class Cost:
    """Nanoseconds a frame."""

    whole: float
    user: float
    system: float
    softirq: float


_XDP_BAR = 1.5
_NO_COST = Cost(0.0, 0.0, 0.0, 0.0)


def costs(session: Session) -> Findings:
    """CPU time of the forwarding thread, while frames always wait for it."""
    names = [name for name in session.names if name not in ("nftables", "ipvs")]
    whole, split = _gathered(session, names, "CPU time a frame")
    found = Comparison(
        "CPU time of the forwarder's thread", "ns/frame", whole, less_is_better=True, bars=BARS
    )
    note = (
        "others share the forwarder's CPU, so that frames always wait and batches are full;"
        " what nftables and IPVS forward has no thread whose time could be told"
    )
    return Findings(comparisons=(found,), tables=(split,), notes=(note,))


def xdp(session: Session) -> Findings:
    """The director by AF_XDP, to the director by packet sockets."""
    if reason := session.available[1].get(BY_XDP):
        return Findings(notes=(f"no AF_XDP here: {reason}",))
    whole, split = _gathered(session, [SUBJECT, BY_XDP], "by AF_XDP")
    found = Comparison(
        "CPU time of the director's thread",
        "ns/frame",
        whole,
        less_is_better=True,
        base=SUBJECT,
        bars={BY_XDP: _XDP_BAR},
    )
    note = "a veth runs the program itself, but the kernel copies each frame, in and out"
    return Findings(comparisons=(found,), tables=(split,), notes=(note,))


def _gathered(
    session: Session, names: Sequence[str], what: str
) -> tuple[dict[str, list[Value]], Table]:
    whole, parts = of_rounds(names), {name: list[Cost]() for name in names}
    for _, name in session.rounds(names, what):
        found, refused = cost(session, name)
        whole[name].append(Value(None if refused else found.whole, refused))
        parts[name] += [] if refused else [found]
    return whole, _split(parts)


def cost(session: Session, name: str, flows: int = FLOWS, *, workers: int = 1) -> tuple[Cost, str]:
    """Of a forwarder on one CPU; why it says nothing, or empty."""
    seconds = 2 * session.plan.run_s
    load = Load(b"", flows=flows, first_flow=flows, seconds=seconds)
    shape = Shape(connections=flows + flows // 4 + FLOWS, workers=workers)
    opened = session.opened(name, flows=flows, shape=shape)
    with opened as running, session.testbed.steered(()), session.testbed.crowd():
        run = session.testbed.run(running, load)
    if name in (SUBJECT, BY_XDP) and running.said["connections"] < 0.95 * flows:
        return _NO_COST, f"only {running.said['connections']:,} connections were opened"
    frames = max(1, run.rate * run.sent.seconds)
    usage = run.usage
    whole, system, softirq = (
        part * 1e9 / frames for part in (usage.cpu_s, usage.ticks.system, usage.ticks.softirq)
    )
    # CPU time is what it is whoever else runs, as long as frames wait.
    return Cost(whole, max(0.0, whole - system - softirq), system, softirq), starvation(run)


def _split(parts: dict[str, list[Cost]]) -> Table:
    rows = []
    for name, costs_ in parts.items():
        if costs_:
            figures = (
                spread([getattr(each, part) for each in costs_]).median
                for part in ("user", "system", "softirq")
            )
            rows.append((name, *(f"{figure:,.0f}" for figure in figures)))
    title = "where it goes, nanoseconds a frame (by clock ticks, so roughly)"
    return Table(title, ("", "user", "system", "softirq"), tuple(rows))


# ---- Larger tables ----

_SHORT, _LONG = (100_000, 1_000_000), (10_000, 100_000, 1_000_000, 4_000_000)


def tables(session: Session) -> Findings:
    """Frames of any connection by chance, so that none is in the cache when there are many."""
    sizes = {f"{flows:,}": flows for flows in (_SHORT if session.plan.is_short else _LONG)}
    flows_of = {SUBJECT: FLOWS} | sizes | {"ring": FLOWS}
    found = of_rounds(list(flows_of))
    for _, which in session.rounds(list(flows_of), "connections in the table"):
        name = which if which == "ring" else SUBJECT
        taken, refused = cost(session, name, flows_of[which])
        found[which].append(Value(None if refused else taken.whole, refused))
    comparison = Comparison(
        "CPU time of the thread by connections in the table", "ns/frame", found, less_is_better=True
    )
    points = [
        (float(flows), spread(numbers).median)
        for which, flows in flows_of.items()
        if which != "ring" and (numbers := comparison.numbers(which))
    ]
    return Findings(
        comparisons=(comparison,),
        curves=(
            Curve(
                "a frame's CPU time and the size of the table",
                "connections",
                "ns/frame",
                {SUBJECT: points},
                logarithmic=True,
            ),
        ),
        notes=(
            f"`{SUBJECT}` has {FLOWS:,} connections here; ten million are in the suite of the core"
            " alone",
        ),
    )
