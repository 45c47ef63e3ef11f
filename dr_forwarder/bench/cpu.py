"""CPU: where a CPU's time goes, and who waited for it. Reads /proc; starts nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import BenchError, Unavailable
from .native import times_ns
from .runs import Ticks, Usage

_TURN = Path("/proc/sys/kernel/sched_rr_timeslice_ms")
_TURN_MS = "3"


def others_share(seconds: float = 0.3) -> float:
    """What share of all CPUs is used while nothing of ours runs."""
    before = ticks()
    time.sleep(seconds)
    now = ticks() - before
    return 1 - now.idle / now.total if now.total > 0 else 0.0


def ticks(cpus: Sequence[int] = ()) -> Ticks:
    """Of some CPUs together; of all when none is named."""
    names = {f"cpu{cpu}" for cpu in cpus} or {"cpu"}
    lines = (line.split() for line in Path("/proc/stat").read_text().splitlines())
    found = [list(map(int, words[:8])) for name, *words in lines if name in names]
    a_second = os.sysconf("SC_CLK_TCK")
    user, nice, system, idle, wait, hard, soft, steal = (
        sum(column) / a_second for column in zip(*found, strict=True)
    )
    return Ticks(user + nice, system, hard + soft, idle + wait, steal)


@contextmanager
def before_others() -> Iterator[None]:
    """Real-time priority for this program, for what it starts, and for the kernel's own part.

    The kernel's threads for packets get it too (and lose it again), so that they stand to ours as
    they always do, and all take turns as often as ordinary threads do. The kernel leaves a
    twentieth of each second to other programs. Needs root.
    """
    threads = [thread for cpu in os.sched_getaffinity(0) if (thread := softirq_thread(cpu))]
    everybody = [0, *map(int, threads)]
    turn_ms = _TURN.read_text()
    try:
        try:
            _TURN.write_text(_TURN_MS)
            for task in everybody:
                os.sched_setscheduler(task, os.SCHED_RR, os.sched_param(1))
        except PermissionError as error:
            raise BenchError("real-time priority is for root only") from error
        yield
    finally:
        with suppress(OSError):
            _TURN.write_text(turn_ms)
        for task in everybody:
            with suppress(PermissionError):
                os.sched_setscheduler(task, os.SCHED_OTHER, os.sched_param(0))


def softirq_thread(cpu: int) -> str | None:
    """The kernel's own thread that forwards and receives on a busy CPU; None when hidden."""
    return _kernel_thread(f"ksoftirqd/{cpu}\n")


def poll_thread(interface: str) -> int:
    """The kernel's thread that receives on an interface, once it does so; raises Unavailable."""
    found = _kernel_thread(f"napi/{interface}-")
    if found is None:
        raise Unavailable(f"no thread of the kernel receives on {interface}")
    return int(found)


def _kernel_thread(name: str) -> str | None:
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text().startswith(name):
                return path.parent.name
        except OSError:
            continue  # it has ended
    return None


class Watch:
    """Some threads, and their CPUs, over a time: who used them and who had to wait for others."""

    def __init__(self, cpus: tuple[int, ...], tasks: tuple[str, ...]) -> None:
        self._cpus = cpus
        self._kernel = [thread for cpu in cpus if (thread := softirq_thread(cpu))]
        self._tasks = tasks
        self._ticks = ticks(cpus)
        self._times = self._look()

    def _look(self) -> list[tuple[int, int]]:
        """Of the threads, then of the kernel's own: on the CPU, and waiting for it."""
        return [times_ns(task) for task in (*self._tasks, *self._kernel)]

    def stop(self) -> Usage:
        """What there was since it began.

        What forwards in the kernel has no threads: then the kernel's own ones are looked at.
        """
        took = [
            (cpu - cpu_before, waited - waited_before)
            for (cpu, waited), (cpu_before, waited_before) in zip(
                self._look(), self._times, strict=True
            )
        ]
        ours, kernel = took[: len(self._tasks)], took[len(self._tasks) :]
        used_ns = sum(cpu for cpu, _ in ours or kernel)
        waited_ns = max((waited for _, waited in ours or kernel), default=0)
        kernel_ns = max((cpu for cpu, _ in kernel), default=0) if ours else 0
        usage = ticks(self._cpus) - self._ticks
        return Usage(usage, used_ns / 1e9, max(0, waited_ns - kernel_ns) / 1e9)
