"""What the core cannot do yet, and how to tell from a recording that it needs it.

When an ability arrives, its entry goes, and the recordings that were skipped for it run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dr_forwarder.config.native import DIRECTOR

from .world import TUNING

Step = dict[str, Any]

HARMLESS = {row.name for row in DIRECTOR if row.idle} - {"cache_bypass"} | {"sync_sock_size"}
"""Sysctls that change no decision in direct routing."""


def _sysctl(step: Step) -> str | None:
    found = re.fullmatch(r"sysctl -w net\.ipv4\.vs\.(\w+)=(.*)", step["do"])
    if found is None or found[1] in TUNING | HARMLESS:
        return None
    return None if found[2] == "0" else f"sysctl {found[1]}"


def _live(step: Step) -> str | None:
    return "live connections, whose packets are not recorded" if "served_by" in step else None


NEEDS = (_sysctl, _live)


def missing(steps: list[Step]) -> list[str]:
    """What a recording needs that is not there yet; each once."""
    return list(dict.fromkeys(_missing(steps)))


def _missing(steps: list[Step]) -> Iterator[str]:
    for step in steps:
        yield from (reason for need in NEEDS if (reason := need(step)))
