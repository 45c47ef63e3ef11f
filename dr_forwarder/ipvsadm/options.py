"""Options: ipvsadm's commands and options, which go together, and popt's way through a line. Pure.

What the options' values mean is for ``parse``.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass

HINT = "Try `ipvsadm -h' or 'ipvsadm --help' for more information."
REFUSED = 255
"""Exit status when popt or the kernel says no."""


class UsageError(Exception):
    """A command line that ipvsadm refuses by itself: its text and exit status."""

    def __init__(self, text: str, *, status: int = 2) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


class Verb(enum.Enum):
    """The commands; the values are what ipvsadm calls them in its messages."""

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


class Takes(enum.Enum):
    """What may follow an option."""

    NOTHING = 0
    VALUE = 1
    MAYBE = 2
    """A value only if the next word does not begin with a hyphen."""


@dataclass(frozen=True, slots=True)
class Option:
    """An option, or a command, which popt treats alike."""

    word: str
    """The long form."""
    letter: str = ""
    takes: Takes = Takes.NOTHING
    name: str = ""
    """As the messages call it, when that is not the long form; given twice, it is an error."""
    verb: Verb | None = None

    @property
    def called(self) -> str:
        """What the messages call it."""
        return self.name or self.word


def _service(word: str, letter: str = "") -> Option:
    return Option(word, letter, Takes.VALUE, "service-address")


def _method(word: str, letter: str) -> Option:
    return Option(word, letter, name="forwarding-method")


_COMMANDS = (
    Option("add-service", "A", verb=Verb.ADD_SERVICE),
    Option("edit-service", "E", verb=Verb.EDIT_SERVICE),
    Option("delete-service", "D", verb=Verb.DELETE_SERVICE),
    Option("clear", "C", verb=Verb.CLEAR),
    Option("restore", "R", verb=Verb.RESTORE),
    Option("save", "S", verb=Verb.SAVE),
    Option("add-server", "a", verb=Verb.ADD_SERVER),
    Option("edit-server", "e", verb=Verb.EDIT_SERVER),
    Option("delete-server", "d", verb=Verb.DELETE_SERVER),
    Option("list", "L", verb=Verb.LIST),
    Option("list", "l", verb=Verb.LIST),
    Option("zero", "Z", verb=Verb.ZERO),
    Option("set", verb=Verb.SET),
    Option("start-daemon", takes=Takes.VALUE, verb=Verb.START_DAEMON),
    Option("stop-daemon", takes=Takes.VALUE, verb=Verb.STOP_DAEMON),
    Option("help", "h", verb=Verb.HELP),
    Option("version", "v", verb=Verb.VERSION),
)
_OPTIONS = (
    _service("tcp-service", "t"),
    _service("udp-service", "u"),
    _service("sctp-service"),
    _service("fwmark-service", "f"),
    Option("ipv6", "6"),
    Option("scheduler", "s", Takes.VALUE),
    Option("persistent", "p", Takes.MAYBE),
    Option("netmask", "M", Takes.VALUE),
    Option("real-server", "r", Takes.VALUE),
    _method("gatewaying", "g"),
    _method("ipip", "i"),
    _method("masquerading", "m"),
    Option("weight", "w", Takes.VALUE),
    Option("u-threshold", "x", Takes.VALUE),
    Option("l-threshold", "y", Takes.VALUE),
    Option("numeric", "n"),
    Option("connection", "c"),
    Option("exact", "X"),
    Option("ops", "o"),
    Option("sched-flags", "b", Takes.VALUE),
    Option("pe", takes=Takes.VALUE),
    *(Option(word) for word in ("timeout", "daemon", "stats", "rate", "thresholds")),
    *(Option(word) for word in ("persistent-conn", "nosort", "sort", "tun-info")),
    *(Option(word, takes=Takes.VALUE) for word in ("syncid", "sync-maxlen", "mcast-interface")),
    *(Option(word, takes=Takes.VALUE) for word in ("mcast-group", "mcast-port", "mcast-ttl")),
    *(Option(word, takes=Takes.VALUE) for word in ("tun-type", "tun-port")),
    *(Option(word) for word in ("tun-nocsum", "tun-csum", "tun-remcsum")),
)
_BY_WORD = {option.word: option for option in (*_COMMANDS, *_OPTIONS)}
_BY_LETTER = {option.letter: option for option in (*_COMMANDS, *_OPTIONS) if option.letter}

UNCHECKED = frozenset({"sort", "ipv6"})
"""Options that ipvsadm lets pass anywhere, as often as one likes."""

# In the order in which ipvsadm looks for what is missing or too much.
_ORDER = (
    *("numeric", "connection", "service-address", "scheduler", "persistent", "netmask"),
    *("real-server", "forwarding-method", "weight", "u-threshold", "l-threshold"),
    *("mcast-interface", "timeout", "daemon", "stats", "rate", "thresholds", "persistent-conn"),
    *("nosort", "syncid", "exact", "ops", "pe", "sched-flags", "mcast-group", "mcast-port"),
    *("mcast-ttl", "sync-maxlen", "tun-info", "tun-type", "tun-port", "tun-nocsum", "tun-csum"),
    "tun-remcsum",
)
_SERVICE = frozenset(
    {"service-address", "scheduler", "persistent", "netmask", "ops", "pe", "sched-flags"}
)
TUNNEL = ("tun-type", "tun-port", "tun-nocsum", "tun-csum", "tun-remcsum")
_SERVER = frozenset(
    {"service-address", "real-server", "forwarding-method", "weight", "u-threshold"}
    | {"l-threshold", *TUNNEL}
)
_LISTING = frozenset(
    {"numeric", "connection", "service-address", "timeout", "daemon", "stats", "rate"}
    | {"thresholds", "persistent-conn", "nosort", "syncid", "exact", "tun-info"}
)
_DAEMON = frozenset(
    {"mcast-interface", "syncid", "mcast-group", "mcast-port", "mcast-ttl", "sync-maxlen"}
)
_ALLOWED: Mapping[Verb, frozenset[str]] = {
    Verb.ADD_SERVICE: _SERVICE,
    Verb.EDIT_SERVICE: _SERVICE,
    Verb.DELETE_SERVICE: frozenset({"service-address"}),
    Verb.SAVE: frozenset({"numeric"}),
    Verb.ADD_SERVER: _SERVER,
    Verb.EDIT_SERVER: _SERVER,
    Verb.DELETE_SERVER: frozenset({"service-address", "real-server"}),
    Verb.LIST: _LISTING,
    Verb.ZERO: frozenset({"service-address"}),
    Verb.START_DAEMON: _DAEMON,
    Verb.STOP_DAEMON: frozenset({"syncid"}),
}
_NEEDED: Mapping[Verb, frozenset[str]] = {
    Verb.ADD_SERVICE: frozenset({"service-address"}),
    Verb.EDIT_SERVICE: frozenset({"service-address"}),
    Verb.DELETE_SERVICE: frozenset({"service-address"}),
    Verb.ADD_SERVER: frozenset({"service-address", "real-server"}),
    Verb.EDIT_SERVER: frozenset({"service-address", "real-server"}),
    Verb.DELETE_SERVER: frozenset({"service-address", "real-server"}),
}
_ONE_OF = ("connection", "service-address", "timeout", "daemon")
"""What a listing can be of; in the order of _ORDER."""
_COLUMNS = frozenset({"stats", "rate", "thresholds"})


class Reader:
    """popt's way through the words: options and values from left to right, the rest aside."""

    def __init__(self, words: Collection[str]) -> None:
        self._left = list(words)
        self._bundle = ""
        self.rest: list[str] = []
        """Words that are neither options nor their values."""
        self.word = ""
        """The word taken last; messages show it."""

    def __iter__(self) -> Reader:
        return self

    def __next__(self) -> tuple[Option, str | None]:
        """Give an option and its value; raises UsageError."""
        if self._bundle:
            return self._short()
        while self._left:
            self.word = self._left.pop(0)
            if self.word == "--":
                self.rest += self._left
                self._left = []
            elif self.word.startswith("--"):
                return self._long()
            elif self.word.startswith("-") and self.word != "-":
                self._bundle = self.word[1:]
                return self._short()
            else:
                self.rest.append(self.word)
        raise StopIteration

    def _long(self) -> tuple[Option, str | None]:
        word, equals, glued = self.word[2:].partition("=")
        option = _BY_WORD.get(word)
        if option is None:
            raise self._error("unknown option")
        if option.takes is Takes.NOTHING and equals:
            raise self._error("option does not take an argument")
        return option, glued if equals else self._value(option)

    def _short(self) -> tuple[Option, str | None]:
        letter, glued = self._bundle[0], self._bundle[1:]
        self._bundle = ""
        option = _BY_LETTER.get(letter)
        if option is None:
            raise self._error("unknown option")
        if option.takes is not Takes.NOTHING:
            return option, glued.removeprefix("=") if glued else self._value(option)
        if glued.startswith("="):
            raise self._error("option does not take an argument")
        self._bundle = glued
        return option, None

    def _value(self, option: Option) -> str | None:
        if option.takes is Takes.NOTHING:
            return None
        if option.takes is Takes.MAYBE and (not self._left or self._left[0].startswith("-")):
            return None
        if not self._left:
            raise self._error("missing argument")
        self.word = self._left.pop(0)
        return self.word

    def _error(self, text: str) -> UsageError:
        return UsageError(f"{self.word}: {text}", status=REFUSED)


def check_together(verb: Verb, given: Collection[str]) -> None:
    """Raises UsageError for what is missing, or does not go with the command or each other."""
    needed = _NEEDED.get(verb, frozenset())
    allowed = _ALLOWED.get(verb, frozenset())
    chosen = ""
    for name in _ORDER:
        if name not in given:
            if name in needed:
                raise UsageError(
                    f"You need to supply the '{name}' option for the '{verb.value}' command"
                )
            continue
        if name not in allowed:
            raise UsageError(f"Illegal '{name}' option with the '{verb.value}' command")
        if verb is Verb.LIST and name in _ONE_OF:
            if chosen:
                raise UsageError(
                    f"The option '{name}' conflicts with the '{chosen}' option in the 'list'"
                    " command"
                )
            chosen = name
    if chosen in ("connection", "timeout", "daemon"):
        _check_columns(chosen, given)


def _check_columns(chosen: str, given: Collection[str]) -> None:
    unfit = _COLUMNS if chosen == "connection" else _COLUMNS | {"persistent-conn"}
    if unfit.intersection(given):
        raise UsageError("options conflicts in the list command")
