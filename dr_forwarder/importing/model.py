"""Model: what an import makes, and what it says of each line."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..config import Mark

Value = bool | int | str | list[str] | list[int]


class Kind(enum.Enum):
    """Whose file it is; the values are the words of ``--from``."""

    LDIRECTORD = "ldirectord"
    IPVSADM = "ipvsadm"
    KEEPALIVED = "keepalived"


class Verdict(enum.Enum):
    """What became of a line; the values are what is printed."""

    SAME = "same"
    DIFFERS = "differs"
    NOT_DR = "not for direct routing"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the input that says something."""

    number: int
    text: str
    verdict: Verdict
    how: str = ""
    """In what it differs, or why it is left out."""
    file: str = ""
    """Where it is, if not in the file itself but in one that it includes."""


@dataclass(frozen=True, slots=True)
class Imported:
    """The whole result."""

    kind: Kind
    toml: str
    lines: tuple[Line, ...]


@dataclass(slots=True)
class Table:
    """A table of the document, and remarks to be written above it."""

    values: dict[str, Value] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


@dataclass(slots=True)
class VirtualTable(Table):
    """A virtual service."""

    real: list[Table] = field(default_factory=list)


@dataclass(slots=True)
class Document:
    """A native file."""

    director: Table = field(default_factory=Table)
    defaults: Table = field(default_factory=Table)
    marks: list[Table] = field(default_factory=list)
    virtuals: list[VirtualTable] = field(default_factory=list)

    def add_marks(self, marks: Sequence[Mark]) -> None:
        """What firewall marks stand for."""
        for mark in marks:
            table: dict[str, Value] = {"mark": mark.mark, "address": str(mark.network)}
            if mark.single is not None:
                table["address"] = str(mark.single)
            if mark.protocol is not None:
                table["protocol"] = mark.protocol
            if (mark.first_port, mark.last_port) != (0, 65535):
                table["ports"] = _ports(mark)
            self.marks.append(Table(table))


def _ports(mark: Mark) -> str:
    if mark.first_port == mark.last_port:
        return str(mark.first_port)
    return f"{mark.first_port}-{mark.last_port}"


@dataclass(slots=True)
class Report:
    """Gathers what becomes of the lines; the worst that is said of one counts."""

    texts: list[str]
    """The input's lines, and behind them those of files that it includes."""
    _files: list[tuple[int, str]] = field(default_factory=list)
    """Numbers of their first lines."""
    _said: dict[int, tuple[Verdict, str]] = field(default_factory=dict)

    def same(self, number: int) -> None:
        """It means the same here, unless something else has been said."""
        self._said.setdefault(number, (Verdict.SAME, ""))

    def differs(self, number: int, how: str) -> None:
        """It is taken otherwise, or not at all."""
        self._worse(number, Verdict.DIFFERS, how)

    def not_dr(self, number: int, how: str) -> None:
        """It is about something that direct routing has not."""
        self._worse(number, Verdict.NOT_DR, how)

    def _worse(self, number: int, verdict: Verdict, how: str) -> None:
        before, said = self._said.get(number, (Verdict.SAME, ""))
        worst = verdict if before is not Verdict.NOT_DR else before
        parts = [part for part in (said, how) if part]
        self._said[number] = (worst, "; ".join(dict.fromkeys(parts)))

    def add(self, file: str, text: str) -> int:
        """A file that is included; gives the number of its first line."""
        first = len(self.texts) + 1
        self.texts += text.split("\n")
        self._files.append((first, file))
        return first

    def place(self, number: int) -> tuple[str, int]:
        """The file, empty for the input itself, and the number there."""
        for first, file in reversed(self._files):
            if number >= first:
                return file, number - first + 1
        return "", number

    def lines(self) -> tuple[Line, ...]:
        """All of them, in the input's order."""
        return tuple(self._line(number) for number in sorted(self._said))

    def _line(self, number: int) -> Line:
        file, there = self.place(number)
        return Line(there, self.texts[number - 1].strip(), *self._said[number], file)
