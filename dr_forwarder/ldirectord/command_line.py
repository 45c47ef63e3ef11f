"""Command line: what `ldirectord [-d] [--] [CONFIG] ACTION` asks for. Pure."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

DEFAULT_CONFIG = "ldirectord.cf"
SEARCHED = ("/etc/ha.d", "/etc/ha.d/conf")
"""Where a configuration is looked for, before its name is taken as a path."""

USAGE = """\
Usage: dr-ldirectord [-d|--debug] [--] [CONFIG] ACTION
       dr-ldirectord -h|--help
       dr-ldirectord -v|--version

ACTION is start, stop, restart, try-restart, reload, force-reload or status.
CONFIG is looked for in /etc/ha.d and /etc/ha.d/conf, then taken as a path; default: ldirectord.cf.
"""
HELP = (
    USAGE
    + """
  -d, --debug    stay in the foreground, and log everything to stderr

The director is dr-forwarder's; CONFIG is ldirectord's own file, or native TOML.

Exit status: 0 done, or running; 1 not done, no such configuration, or a stale pid file;
2 configuration error; 3 status: stopped; 255 usage.

Environment:
  DR_FORWARDER_INTERFACE   where clients and real servers are; default: the one they are all on
  DR_FORWARDER_MARKS       file of the firewall rules that set marks
  DR_FORWARDER_LISTEN      where page and metrics are: ADDRESS:PORT, or :PORT on the loopback
  DR_FORWARDER_SKIP_UNSUPPORTED=yes   leave masq and ipip servers out
  DR_FORWARDER_STATE_DIR   for run-time files; each director on a host needs its own
  DR_LDIRECTORD_PID_DIR    for ldirectord.NAME.pid; default /var/run
"""
)


class Action(enum.Enum):
    """What is to be done."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    TRY_RESTART = "try-restart"
    RELOAD = "reload"
    FORCE_RELOAD = "force-reload"
    STATUS = "status"
    HELP = "help"
    VERSION = "version"


_ACTIONS = {
    action.value: action for action in Action if action not in (Action.HELP, Action.VERSION)
}
_OPTIONS = {
    "-h": Action.HELP,
    "--help": Action.HELP,
    "-?": Action.HELP,
    "-v": Action.VERSION,
    "--version": Action.VERSION,
}


class UsageError(Exception):
    """Not a command line of ldirectord's; the text says why."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """A command line, understood."""

    action: Action
    config: str | None = None
    """As written; None: left out."""
    debug: bool = False

    @property
    def name(self) -> str:
        """What the pid file is named after: the file's last part, or ``ldirectord``."""
        return "ldirectord" if self.config is None else self.config.rstrip("/").split("/")[-1]

    @property
    def candidates(self) -> tuple[str, ...]:
        """Where the file may be; the first that is there counts."""
        written = self.config or DEFAULT_CONFIG
        return (*(f"{directory}/{written}" for directory in SEARCHED), written)


def parse(arguments: Sequence[str]) -> Invocation:
    """Options first; what follows the action is ignored. Raises UsageError."""
    rest = list(arguments)
    debug = False
    while rest and rest[0].startswith("-") and rest[0] != "-":
        option = rest.pop(0)
        if option == "--":
            break
        if option in ("-d", "--debug"):
            debug = True
        elif option in _OPTIONS:
            return Invocation(_OPTIONS[option])
        else:
            raise UsageError(f"unknown option {option}")
    if not rest:
        raise UsageError("an action is missing")
    config, action = (rest[0], rest[1]) if len(rest) > 1 else (None, rest[0])
    if action not in _ACTIONS:
        raise UsageError(f"action must be one of {', '.join(_ACTIONS)}, not {action!r}")
    return Invocation(_ACTIONS[action], config, debug)
