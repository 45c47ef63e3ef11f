"""Scaling: what more forwarding threads bring where there are CPUs for them, and what they cost.

A figure stands only where each thread had a CPU of its own, or where it is CPU time.
"""

from __future__ import annotations

import os
import time

from ..dataplane import Engine
from ..table import Stats
from .costs import cost
from .cpu import Watch
from .errors import BenchError
from .judge import crowding
from .model import SUBJECT, Comparison, Findings, Value
from .native import treadmill
from .rates import ROOMY, searched
from .session import FLOWS, Session, of_rounds
from .site import Shape
from .worker import MAC, engine_of, pin

_WORKERS = {"1 worker": 1, "2 workers": 2, "4 workers": 4}
_BASE = "1 worker"
_FORWARDERS = {SUBJECT: "the director", "ring": "bare rings"}
_SEND_NS = (0, 200, 1000)
"""The last is about what the system calls of a frame take (see the section `costs`)."""
_OPEN_LIMIT_S = 10.0
_LOOKS, _MOMENT_S = 1000, 0.001


def workers(session: Session) -> Findings:
    """By rates, by CPU time, and without sockets."""
    return Findings(
        comparisons=(*_rates(session), *_costs(session), *_decisions(session)),
        notes=(
            "rates: one CPU sends, and each worker has one of its own; what several workers forward"
            " may be more than one CPU sends, and is refused then. CPU time: all workers share one"
            " CPU with others, so that frames always wait. Bare rings show what the fan-out"
            " alone does; what the director has beyond them is the gate. Without sockets it is the"
            " core's loop on one table, a thread on each CPU: where sending takes no time, all wait"
            " at the gate, and it is what that lets through",
        ),
    )


def _too_few(needed: int, what: str) -> str:
    """Why there is no figure, or empty."""
    there = len(os.sched_getaffinity(0))
    return f"it takes {needed} CPUs ({what}), and this host has {there}" if needed > there else ""


# ---- Rates ----


def _rates(session: Session) -> list[Comparison]:
    found = {name: of_rounds(list(_WORKERS)) for name in _FORWARDERS}
    for _, which in session.rounds(list(_WORKERS), "rates by workers"):
        for name in _FORWARDERS:
            found[name][which].append(_rate(session, name, _WORKERS[which]))
    title = "without loss, a CPU for each worker of"
    return [
        Comparison(f"{title} {who}", "frames/s", found[name], base=_BASE)
        for name, who in _FORWARDERS.items()
    ]


def _rate(session: Session, name: str, count: int) -> Value:
    refused = session.testbed.unsteered or _too_few(count + 1, "one to send, one for each worker")
    if count == 1 and _too_few(3, ""):
        refused = "there is nothing to compare it with; alone it is in the section `rates`"
    if refused:
        return Value(None, refused)
    shape = Shape(connections=ROOMY.connections, workers=count, cpus=count)
    return searched(session, name, shape=shape)[0]


# ---- CPU time ----


def _costs(session: Session) -> list[Comparison]:
    found = {name: of_rounds(list(_WORKERS)) for name in _FORWARDERS}
    for _, which in session.rounds(list(_WORKERS), "CPU time by workers"):
        for name in _FORWARDERS:
            taken, refused = cost(session, name, workers=_WORKERS[which])
            found[name][which].append(Value(None if refused else taken.whole, refused))
    return [
        Comparison(
            f"CPU time, one CPU for all workers of {who}",
            "ns/frame",
            found[name],
            less_is_better=True,
            base=_BASE,
        )
        for name, who in _FORWARDERS.items()
    ]


# ---- Without sockets ----


def _decisions(session: Session) -> list[Comparison]:
    found = {send_ns: of_rounds(list(_WORKERS)) for send_ns in _SEND_NS}
    for _, which in session.rounds(list(_WORKERS), "decisions by workers"):
        for send_ns in _SEND_NS:
            value = decisions(_WORKERS[which], send_ns, seconds=session.plan.run_s)
            found[send_ns][which].append(value)
    return [
        Comparison(
            f"decisions on one table, sending takes {send_ns:,} ns", "frames/s", values, base=_BASE
        )
        for send_ns, values in found.items()
    ]


def decisions(count: int, send_ns: int, *, seconds: float) -> Value:
    """A second, by so many workers, each on frames of clients of its own."""
    refused = _too_few(count, "one for each worker")
    if refused:
        return Value(None, refused)
    cpus = tuple(sorted(os.sched_getaffinity(0))[:count])
    flows = count * FLOWS
    with engine_of(Shape(connections=2 * flows)) as engine:
        for first in range(0, flows, FLOWS):
            engine.open_end(treadmill(MAC, first_flow=first, flows=FLOWS, send_ns=send_ns))
        engine.start()
        pin(engine.thread_ids, cpus)
        until_s = time.monotonic() + _OPEN_LIMIT_S
        while engine.stats().connections < flows:
            if time.monotonic() > until_s:
                raise BenchError("the workers do not get to decide")
            time.sleep(0.01)
        watch = Watch(cpus, tuple(f"self/task/{each}" for each in engine.thread_ids))
        began_s, before = _look(engine)
        time.sleep(seconds)
        ended_s, after = _look(engine)
        disturbance = crowding(watch.stop(), ended_s - began_s)
    forwarded = after.verdicts["forwarded"] - before.verdicts["forwarded"]
    if forwarded < after.frames - before.frames:
        raise BenchError("not every frame was forwarded")
    return Value(None, disturbance) if disturbance else Value(forwarded / (ended_s - began_s))


def _look(engine: Engine) -> tuple[float, Stats]:
    """The counters, and when they were so: who looks may have to wait for a CPU too."""
    for _ in range(_LOOKS):
        before_s = time.monotonic()
        stats = engine.stats()
        after_s = time.monotonic()
        if after_s - before_s < _MOMENT_S:
            return after_s, stats
    raise BenchError("there is no CPU to look at the counters with")
