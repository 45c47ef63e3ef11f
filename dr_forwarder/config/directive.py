"""Directive: one name that a configuration may use, and what its value is. No parsing."""

from __future__ import annotations

import enum
from dataclasses import dataclass

Value = bool | int | str | tuple[str, ...]
LARGEST = 2**31 - 1


class Level(enum.Enum):
    """Where a name may stand."""

    GLOBAL = "global"
    VIRTUAL = "virtual"
    BOTH = "both"
    """Global, and again in a virtual service, which then goes before the global one."""
    DIRECTOR = "director"
    """The table ``[director]`` of the native form."""
    REAL = "real"
    """The tables ``[[virtual.real]]`` of the native form."""
    MARK = "mark"
    """The tables ``[[mark]]`` of the native form."""


class Kind(enum.Enum):
    """What a value is, and so how it is read."""

    FLAG = "yes or no"
    NUMBER = "number"
    CHOICE = "one of a few words"
    CHECKTYPE = "a word or a number"
    LETTERS = "lower-case letters"
    WORD = "one word"
    LIST = "words with commas between them"
    REPEATED = "text, and more of it at each further line"
    TEXT = "text"
    PATTERN = "regular expression"
    SERVER = "address"
    VLAN = "a number, or a list of two"
    MACS = "MAC addresses"
    LISTEN = "an address and a port"


class Quotes(enum.Enum):
    """What ldirectord makes of double quotes around a value; here they may always be there."""

    NEEDED = "needed"
    OPTIONAL = "optional"
    REFUSED = "refused or kept as part of the value"


@dataclass(frozen=True, slots=True)
class Directive:
    """One row of the table."""

    name: str
    level: Level
    kind: Kind
    help: str
    default: Value | None = None
    low: int = 1
    high: int = LARGEST
    choices: tuple[str, ...] = ()
    quotes: Quotes = Quotes.OPTIONAL
    exact: bool = False
    """True where ldirectord refuses anything after the value, even a blank."""
    any_case: bool = False
    ours: bool = False
    """True for what ldirectord has not: it refuses a file with it."""
    idle: str = ""
    """Why it is accepted and does nothing."""
