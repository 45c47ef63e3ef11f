"""Ldirectord: the lines of an ldirectord.cf as a draft. No defaults, no look at what it means."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from . import servers, values
from .directive import Directive, Kind, Level
from .directives import BY_NAME
from .draft import Draft, Reading, Scope, Section, meant, shown

_INDENT = 4
"""Columns that ldirectord wants before a directive of a virtual service."""

_STATEMENT = re.compile(r"([^\s=]+)\s*=(.*)", re.DOTALL)
_GONE = {"timeout": "checktimeout", "connecttimeout": "checktimeout"}
_OPENERS = {"virtual": 4, "virtual6": 6}
_WHOLE_LINE = (Kind.TEXT, Kind.LIST, Kind.REPEATED)
"""Kinds of which ldirectord takes all that stands on a global line, a comment too."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that says something."""

    number: int
    text: str
    indent: int
    """Columns; 0 is a global directive."""
    after_blank: bool
    last: bool


@dataclass(frozen=True, slots=True)
class _Statement:
    """``name = value`` with the value's comment and outer blanks taken off."""

    name: str
    value: str
    tail: str
    """What ldirectord sees after the value: blanks, and at global level a comment too."""


def read(text: str, reading: Reading) -> Draft:
    """Read a whole file."""
    draft = Draft()
    block: Section | None = None
    for line in _lines(text, reading):
        if line.indent:
            if block is None:
                raise reading.error(_stray(line.text), line.number)
            _take_in_block(block, line, reading)
            continue
        statement = _statement(line, reading)
        if statement.name in _OPENERS:
            block = _open(statement, line, reading)
            draft.virtuals.append(block)
        else:
            block = None
            _take(draft.shared, statement, line, reading)
    _note_intervals(draft, reading)
    return draft


def _note_intervals(draft: Draft, reading: Reading) -> None:
    if draft.shared.values.get("fork") is True:
        return
    for line in (own.lines.get("checkinterval") for own in draft.virtuals):
        if line is not None:
            reading.note(
                "ldirectord ignores a virtual service's own checkinterval without fork=yes,"
                " this director goes by it",
                line,
            )


def _lines(text: str, reading: Reading) -> Iterator[_Line]:
    """Give the lines that are neither blank nor comment, telling of what ldirectord minds."""
    if text.startswith("\ufeff"):
        reading.note_strict("the file begins with a byte order mark", 1)
    lines = text.removeprefix("\ufeff").split("\n")
    if not lines[-1]:
        lines.pop()
    returns = next((n for n, line in enumerate(lines, 1) if line.endswith("\r")), 0)
    if returns:
        reading.note_strict(
            "lines end in CR LF, which ldirectord takes for part of values", returns
        )
    in_block = after_blank = False
    for number, raw in enumerate(lines, 1):
        line = raw.removesuffix("\r")
        body = line.strip()
        columns = _columns(line)
        if body.startswith("#"):
            continue
        if not body:
            if in_block and columns > _INDENT:
                reading.note_strict("ldirectord wants a blank line to be empty here", number)
            else:
                in_block, after_blank = False, True
            continue
        yield _Line(number, line, columns, after_blank, last=number == len(lines))
        in_block = bool(columns) or body.startswith("virtual")
        after_blank = False


def _columns(line: str) -> int:
    """Count the columns of indent as ldirectord does: a tab is always four."""
    indent = line[: len(line) - len(line.lstrip(" \t"))]
    return len(indent.replace("\t", " " * _INDENT))


def _statement(line: _Line, reading: Reading) -> _Statement:
    """Take a line apart."""
    found = _STATEMENT.fullmatch(line.text.lstrip())
    if found is None:
        if line.text.strip() == "supervised" and not line.indent:
            reading.note("write supervised=yes: the bare word is deprecated", line.number)
            return _Statement("supervised", "yes", "")
        raise reading.error(
            f"{shown(line.text.strip())} is no directive: write name=value", line.number
        )
    name, rest = found.groups()
    if line.indent:
        seen = rest[: _comment_in_block(name, rest, reading, line.number)].replace("\t", " " * 4)
        value = seen.strip()
        return _Statement(name, value, seen[len(seen.rstrip()) :])
    value = rest[: _comment(rest)].strip()
    return _Statement(name, value, rest.lstrip()[len(value) :])


def _comment(text: str) -> int:
    """Find where a global directive's comment begins: at a # after a blank, outside quotes."""
    for found in re.finditer(r"(?:^|(?<=\s))#", text):
        before = text[: found.start()]
        if before.count('"') % 2 == 0 or '"' not in text[found.start() :]:
            return found.start()
    return len(text)


