"""CPU: where a CPU's time goes, and who waited for it. Reads /proc; starts nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import BenchError
from .native import times_ns
from .runs import Ticks, Usage


def others_share(seconds: float = 0.3) -> float:
    """What share of all CPUs is used while nothing of ours runs."""
    before = ticks()
    time.sleep(seconds)
    now = ticks() - before
    return 1 - now.idle / now.total if now.total > 0 else 0.0


def ticks(cpu: int | None = None) -> Ticks:
    """Of one CPU, or of all."""
    a_second = os.sysconf("SC_CLK_TCK")
    for line in Path("/proc/stat").read_text().splitlines():
        name, *words = line.split()
        if name == ("cpu" if cpu is None else f"cpu{cpu}"):
            user, nice, system, idle, wait, hard, soft, steal = (
                int(word) / a_second for word in words[:8]
            )
            return Ticks(user + nice, system, hard + soft, idle + wait, steal)
    raise ValueError(f"there is no CPU {cpu}")


@contextmanager
def before_others() -> Iterator[None]:
    """Real-time priority for this program, for what it starts, and for the kernel's own part.

    The kernel's threads for packets get it too (and lose it again), so that they stand to ours as
    they always do. The kernel leaves a twentieth of each second to other programs. Needs root.
    """
    threads = [thread for cpu in os.sched_getaffinity(0) if (thread := softirq_thread(cpu))]
    everybody = [0, *map(int, threads)]
    try:
        try:
            for task in everybody:
                os.sched_setscheduler(task, os.SCHED_RR, os.sched_param(1))
        except PermissionError as error:
            raise BenchError("real-time priority is for root only") from error
        yield
    finally:
        for task in everybody:
            with suppress(PermissionError):
                os.sched_setscheduler(task, os.SCHED_OTHER, os.sched_param(0))


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
