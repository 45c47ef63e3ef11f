"""Keepalived source: the lines of a keepalived.conf after what its parser does to them first:
definitions, lines for one host alone, and files that are included. Pure.

As keepalived.conf(5) has it: ``$NAME=value`` at the beginning of a line defines a parameter, of
many lines where each but the last ends in a backslash; ``$NAME`` and ``${NAME}`` stand for it, as
it is at that moment. ``@id`` begins a line for the host of that name alone, ``@^id`` for others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from .model import Report

Include = Callable[[str, str], list[tuple[str, str]]]
"""Of a pattern, and the file that it stands in: names and texts; raises OSError."""

_DEFINITION = re.compile(r"\s*\$([A-Za-z_]\w*)=(.*)", re.S)
_USE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
_CONDITION = re.compile(r"\s*@(\^?)(\S*)(.*)", re.S)
_INCLUDE = re.compile(r"\s*include[rmwbat]?\s+(\S+)")
_REPEATED = re.compile(r"\s*~(SEQx?|LST)\b")
_DEEPEST = 16
"""Files that include each other, and parameters that stand for each other."""
_MOST_LINES = 100_000
_FIXED = {"_HASH": "\x01", "_BANG": "\x02"}
"""What would begin a comment, until the comments are gone."""


@dataclass(slots=True)
class Source:
    """One file on its way into lines."""

    report: Report
    host: str
    """Whose lines count: keepalived's config-id."""
    include: Include | None
    known: dict[str, str] = field(default_factory=dict)
    _given: int = 0

    def lines(
        self, text: str, file: str, *, first: int = 1, depth: int = 0
    ) -> Iterator[tuple[int, str]]:
        """Numbers and texts; the lines of included files go by numbers of the report."""
        raw = text.split("\n")
        at = 0
        while at < len(raw):
            number, line = first + at, raw[at].removesuffix("\r")
            at += 1
            defined = _DEFINITION.match(self._for_this_host(line))
            while defined and line.endswith("\\") and at < len(raw):
                line += "\n" + raw[at].removesuffix("\r")
                at += 1
            if depth < _DEEPEST and (found := _INCLUDE.match(line)):
                yield from self._included(found[1], file, number, line, depth)
            else:
                yield from self._expanded(line, number)

    def _for_this_host(self, line: str) -> str:
        """The line without its condition; empty if it is for another host."""
        found = _CONDITION.match(line)
        if found is None:
            return line
        return found[3] if (found[2] == self.host) != bool(found[1]) else ""

    def _expanded(self, line: str, number: int, depth: int = 0) -> Iterator[tuple[int, str]]:
        here = self._for_this_host(line)
        if not here and line.strip():
            how = f"lines for one of several hosts, and this is {self.host!r} (--config-id)"
            self.report.differs(number, f"not taken: {how}")
            return
        if defined := _DEFINITION.match(here):
            self.known[defined[1]] = re.sub(r"\\\n\s*", "\n", defined[2]).strip()
            return
        if _REPEATED.match(here):
            self.report.differs(number, "not taken: write out what ~SEQ and ~LST stand for")
            return
        used = _USE.sub(self._value, here)
        for use in _USE.finditer(here):
            if use[2] in self.known and here[use.end() : use.end() + 1].strip():
                how = f"keepalived itself wants ${{{use[2]}}} unless a blank follows"
                self.report.differs(number, how)
        self._given += 1
        if used == here or depth == _DEEPEST or self._given > _MOST_LINES:
            yield number, used
            return
        for each in used.split("\n"):
            yield from self._expanded(each, number, depth + 1)

    def _value(self, use: re.Match[str]) -> str:
        return _FIXED.get(use[1] or "", self.known.get(use[1] or use[2], use[0]))

    def _included(
        self, pattern: str, file: str, number: int, line: str, depth: int
    ) -> Iterator[tuple[int, str]]:
        pattern = pattern.strip("\"'")
        try:
            files = self.include(pattern, file) if self.include else []
        except OSError as error:
            self.report.differs(number, f"not taken: cannot be read: {error.strerror}")
            return
        if not files:
            how = "no such file" if self.include else "import that file by itself"
            self.report.differs(number, f"not taken: {how}")
            return
        self.report.same(number)
        for name, text in files:
            first = self.report.add(name, text)
            yield from self.lines(text, name, first=first, depth=depth + 1)


def plain(word: str) -> str:
    """A word with what ``${_HASH}`` and ``${_BANG}`` stand for."""
    return word.replace("\x01", "#").replace("\x02", "!")
