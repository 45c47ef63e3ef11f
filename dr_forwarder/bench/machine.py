"""Machine: where and when something was measured."""

from __future__ import annotations

import os
import platform
from datetime import date
from pathlib import Path

from .model import Machine

_STEAL = 8  # proc_stat(5): the eighth figure of the line "cpu"


def describe() -> Machine:
    """This machine, today."""
    names = (
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    return Machine(
        processor=next(names, platform.machine()),
        cpus=len(os.sched_getaffinity(0)),
        kernel=platform.release(),
        date=date.today().isoformat(),
    )


def stolen() -> tuple[int, int]:
    """Ticks that the hypervisor gave to others, and ticks in all, so far."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return ticks[_STEAL - 1], sum(ticks)
