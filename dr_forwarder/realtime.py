"""Real time: gives threads a priority before all other programs. Where it is refused, says why.

A thread that has it is the core's, which leaves some time to others whatever comes (`loop.c`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
from collections.abc import Collection
from pathlib import Path
from typing import Final

_log = logging.getLogger(__name__)

_PACKET_THREADS: Final = ("ksoftirqd/", "napi/", "backlog_napi/")
"""Threads of the kernel that receive; ordinary ones, unless somebody has changed that."""
_CURE: Final = (
    "it needs CAP_SYS_NICE, or a limit of real-time priorities (systemd: LimitRTPRIO=10 and"
    " RestrictRealtime=no; a shell: ulimit -r 10)"
)


class Preference:
    """Whether a director's forwarding threads go before all other programs."""

    def __init__(self) -> None:
        self._threads: Collection[int] = ()
        """That have the priority."""
        self._has_told = False

    def give(self, threads: Collection[int], *, is_wanted: bool) -> None:
        """To these threads, or to none; a refusal is told once, and they go on as they are."""
        preferred = threads if is_wanted else ()
        if preferred == self._threads:
            return
        try:
            if is_wanted:
                _log.info("Forwarding has the real-time priority %d", prefer(threads))
            else:
                no_longer_prefer(threads)
        except OSError as error:
            if not self._has_told:
                self._has_told = True
                _log.warning("realtime: %s; forwarding goes on without: %s", error.strerror, _CURE)
        else:
            self._threads = preferred


def prefer(threads: Collection[int]) -> int:
    """Gives them SCHED_FIFO one above the kernel's packet threads, or the highest that is allowed.

    Returns the priority. Raises OSError (EPERM: neither CAP_SYS_NICE nor RLIMIT_RTPRIO).
    """
    wanted = min(_of_packets() + 1, os.sched_get_priority_max(os.SCHED_FIFO))
    try:
        _set(threads, wanted)
    except PermissionError:
        allowed, _ = resource.getrlimit(resource.RLIMIT_RTPRIO)
        if not 0 < allowed < wanted:
            raise
        wanted = allowed
        _set(threads, wanted)
    return wanted


def no_longer_prefer(threads: Collection[int]) -> None:
    """Makes them ordinary again."""
    for thread in threads:
        os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def _set(threads: Collection[int], priority: int) -> None:
    for thread in threads:
        os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(priority))


def _of_packets() -> int:
    """The highest real-time priority among them; 0 for none, or where they cannot be seen."""
    highest = 0
    for comm in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):  # it has ended
            if comm.read_text().startswith(_PACKET_THREADS):
                highest = max(highest, os.sched_getparam(int(comm.parent.name)).sched_priority)
    return highest
