"""Ldirectord: the lines of an ldirectord.cf as a draft. No defaults, no look at what it means."""

from __future__ import annotations

from . import servers, values
from .directive import Directive, Kind, Level
from .directives import BY_NAME
from .draft import Draft, Reading, Scope, Section, Target, meant, shown
from .ldirectord_lines import INDENT, OPENERS, Line, Statement, lines, statement

_GONE = {"timeout": "checktimeout", "connecttimeout": "checktimeout"}
_WHOLE_LINE = (Kind.TEXT, Kind.LIST, Kind.REPEATED)
"""Kinds of which ldirectord takes all that stands on a global line, a comment too."""
_UNINDENTED = (
    "directives that only a virtual service can have are taken for the virtual= above them:"
    f" indent them by {INDENT} columns, without which ldirectord refuses them"
)


def read(text: str, reading: Reading) -> Draft:
    """Read a whole file. What is wrong with a line is gathered by the reading."""
    reader = _Reader(reading)
    for line in lines(text, reading):
        with reading.gathering():
            reader.take(line)
    _note_intervals(reader.draft, reading)
    return reader.draft


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


class _Reader:
    """A file on its way into a draft, line by line."""

    def __init__(self, reading: Reading) -> None:
        self.draft = Draft()
        self._reading = reading
        self._block: Section | None = None
        self._is_closed = self._is_flat = False
        """To ldirectord its block has ended; some of it is not indented."""
        self._shared: list[tuple[str, int]] = []
        """Directives of either level that stand without indent below it."""

    def take(self, line: Line) -> None:
        """The next line; raises ConfigError."""
        said = statement(line, self._reading)
        if said.name in OPENERS:
            if line.columns:
                raise self._reading.error(
                    f"{said.name} opens a virtual service: write it without indent", line.number
                )
            self._open(said, line)
            return
        row = _row(said.name, self._reading, line.number)
        if self._is_own(row, line):
            self._take_in_block(row, said, line)
        else:
            self._take_for_all(row, said, line)

    def _open(self, said: Statement, line: Line) -> None:
        family = 6 if "[" in said.value else OPENERS[said.name]
        self._block = section = Section(line.number, Target(family))
        self._is_closed = self._is_flat = False
        self._shared = []
        self.draft.virtuals.append(section)
        with self._reading.gathering(section, said.name):
            section.target = _target(said, line, self._reading)

    def _is_own(self, row: Directive, line: Line) -> bool:
        """Say whether it is the virtual service's own; raises ConfigError if it is nobody's."""
        reason = ""
        if self._block is None and line.columns:
            reason = f"{row.name} is indented but not below a virtual="
            reason += "" if row.level is Level.VIRTUAL else ": write it without indent"
        elif self._block is None and row.level is Level.VIRTUAL:
            reason = f"{row.name} is for one virtual service: indent it below its virtual="
        elif row.level is Level.GLOBAL and line.columns:
            reason = f"{row.name} is for the whole file"
            reason += ": write it without indent, outside a virtual service"
        if reason:
            raise self._reading.error(reason, line.number)
        return self._block is not None and (row.level is Level.VIRTUAL or line.columns > 0)

    def _take_in_block(self, row: Directive, said: Statement, line: Line) -> None:
        assert self._block is not None
        number = line.number
        if not line.columns:
            self._reading.note_strict(_UNINDENTED, number)
            self._is_flat = True
        elif line.columns < INDENT:
            self._reading.note_strict(f"ldirectord wants {INDENT} columns of indent", number)
        elif self._is_closed:
            self._reading.note_strict(
                "ldirectord ends a virtual service at a line without indent", number
            )
        elif line.after_blank:
            self._reading.note_strict("ldirectord ends a virtual service at a blank line", number)
        self._note_shared()
        with self._reading.gathering(self._block, row.name):
            _take(self._block, row, said, line, self._reading)

    def _note_shared(self) -> None:
        """The block goes on: what came before without indent was hardly meant for all."""
        for name, number in self._shared:
            self._reading.note(
                f"{name} is not indented and so is for the whole file, as to ldirectord:"
                " indent it if it is meant for the virtual= above it",
                number,
            )
        self._shared = []

    def _take_for_all(self, row: Directive, said: Statement, line: Line) -> None:
        if self._block is not None:
            self._is_closed = True
            if row.level is Level.BOTH:
                self._shared.append((row.name, line.number))
                if self._is_flat and not line.after_blank:
                    self._note_shared()
        with self._reading.gathering(self.draft.shared, row.name):
            _take(self.draft.shared, row, said, line, self._reading)


def _row(name: str, reading: Reading, line: int) -> Directive:
    if name in _GONE:
        raise reading.error(f"{name} is no longer a directive: write {_GONE[name]}", line)
    row = BY_NAME.get(name)
    if row is None:
        raise reading.error(f"unknown directive {shown(name)}{meant(name, BY_NAME)}", line)
    return row


def _take(section: Section, row: Directive, said: Statement, line: Line, reading: Reading) -> None:
    """Put one directive into its section."""
    if row.ours:
        reading.note_strict(f"{row.name} is not a directive of ldirectord", line.number)
    if row.exact or (row.kind in _WHOLE_LINE and not line.columns):
        _note_tail(row, said, line, reading)
    if row.kind is Kind.SERVER:
        _take_server(section, said, line, reading)
        return
    value = values.from_text(row, said.value, reading, line.number)
    if row.kind is Kind.REPEATED and isinstance(value, tuple):
        value = (*Scope(section, section).words(row.name), *value)
    if row.name == "checkcount":
        reading.note("checkcount is deprecated and counts ping attempts only", line.number)
    section.put(row.name, value, line.number)


def _note_tail(row: Directive, said: Statement, line: Line, reading: Reading) -> None:
    if "#" in said.tail:
        if row.exact or not said.value.endswith('"'):
            reading.note_strict(
                f"ldirectord takes no comment after the value of {row.name}", line.number
            )
    elif said.tail and row.exact and row.kind is not Kind.SERVER:
        reading.note_strict(f"ldirectord takes no blank after the value of {row.name}", line.number)


def _target(said: Statement, line: Line, reading: Reading) -> Target:
    value = _address(said, line, reading)
    if line.last:
        reading.note_strict("ldirectord refuses a file that ends with this line", line.number)
    return servers.virtual(value, OPENERS[said.name], reading, line.number)


def _take_server(section: Section, said: Statement, line: Line, reading: Reading) -> None:
    """Read ``real``, ``real6``, ``fallback`` and ``fallback6``, in the family of the service."""
    name, number = said.name, line.number
    value = _address(said, line, reading)
    family = 6 if name.endswith("6") else 4
    if section.line and family != section.target.family:
        if family == 6:
            raise reading.error(f"{name} in an IPv4 virtual service: write {name[:-1]}", number)
        reading.note_strict(f"ldirectord wants {name}6 in an IPv6 virtual service", number)
        family = 6
    if name.startswith("real"):
        section.reals += servers.reals(value, family, reading, number)
    else:
        section.spares[family] = servers.fallback(value, family, reading, number)


def _address(said: Statement, line: Line, reading: Reading) -> str:
    """Take one pair of quotes off a whole value."""
    value = said.value
    if not value.strip('" '):
        raise reading.error(f"{said.name} has no value: write an address", line.number)
    if len(value) < 2 or value[0] != '"' or value[-1] != '"' or value.count('"') != 2:
        return value
    reading.note_strict(f"ldirectord takes no quotes around {said.name}", line.number)
    return value[1:-1].strip()
