"""Workers: what each of several forwarding threads did, as lines to read."""

from __future__ import annotations

from ..table import Stats


def by_worker(stats: Stats) -> list[str]:
    """One for each; none where there is only one, which did all."""
    if len(stats.workers) < 2:
        return []
    return [
        f"{each.frames:>12} by worker {number}: {each.forwarded} forwarded,"
        f" {each.ring_dropped} more without room, woken {each.wakeups} times"
        for number, each in enumerate(stats.workers)
    ]
