"""ipvsadm's commands and options, and how popt takes a line apart: ``take_verb``, ``take_options``.

Which option may stand with which command, but not what its value means.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

HINT = "Try `ipvsadm -h' or 'ipvsadm --help' for more information."


class UsageError(Exception):
    """A command line that ipvsadm refuses by itself."""

    def __init__(self, text: str, *, status: int = 2) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


class Verb(enum.Enum):
    """The commands; the values are ipvsadm's words in its own messages."""

    ADD_SERVICE = "add-service"
    EDIT_SERVICE = "edit-service"
    DELETE_SERVICE = "delete-service"
    CLEAR = "flush"
    RESTORE = "restore"
    SAVE = "save"
    ADD_SERVER = "add-server"
    EDIT_SERVER = "edit-server"
    DELETE_SERVER = "delete-server"
    LIST = "list"
    ZERO = "zero"
    SET = "set"
    START_DAEMON = "start-daemon"
    STOP_DAEMON = "stop-daemon"
    HELP = "help"
    VERSION = "version"


@dataclass(frozen=True, slots=True)
class _Option:
    name: str
    """As ipvsadm's messages call it; options of one name exclude each other."""
    value: str = "no"
    """``no``, ``yes``, or ``maybe``: only if the next word does not begin with a hyphen."""
    word: str = ""
    """The long option, when it is not the name."""


_VERBS = {
    "A": Verb.ADD_SERVICE,
    "E": Verb.EDIT_SERVICE,
    "D": Verb.DELETE_SERVICE,
    "C": Verb.CLEAR,
    "R": Verb.RESTORE,
    "S": Verb.SAVE,
    "a": Verb.ADD_SERVER,
    "e": Verb.EDIT_SERVER,
    "d": Verb.DELETE_SERVER,
    "L": Verb.LIST,
    "l": Verb.LIST,
    "Z": Verb.ZERO,
    "h": Verb.HELP,
    "v": Verb.VERSION,
}
_LONG_VERBS = {verb.value: verb for verb in Verb} | {"clear": Verb.CLEAR}

_SHORT = {
    "t": _Option("service-address", "yes", "tcp-service"),
    "u": _Option("service-address", "yes", "udp-service"),
    "f": _Option("service-address", "yes", "fwmark-service"),
    "6": _Option("ipv6"),
    "s": _Option("scheduler", "yes"),
    "p": _Option("persistent", "maybe"),
    "M": _Option("netmask", "yes"),
    "o": _Option("ops"),
    "b": _Option("sched-flags", "yes"),
    "r": _Option("real-server", "yes"),
    "g": _Option("forwarding-method", word="gatewaying"),
    "i": _Option("forwarding-method", word="ipip"),
    "m": _Option("forwarding-method", word="masquerading"),
    "w": _Option("weight", "yes"),
    "x": _Option("u-threshold", "yes"),
    "y": _Option("l-threshold", "yes"),
    "n": _Option("numeric"),
    "c": _Option("connection"),
    "X": _Option("exact"),
}
_LONG_ONLY = (
    _Option("service-address", "yes", "sctp-service"),
    *(_Option(name) for name in ("timeout", "daemon", "stats", "rate", "thresholds")),
    *(_Option(name) for name in ("persistent-conn", "nosort", "sort", "tun-info")),
    _Option("tun-csum", word="tun-csum"),
    *(_Option(name, "yes") for name in ("pe", "syncid", "sync-maxlen", "tun-type", "tun-port")),
    *(_Option(f"mcast-{rest}", "yes") for rest in ("interface", "group", "port", "ttl")),
)
_LONG = {option.word or option.name: option for option in (*_SHORT.values(), *_LONG_ONLY)} | {
    "set-flags": _Option("sched-flags", "yes")
}

