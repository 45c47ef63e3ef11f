"""TOML: the native form as a draft; the same names, and what ldirectord has no words for."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import servers, values
from .directive import Directive, Kind, Level
from .directives import DIRECTIVES
from .draft import Draft, Reading, Scope, Section, Target, meant, shown
from .marks import from_ports
from .model import ConfigError, Mark, Real
from .native import DIRECTOR, MARK, REAL, TARGET

_MOST_SYNTAX_ERRORS = 20
_Key = tuple[str | int, ...]
_HEADER = re.compile(r"\s*\[(\[)?([^\[\]]+)\]")
_LONG = re.compile(r"""=\s*(\[|\{|\"{3}|'{3})""")
"""What a value begins with that may go on in the next line."""
_ENTRY = re.compile(r"\s*([A-Za-z0-9_\-.\"' ]+?)\s*=")

_DIRECTOR = {row.name: row for row in DIRECTOR}
_REAL = {row.name: row for row in REAL}
_MARK = {row.name: row for row in MARK}
_TARGET = {row.name: row for row in TARGET}
_OPENERS = {"virtual", "virtual6", "real6"}
_DEFAULTS = {row.name: row for row in DIRECTIVES if row.level in (Level.GLOBAL, Level.BOTH)}
_VIRTUAL = {
    row.name: row
    for row in (*TARGET, *DIRECTIVES)
    if row.level is not Level.GLOBAL and row.name not in _OPENERS
}


def read(text: str, reading: Reading) -> Draft:
    """Read a whole file. What is wrong with a line is gathered by the reading."""
    text = text.removeprefix("\ufeff")
    lines = text.split("\n")
    dropped: list[int] = []
    for _ in range(_MOST_SYNTAX_ERRORS):
        try:
            document = tomllib.loads("\n".join(lines))
            return _Tables(reading, _lines(text), dropped).draft(document)
        except (ValueError, RecursionError) as error:
            reading.errors.append(fault := _syntax_error(error, lines, reading))
        # To find the other errors too, go on without the line, or the table, that is wrong.
        if not (gone := _without(lines, fault.line)):
            break
        dropped += gone
    return Draft()


def _without(lines: list[str], number: int) -> list[int]:
    """Empty a line that says something by itself, or a table by its header."""
    line = lines[number - 1] if 0 < number <= len(lines) else ""
    gone = [number]
    if _HEADER.match(line):
        rest = range(number + 1, len(lines) + 1)
        gone += itertools.takewhile(lambda each: not _HEADER.match(lines[each - 1]), rest)
    elif not _ENTRY.match(line):
        return []
    for each in gone:
        lines[each - 1] = ""
    return gone


def _syntax_error(error: Exception, lines: Sequence[str], reading: Reading) -> ConfigError:
    reason = str(error)
    found = re.search(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)$", reason)
    if found is None:
        return reading.error(f"not TOML: {reason}", 0)
    line = int(found[1]) if found[1] else _unclosed(lines)
    return reading.error(f"not TOML: {reason[: found.start()]}", line)


def _unclosed(lines: Sequence[str]) -> int:
    """Give the line of what goes on to the end of the file, else the last one."""
    broken = [number for number, line in enumerate(lines, 1) if _is_broken(line)]
    within = [number for number in broken if not _LONG.search(lines[number - 1])]
    return next(iter([*within, *reversed(broken)]), len(lines) - (not lines[-1]))


def _is_broken(line: str) -> bool:
    """Say whether an entry is none by itself."""
    if not _ENTRY.match(line):
        return False
    try:
        tomllib.loads(line)
    except ValueError:
        return True
    return False


def _lines(text: str) -> dict[_Key, int]:
    """Find the line of every table and key, by a look at how the lines begin."""
    found: dict[_Key, int] = {}
    table: _Key = ()
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.match(line):
            table = _table(header[2], found, new=bool(header[1]))
            found.setdefault(table, number)
        elif entry := _ENTRY.match(line):
            found.setdefault((*table, *_names(entry[1])), number)
    return found


def _names(dotted: str) -> list[str]:
    return [name.strip(" \t\"'") for name in dotted.split(".")]


def _table(dotted: str, found: Mapping[_Key, int], *, new: bool) -> _Key:
    """Say which table a header opens; arrays of tables go by the number of the last one."""
    key: _Key = ()
    *parents, last = _names(dotted)
    for name in parents:
        key = (*key, name)
        key = (*key, *_last(key, found))
    key = (*key, last)
    if not new:
        return (*key, *_last(key, found))
    count = _last(key, found)
    return (*key, count[0] + 1 if count else 0)


def _last(key: _Key, found: Mapping[_Key, int]) -> tuple[int, ...]:
    number = -1
    while (*key, number + 1) in found:
        number += 1
    return (number,) if number >= 0 else ()


class _Tables:
    """One document on its way into a draft."""

    def __init__(self, reading: Reading, lines: Mapping[_Key, int], dropped: Sequence[int]) -> None:
        self._reading = reading
        self._lines = lines
        self._dropped = [key for key, line in lines.items() if line in dropped]
        """What is there, and was no TOML."""

    def draft(self, document: dict[str, Any]) -> Draft:
        draft = Draft()
        self._find_unknown((), document, ("director", "defaults", "mark", "virtual"))
        self._fill(draft.director, ("director",), document.get("director", {}), _DIRECTOR)
        self._fill(draft.shared, ("defaults",), document.get("defaults", {}), _DEFAULTS)
        for key, table in self._array(("mark",), document.get("mark", [])):
            with self._reading.gathering():
                draft.marks += self._mark(key, table)
        for key, table in self._array(("virtual",), document.get("virtual", [])):
            draft.virtuals.append(self._virtual(key, table))
        return draft

    def _line(self, key: _Key) -> int:
        """Give the line of a key, else of the nearest table around it."""
        while key and key not in self._lines:
            key = key[:-1]
        return self._lines.get(key, 0)

    def _find_unknown(self, key: _Key, table: Mapping[str, Any], known: Iterable[str]) -> set[str]:
        known = tuple(known)
        unknown = {name for name in table if name not in known}
        for name in unknown:
            self._reading.fault(
                f"unknown key {shown(name)} in {_place(key)}{_elsewhere(name, known)}",
                self._line((*key, name)),
            )
        return unknown

    def _array(self, key: _Key, value: object) -> list[tuple[_Key, dict[str, Any]]]:
        if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
            name = ".".join(str(part) for part in key if isinstance(part, str))
            self._reading.fault(
                f"{name} must be an array of tables: write [[{name}]]", self._line(key)
            )
            return []
        return [((*key, number), table) for number, table in enumerate(value)]

    def _fill(
        self, section: Section, key: _Key, table: object, rows: Mapping[str, Directive]
    ) -> None:
        if not isinstance(table, dict):
            self._reading.fault(f"{key[-1]} must be a table: write [{key[-1]}]", self._line(key))
            return
        # One of them may have been meant for another that is missing then.
        section.failed |= self._find_unknown(key, table, rows)
        section.line = self._line(key)
        section.failed |= {
            name for *place, name in self._dropped if isinstance(name, str) and (*place,) == key
        }
        for name in (name for name in table if name in rows):
            with self._reading.gathering(section, name):
                self._take(section, (*key, name), table[name], rows[name])

    def _take(self, section: Section, key: _Key, value: object, row: Directive) -> None:
        line = self._line(key)
        if row.idle:
            self._reading.note(f"{row.name} does nothing: {row.idle}", line)
        if row.name == "real" and row.kind is Kind.SERVER:
            for real, inner in self._array(key, value):
                with self._reading.gathering():
                    section.reals += self._real(real, inner, section.target.family)
        elif row.kind is Kind.SERVER:
            self._fallback(section, row.name, value, line)
        else:
            section.put(row.name, values.from_toml(row, value, self._reading, line), line)

    def _mark(self, key: _Key, table: dict[str, Any]) -> tuple[Mark, ...]:
        own = Section()
        self._fill(own, key, table, _MARK)
        scope = Scope(own, own, _MARK)
        if own.failed:
            return ()
        number, address = scope.number("mark"), scope.text("address")
        if number is None or address is None:
            raise self._reading.error('a mark needs mark = 7 and address = "ADDRESS"', own.line)
        try:
            return from_ports(
                number, address, protocol=scope.text("protocol"), ports=scope.text("ports")
            )
        except ValueError as error:
            raise self._reading.error(str(error), own.line) from error

    def _virtual(self, key: _Key, table: dict[str, Any]) -> Section:
        opening, section = Section(), Section()
        section.failed |= self._find_unknown(key, table, _VIRTUAL)
        opener = {name: value for name, value in table.items() if name in _TARGET}
        self._fill(opening, key, opener, _TARGET)
        section.failed |= opening.failed
        if opening.values or not section.failed:
            with self._reading.gathering(section, "address"):
                section.target = self._target(Scope(opening, opening, _TARGET))
        own = _VIRTUAL.keys() - _TARGET.keys()
        rest = {name: value for name, value in table.items() if name in own}
        self._fill(section, key, rest, _VIRTUAL)
        return section

    def _target(self, scope: Scope) -> Target:
        family = 6 if scope.flag("ipv6") else 4
        match scope.text("address"), scope.number("fwmark"):
            case None, int(mark):
                return Target(family, fwmark=mark)
            case str(address), None:
                line = scope.own.line_of("address")
                if address.strip().isdecimal():
                    raise self._reading.error("write a firewall mark as fwmark = 7", line)
                # Here an address alone says its family.
                family = 6 if address.strip().startswith("[") else family
                return servers.virtual(address.strip(), family, self._reading, line)
        raise self._reading.error(
            'a virtual service has either address = "HOST:PORT" or fwmark = 7', scope.own.line
        )

    def _fallback(self, section: Section, name: str, value: object, line: int) -> None:
        if not isinstance(value, str) or not value.strip():
            raise self._reading.error(f'{name} must be a string like "192.0.2.9:80"', line)
        family = 6 if name.endswith("6") or section.target.family == 6 else 4
        if family != section.target.family and section.target.address is not None:
            raise self._reading.error(f"{name} in an IPv4 virtual service: write fallback", line)
        section.spares[family] = servers.fallback(value, family, self._reading, line)

    def _real(self, key: _Key, table: Mapping[str, Any], family: int) -> tuple[Real, ...]:
        own = Section()
        self._fill(own, key, table, _REAL)
        if own.failed:
            return ()
        scope = Scope(own, own, _REAL)
        where = scope.text("address")
        if where is None:
            raise self._reading.error('a real server needs address = "HOST:PORT"', own.line)
        at = own.line_of("address")
        addresses, port = servers.real_addresses(where.strip(), family, self._reading, at)
        if not servers.reached(scope.string("method"), where, self._reading, own.line_of("method")):
            return ()
        asked = servers.Options(
            scope.count("weight"),
            scope.text("request"),
            scope.text("receive"),
            scope.count("lower"),
            scope.count("upper"),
        )
        return servers.make_reals(addresses, port, asked, self._reading, own.line)


def _place(key: _Key) -> str:
    names = ".".join(part for part in key if isinstance(part, str))
    if not names:
        return "the file"
    return f"[[{names}]]" if isinstance(key[-1], int) else f"[{names}]"


def _elsewhere(name: str, known: tuple[str, ...]) -> str:
    """Say where a name belongs, or which one was meant."""
    for table, names in (
        ("[director]", _DIRECTOR),
        ("[defaults]", _DEFAULTS),
        ("[[virtual]]", _VIRTUAL),
        ("[[virtual.real]]", _REAL),
        ("[[mark]]", _MARK),
    ):
        if name in names:
            return f"; it belongs in {table}"
    return meant(name, known) or f"; the keys here are {', '.join(known)}"
