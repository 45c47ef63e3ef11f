"""What the core cannot do yet, and how to tell from a recording that it needs it.

When an ability arrives, its entry goes, and the recordings that were skipped for it run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .world import TUNING

Step = dict[str, Any]

HARMLESS = {"pmtu_disc"}
"""Sysctls that change nothing in direct routing."""
DEFAULTS = {"sync_version": "1", "sync_threshold": "3 50", "sync_ports": "1"}
"""Of sysctls that are not 0 by default."""


def _sync(step: Step) -> str | None:
    words = ("sync messages seen", "on the backup:", "packet to the backup")
    daemon = re.search(r"-daemon\b", step["do"]) and "out" in step and step["out"]
    started = "--start-daemon" in step["do"] and step.get("rc", 0) == 0
    return "synchronisation" if step["do"].startswith(words) or daemon or started else None


def _sysctl(step: Step) -> str | None:
    found = re.fullmatch(r"sysctl -w net\.ipv4\.vs\.(\w+)=(.*)", step["do"])
    if found is None or found[1] in TUNING | HARMLESS:
        return None
    return None if found[2] == DEFAULTS.get(found[1], "0") else f"sysctl {found[1]}"


def _live(step: Step) -> str | None:
    return "live connections, whose packets are not recorded" if "served_by" in step else None


NEEDS = (_sync, _sysctl, _live)


def missing(steps: list[Step]) -> list[str]:
    """What a recording needs that is not there yet; each once."""
    return list(dict.fromkeys(_missing(steps)))


def _missing(steps: list[Step]) -> Iterator[str]:
    for step in steps:
        yield from (reason for need in NEEDS if (reason := need(step)))