_SERVICE = {"service-address", "ipv6", "scheduler", "persistent", "netmask", "ops", "pe"}
_SERVICE |= {"sched-flags"}
_SERVER = {"service-address", "ipv6", "real-server", "forwarding-method", "weight"}
_SERVER |= {"u-threshold", "l-threshold", "tun-type", "tun-port", "tun-csum"}
_NAMED = {"service-address", "ipv6"}
LISTING = {"numeric", "connection", "timeout", "daemon", "stats", "rate", "thresholds"}
LISTING |= {"persistent-conn", "nosort", "sort", "exact", "syncid", "tun-info", *_NAMED}
_DAEMON = {"syncid", "sync-maxlen", "mcast-interface", "mcast-group", "mcast-port", "mcast-ttl"}
_ALLOWED: dict[Verb, set[str]] = {
    Verb.ADD_SERVICE: _SERVICE,
    Verb.EDIT_SERVICE: _SERVICE,
    Verb.DELETE_SERVICE: _NAMED,
    Verb.SAVE: {"numeric"},
    Verb.ADD_SERVER: _SERVER,
    Verb.EDIT_SERVER: _SERVER,
    Verb.DELETE_SERVER: {*_NAMED, "real-server"},
    Verb.LIST: LISTING,
    Verb.ZERO: _NAMED,
    Verb.START_DAEMON: _DAEMON,
    Verb.STOP_DAEMON: {"syncid"},
}
_NEEDED: dict[Verb, tuple[str, ...]] = {
    Verb.ADD_SERVICE: ("service-address",),
    Verb.EDIT_SERVICE: ("service-address",),
    Verb.DELETE_SERVICE: ("service-address",),
    Verb.ADD_SERVER: ("service-address", "real-server"),
    Verb.EDIT_SERVER: ("service-address", "real-server"),
    Verb.DELETE_SERVER: ("service-address", "real-server"),
}


# ---- Words to options ----


@dataclass(slots=True)
class Words:
    """What popt does: splits words into options, values and rest, from left to right."""

    rest: list[str]

    def next_option(self) -> tuple[str, str | None] | None:
        """Its letter or word, and what is glued to it; None at a word that is no option."""
        if not self.rest or not self.rest[0].startswith("-") or self.rest[0] == "-":
            return None
        word = self.rest.pop(0)
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            return name, value if equals else None
        return word[1], word[2:] or None

    def value(self, option: _Option, name: str, glued: str | None) -> str:
        if option.value == "no":
            if glued:
                self.rest.insert(0, f"-{glued}")
            return ""
        if glued is not None:
            return glued
        if self.rest and not (option.value == "maybe" and self.rest[0].startswith("-")):
            return self.rest.pop(0)
        if option.value == "maybe":
            return ""
        raise UsageError(f"{_dashed(name)}: missing argument", status=255)


def _dashed(name: str) -> str:
    return f"-{name}" if len(name) == 1 else f"--{name}"


def take_verb(words: Words) -> Verb:
    option = words.next_option()
    if option is None:
        raise UsageError(HINT, status=255)
    name, glued = option
    verb = _VERBS.get(name) if len(name) == 1 else _LONG_VERBS.get(name)
    if verb is None:
        raise UsageError(HINT, status=255)
    if glued:
        words.rest.insert(
            0, glued if verb in (Verb.START_DAEMON, Verb.STOP_DAEMON) else f"-{glued}"
        )
    return verb


def take_options(words: Words) -> dict[str, tuple[str, str]]:
    """By ipvsadm's name: the letter or word used, and the value."""
    given: dict[str, tuple[str, str]] = {}
    while (found := words.next_option()) is not None:
        name, glued = found
        if name in _VERBS or name in _LONG_VERBS:
            raise UsageError(f"invalid option `{_dashed(name)}'")
        option = _SHORT.get(name) or _LONG.get(name)
        if option is None:
            raise UsageError(f"{_dashed(name)}: unknown option", status=255)
        if option.name in given:
            raise UsageError(f"multiple '{option.name}' options specified")
        if option.name == "ipv6" and "service-address" not in given:
            raise UsageError("-6 used before -f")
        given[option.name] = (name, words.value(option, name, glued))
    return given


def check_options(verb: Verb, given: Iterable[str]) -> None:
    for name in _NEEDED.get(verb, ()):
        if name not in given:
            raise UsageError(
                f"You need to supply the '{name}' option for the '{verb.value}' command"
            )
    for name in given:
        if name not in _ALLOWED.get(verb, set()):
            raise UsageError(f"Illegal '{name}' option with the '{verb.value}' command")
