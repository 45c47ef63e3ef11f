"""Newcomers: who gets in, at which try, while nothing is to be in their way."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import situation
from running import VIP4, VIP6

from dr_forwarder.lab import Lab

A_SECOND = 20
GRACE_S = 4.0
"""After a pause those who called during it may still wait for their second SYN."""
FIRST_S, SECOND_S = 0.9, 2.9
"""Linux says a SYN again after 1 s, then after 2 s more."""
_CALLING = Path(__file__).with_name("calling.py")


@dataclass
class Pauses:
    """Times in which frames are lost on purpose."""

    known: list[list[float]] = field(default_factory=list)

    @contextmanager
    def one(self) -> Iterator[None]:
        pause = [time.monotonic(), float("inf")]
        self.known.append(pause)
        try:
            yield
        finally:
            pause[1] = time.monotonic() + GRACE_S

    def touch(self, began_s: float, ended_s: float) -> bool:
        """Whether one of them was within this time."""
        return any(began <= ended_s and began_s <= ended for began, ended in self.known)

    @property
    def total_s(self) -> float:
        now_s = time.monotonic()
        return sum(min(ended, now_s) - began for began, ended in self.known)


@dataclass(frozen=True, slots=True)
class Call:
    """What became of a newcomer (calling.py)."""

    began_s: float
    open_s: float
    """From its beginning; infinite if it never was."""
    outcome: str
    to: str

    def is_within(self, pauses: Pauses) -> bool:
        return pauses.touch(self.began_s, self.began_s + min(self.open_s, SECOND_S))

    @property
    def which_try(self) -> str:
        if self.outcome != "served":
            return "not"
        if self.open_s < FIRST_S:
            return "first"
        return "second" if self.open_s < SECOND_S else "later"


class Newcomers(threading.Thread):
    """Reads what became of each (calling.py)."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(daemon=True)
        argv = [sys.executable, "-I", str(_CALLING), str(A_SECOND)]
        argv += [str(situation.PORT), str(VIP4), str(VIP6)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = lab.popen("client", argv, **pipes)
        self.calls: list[Call] = []

    def run(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            said["open_s"] = float("inf") if said["open_s"] is None else said["open_s"]
            self.calls.append(Call(**said))

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        self.join(60)


@dataclass(frozen=True, slots=True)
class Served:
    """Newcomers outside pauses, by the try that got them in."""

    count: int
    first: int
    second: int
    not_served: int
    during_pauses: int

    @property
    def share(self) -> float:
        return (self.first + self.second) / self.count if self.count else 0.0


def served(calls: Sequence[Call], pauses: Pauses) -> Served:
    """Those who began outside the pauses."""
    tries = Counter("paused" if call.is_within(pauses) else call.which_try for call in calls)
    count = sum(tries.values()) - tries["paused"]
    return Served(count, tries["first"], tries["second"], tries["not"], tries["paused"])
