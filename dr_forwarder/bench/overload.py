"""Overload: what comes back of more than the director can take, where receiving has its CPU too.

The best it does at any rate is 1; what it does at three and ten times that rate is a share of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

from .errors import Unavailable
from .flood import COPIES
from .generator import Generator
from .judge import contention_of_sender
from .model import SUBJECT, Comparison, Findings, Table, Value, spread
from .runs import Load
from .session import Session, of_rounds
from .site import Running, Shape
from .worker import MAC

_BEST = "best"
_TIMES = {"3 x": 3, "10 x": 10}
_FIRST = 100_000
"""Frames a second."""
_STEP = 1.25
_GONE = 0.5
"""A rate of which so little comes back is beyond the best."""
_ORDINARY, _PREFERRED = 0.5, 0.9
"""The bars."""


@dataclass(frozen=True)
class _Setting:
    """Where receiving is done, and before whom forwarding goes."""

    title: str
    receiving: Callable[[Session], AbstractContextManager[None]]
    realtime: bool
    bar: float


def _by_softirq(session: Session) -> AbstractContextManager[None]:
    return session.testbed.steered(session.testbed.forwarder_cpus[:1])


def _by_thread(session: Session) -> AbstractContextManager[None]:
    return session.testbed.received_by_thread(real_time=session.real_time)


def _elsewhere(session: Session) -> AbstractContextManager[None]:
    return session.testbed.steered(())


_SETTINGS = (
    _Setting("softirq on its CPU", _by_softirq, False, _ORDINARY),
    _Setting("softirq on its CPU, realtime", _by_softirq, True, _PREFERRED),
    _Setting("a thread on its CPU", _by_thread, False, _ORDINARY),
    _Setting("a thread on its CPU, realtime", _by_thread, True, _PREFERRED),
    _Setting("a CPU of its own", _elsewhere, False, _PREFERRED),
)


def overload(session: Session) -> Findings:
    """Goodput at three and ten times the best rate."""
    if session.testbed.unsteered:
        return Findings(notes=(f"no overload: {session.testbed.unsteered}",))
    comparisons, rows, notes = [], [], []
    for setting in _SETTINGS:
        try:
            found, reached = _rounds(session, setting)
        except Unavailable as error:
            notes.append(f"{setting.title}: {error}")
            continue
        comparisons.append(found)
        rows += [(setting.title, which, f"{each:.1f} x") for which, each in reached.items()]
    table = Table("offered, median", ("", "wanted", "there was"), tuple(rows))
    notes.append(
        "frames that come back a second, and what share of the best that is; one CPU sends, and"
        " what it cannot send is not offered. With `realtime` forwarding has a priority above the"
        " kernel's packet threads"
    )
    return Findings(tuple(comparisons), (table,), notes=tuple(notes))


def _rounds(session: Session, setting: _Setting) -> tuple[Comparison, dict[str, float]]:
    names = [_BEST, *_TIMES]
    values, reached = of_rounds(names), {name: list[float]() for name in _TIMES}
    for number in range(session.plan.rounds):
        session.tell(f"overload: round {number + 1} of {session.plan.rounds}, {setting.title}")
        with _opened(session, setting) as (running, flood):
            best, disturbance = _best(session, running)
            values[_BEST].append(Value(None if disturbance else best, disturbance))
            for name, times in _TIMES.items():
                offered, back, refused = _offer(session, running, flood, times * best)
                values[name].append(Value(None if refused else back, refused))
                reached[name].append(offered / best if best else 0.0)
    found = Comparison(
        setting.title, "frames/s", values, base=_BEST, bars=dict.fromkeys(_TIMES, setting.bar)
    )
    return found, {name: spread(each).median for name, each in reached.items()}


@contextmanager
def _opened(session: Session, setting: _Setting) -> Iterator[tuple[Running, Generator]]:
    shape = Shape(realtime=setting.realtime)
    with ExitStack() as stack:
        running = stack.enter_context(session.opened(SUBJECT, shape=shape))
        stack.enter_context(setting.receiving(session))
        yield running, stack.enter_context(session.testbed.flooding())


def _best(session: Session, running: Running) -> tuple[float, str]:
    """The most that comes back at any rate, and what disturbed the run in which it did."""
    best, disturbance, rate = 0.0, "", float(_FIRST)
    while rate < session.generator_rate:
        load = Load(b"", rate=int(rate), seconds=session.plan.run_s)
        run = session.testbed.run(running, load)
        if run.rate > best:
            best, disturbance = run.rate, contention_of_sender(run.sent)
        if run.lost > _GONE:
            break
        rate *= _STEP
    return best, disturbance


def _offer(
    session: Session, running: Running, flood: Generator, rate: float
) -> tuple[float, float, str]:
    """What was offered and what came back, frames a second; and what disturbed it."""
    testbed = session.testbed
    load = Load(MAC, rate=max(1, int(rate / COPIES)), seconds=session.plan.run_s)
    offered, back = testbed.offered(), testbed.returned()
    sent = flood.send(load)
    offered, back = testbed.offered() - offered, testbed.returned() - back
    return offered / sent.seconds, back / sent.seconds, contention_of_sender(sent)
