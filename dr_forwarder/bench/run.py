"""Run: chosen sections, one after the other, on a testbed made for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from ..lab.privilege import acquire_privileges
from .cpu import before_others
from .errors import BenchError
from .machine import describe, stolen
from .model import Findings, Section
from .report import Report
from .session import Plan, Session
from .testbed import Testbed


def run(
    sections: Sequence[Section[Session]],
    plan: Plan,
    tell: Callable[[str], None],
    show: Callable[[str, str, Findings], None],
    *,
    real_time: bool = False,
) -> Report:
    """Tells of progress, and shows each section's findings as soon as there are any.

    Needs root, or user namespaces, and two CPUs. BenchError, LabError.
    """
    acquire_privileges()
    stolen_before, ticks_before = stolen()
    began_s = time.monotonic()
    with before_others() if real_time else nullcontext(), Testbed() as testbed:
        session = Session(testbed, plan, tell, real_time=real_time)
        missing, unsteered = session.available[1], testbed.unsteered
        found = {}
        for section in sections:
            found[section.name] = section.sentence, _findings(section, session)
            show(section.name, *found[section.name])
    stolen_after, ticks_after = stolen()
    return Report(
        machine=describe(),
        stolen=(stolen_after - stolen_before) / max(1, ticks_after - ticks_before),
        real_time=real_time,
        seconds=time.monotonic() - began_s,
        sections=found,
        missing=missing,
        unsteered=unsteered,
    )


def _findings(section: Section[Session], session: Session) -> Findings:
    """What cannot be measured here costs the others nothing."""
    try:
        return section.run(session)
    except BenchError as error:
        return Findings(notes=(f"not measured: {error}",))
