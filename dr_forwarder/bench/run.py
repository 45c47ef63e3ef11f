"""Run: chosen sections, one after the other, on a testbed made for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..lab.privilege import acquire_privileges
from .machine import describe, stolen
from .model import Section
from .report import Report
from .session import Plan, Session
from .testbed import Testbed


def run(sections: Sequence[Section[Session]], plan: Plan, tell: Callable[[str], None]) -> Report:
    """Needs root, or user namespaces, and two CPUs. BenchError, LabError."""
    acquire_privileges()
    stolen_before, ticks_before = stolen()
    with Testbed() as testbed:
        session = Session(testbed, plan, tell)
        missing = session.available[1]
        found = {section.name: (section.sentence, section.run(session)) for section in sections}
    stolen_after, ticks_after = stolen()
    return Report(
        machine=describe(),
        stolen=(stolen_after - stolen_before) / max(1, ticks_after - ticks_before),
        sections=found,
        missing=missing,
    )
