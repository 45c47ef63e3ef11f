"""CPU: where a CPU's time goes, and who waited for it. Reads /proc; starts nothing."""

from __future__ import annotations

import os
from pathlib import Path

from .native import times_ns
from .runs import Ticks, Usage


def ticks(cpu: int) -> Ticks:
    """Of one CPU."""
    a_second = os.sysconf("SC_CLK_TCK")
    for line in Path("/proc/stat").read_text().splitlines():
        name, *words = line.split()
        if name == f"cpu{cpu}":
            user, nice, system, idle, wait, hard, soft, steal = (
                int(word) / a_second for word in words[:8]
            )
            return Ticks(user + nice, system, hard + soft, idle + wait, steal)
    raise ValueError(f"there is no CPU {cpu}")


def softirq_thread(cpu: int) -> str | None:
    """The kernel's own thread that forwards and receives on a busy CPU; None when hidden."""
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text() == f"ksoftirqd/{cpu}\n":
                return path.parent.name
        except OSError:
            continue  # it has ended
    return None


class Watch:
    """Some threads, and one CPU, over a time: who used it and who had to wait for others."""

    def __init__(self, cpu: int, tasks: tuple[str, ...]) -> None:
        self._cpu = cpu
        self._tasks = tasks
        self._kernel = softirq_thread(cpu)
        self._ticks = ticks(cpu)
        self._times = self._look()

    def _look(self) -> tuple[int, int, int]:
        """Of the threads: on the CPU, and waiting for it; of the kernel's own: on it.

        What forwards in the kernel has no threads: then the kernel's own one is looked at.
        """
        ours = [times_ns(task) for task in self._tasks]
        kernel = times_ns(self._kernel) if self._kernel else (0, 0)
        if not ours:
            return *kernel, 0
        return sum(cpu for cpu, _ in ours), max(wait for _, wait in ours), kernel[0]

    def stop(self) -> Usage:
        """What there was since it began."""
        now = self._look()
        cpu, waited, kernel = (new - old for new, old in zip(now, self._times, strict=True))
        return Usage(ticks(self._cpu) - self._ticks, cpu / 1e9, max(0, waited - kernel) / 1e9)