def _comment_in_block(name: str, text: str, reading: Reading, line: int) -> int:
    """Find where a comment begins: at any # outside quotes."""
    if "#" not in text:
        return len(text)
    # Later quotes may belong to the value's own text, or to the comment.
    opened = (1, 3) if name.startswith("real") else (1,)
    for found in re.finditer("#", text):
        at = found.start()
        if text[:at].count('"') not in opened or '"' not in text[at:]:
            return at
        reading.note_strict("ldirectord takes a # inside quotes for a comment", line)
    return len(text)


def _open(statement: _Statement, line: _Line, reading: Reading) -> Section:
    _require_value(statement, line, reading)
    family = _OPENERS[statement.name]
    value = _bare(statement, line, reading)
    if line.last:
        reading.note_strict("ldirectord refuses a file that ends with this line", line.number)
    return Section(line.number, servers.virtual(value, family, reading, line.number))


def _take_in_block(block: Section, line: _Line, reading: Reading) -> None:
    if line.after_blank:
        reading.note_strict("ldirectord ends a virtual service at a blank line", line.number)
    elif line.indent < _INDENT:
        reading.note_strict(f"ldirectord wants {_INDENT} columns of indent", line.number)
    statement = _statement(line, reading)
    _take(block, statement, line, reading)


def _take(section: Section, statement: _Statement, line: _Line, reading: Reading) -> None:
    """Put one directive into its section."""
    row = _row(statement.name, line, reading)
    if row.ours:
        reading.note_strict(f"{row.name} is not a directive of ldirectord", line.number)
    if row.exact or (row.kind in _WHOLE_LINE and not line.indent):
        _note_tail(row, statement, line, reading)
    if row.kind is Kind.SERVER:
        _take_server(section, statement, line, reading)
        return
    value = values.from_text(row, statement.value, reading, line.number)
    if row.kind is Kind.REPEATED and isinstance(value, tuple):
        value = (*Scope(section, section).words(row.name), *value)
    if row.name == "checkcount":
        reading.note("checkcount is deprecated and counts ping attempts only", line.number)
    section.put(row.name, value, line.number)


def _row(name: str, line: _Line, reading: Reading) -> Directive:
    """Find the directive, refusing one that is unknown or stands at the wrong level."""
    if name in _GONE:
        raise reading.error(f"{name} is no longer a directive: write {_GONE[name]}", line.number)
    row = BY_NAME.get(name)
    if row is None:
        raise reading.error(f"unknown directive {shown(name)}{meant(name, BY_NAME)}", line.number)
    if line.indent and name in _OPENERS:
        raise reading.error(f"{name} opens a virtual service: write it without indent", line.number)
    if line.indent and row.level is Level.GLOBAL:
        raise reading.error(
            f"{name} is for the whole file: write it without indent, outside a virtual service",
            line.number,
        )
    if not line.indent and row.level is Level.VIRTUAL:
        raise reading.error(
            f"{name} is for one virtual service: indent it below its virtual=", line.number
        )
    return row


def _note_tail(row: Directive, statement: _Statement, line: _Line, reading: Reading) -> None:
    if "#" in statement.tail:
        if row.exact or not statement.value.endswith('"'):
            reading.note_strict(
                f"ldirectord takes no comment after the value of {row.name}", line.number
            )
    elif statement.tail and row.exact:
        reading.note_strict(f"ldirectord takes no blank after the value of {row.name}", line.number)


def _take_server(section: Section, statement: _Statement, line: _Line, reading: Reading) -> None:
    """Read ``real``, ``real6``, ``fallback`` and ``fallback6``, in the family of the service."""
    _require_value(statement, line, reading)
    name, number = statement.name, line.number
    family = 6 if name.endswith("6") else 4
    if line.indent and family != section.target.family:
        if family == 6:
            raise reading.error(f"{name} in an IPv4 virtual service: write {name[:-1]}", number)
        reading.note_strict(f"ldirectord wants {name}6 in an IPv6 virtual service", number)
        family = 6
    value = _bare(statement, line, reading)
    if name.startswith("real"):
        section.reals += servers.reals(value, family, reading, number)
    else:
        section.spares[family] = servers.fallback(value, family, reading, number)


def _require_value(statement: _Statement, line: _Line, reading: Reading) -> None:
    if not statement.value.strip('" '):
        raise reading.error(f"{statement.name} has no value: write an address", line.number)


def _bare(statement: _Statement, line: _Line, reading: Reading) -> str:
    """Take one pair of quotes off a whole value."""
    value = statement.value
    if len(value) < 2 or value[0] != '"' or value[-1] != '"' or value.count('"') != 2:
        return value
    reading.note_strict(f"ldirectord takes no quotes around {statement.name}", line.number)
    return value[1:-1].strip()


def _stray(text: str) -> str:
    name = re.split(r"[\s=]", text.strip(), maxsplit=1)[0]
    row = BY_NAME.get(name)
    if row is not None and row.level in (Level.GLOBAL, Level.BOTH):
        return f"{name} is indented but not below a virtual=: write it without indent"
    return f"{shown(text.strip())} is indented but not below a virtual="
