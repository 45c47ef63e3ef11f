"""What the core cannot do yet, and how to tell from a recording that it needs it.

When an ability arrives, its entry goes, and the recordings that were skipped for it run.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .ipvsadm_command import Command, parse
from .ipvsadm_options import UsageError, Verb
from .world import TUNING, World

Step = dict[str, Any]

SCHEDULERS = (
    *("rr", "wrr", "lc", "wlc", "sed", "nq", "fo", "ovf"),
    *("sh", "dh", "mh", "lblc", "lblcr", "twos"),
)
HARMLESS = {"pmtu_disc"}
"""Sysctls that change nothing in direct routing."""
DEFAULTS = {"sync_version": "1", "sync_threshold": "3 50", "sync_ports": "1"}
"""Of sysctls that are not 0 by default."""


@lru_cache(maxsize=1)
def _known() -> Callable[[str], bool]:
    with World() as world:
        known = {name for name in SCHEDULERS if world.knows_scheduler(name)}
    return known.__contains__


@dataclass(slots=True)
class Look:
    """A step, with its command line understood."""

    step: Step
    command: Command | None = None

    @property
    def do(self) -> str:
        return str(self.step["do"])


# ---- Needs ----


def _shell(look: Look) -> str | None:
    if look.do.startswith("ipvsadm") and re.search(r"[;<>|]", look.do):
        return "several commands in one line"
    return None


def _texts(look: Look) -> str | None:
    if look.do.startswith("setpriv") or "err" in look.step or "stdin" in look.step:
        return "ipvsadm's error texts"
    command = look.command
    if command is None:
        return None
    if command.verb in (Verb.RESTORE, Verb.HELP, Verb.VERSION):
        return f"ipvsadm --{command.verb.value}"
    if command.verb is Verb.SAVE and not command.numeric:
        return "ipvsadm -S with names"
    if command.verb is Verb.LIST and not command.numeric and "timeout" not in command.details:
        return "ipvsadm -L with names"
    if command.details & {"nosort", "sort"} and "connection" in command.details:
        return "ipvsadm -Lnc --sort"
    return "table before each command" if "table" in look.step else None


def _scheduler(look: Look) -> str | None:
    command = look.command
    if command is None or command.verb not in (Verb.ADD_SERVICE, Verb.EDIT_SERVICE):
        return None
    return None if _known()(command.scheduler) else f"scheduler {command.scheduler}"


def _method(look: Look) -> str | None:
    command = look.command
    if command is None or command.method == "gate":
        return None
    return f"forwarding method {command.method}"


def _engine(look: Look) -> str | None:
    return "persistence engines" if look.command is not None and look.command.engine else None


def _rates(look: Look) -> str | None:
    return "rates" if look.command is not None and "rate" in look.command.details else None


def _zero(look: Look) -> str | None:
    return "ipvsadm -Z" if look.command is not None and look.command.verb is Verb.ZERO else None


def _sync(look: Look) -> str | None:
    daemon = look.command is not None and (
        look.command.verb in (Verb.START_DAEMON, Verb.STOP_DAEMON)
        or "daemon" in look.command.details
    )
    words = ("sync messages seen", "on the backup:", "packet to the backup")
    return "synchronisation" if daemon or look.do.startswith(words) else None


def _sysctl(look: Look) -> str | None:
    found = re.fullmatch(r"sysctl -w net\.ipv4\.vs\.(\w+)=(.*)", look.do)
    if found is None or found[1] in TUNING | HARMLESS:
        return None
    return None if found[2] == DEFAULTS.get(found[1], "0") else f"sysctl {found[1]}"


def _proc(look: Look) -> str | None:
    shown = ("cat /proc", "head -4 /proc", "ls /proc")
    return "files under /proc" if look.do.startswith(shown) else None


def _live(look: Look) -> str | None:
    return "live connections, whose packets are not recorded" if "served_by" in look.step else None


NEEDS = (
    _shell,
    _texts,
    _scheduler,
    _method,
    _engine,
    _rates,
    _zero,
    _sync,
    _sysctl,
    _proc,
    _live,
)


# ---- The whole recording ----


def _looks(steps: list[Step]) -> Iterator[Look]:
    for step in steps:
        look = Look(step)
        words = shlex.split(step["do"]) if step["do"].startswith("ipvsadm") else []
        if words and not _shell(look):
            try:
                look.command = parse(words[1:])
            except UsageError:
                look.command = None
        yield look


def missing(steps: list[Step]) -> list[str]:
    """What a recording needs that is not there yet; each once, in the order of the table."""
    found = {
        (number, reason): None
        for look in _looks(steps)
        for number, need in enumerate(NEEDS)
        if (reason := need(look))
    }
    return [reason for _, reason in sorted(found)]
