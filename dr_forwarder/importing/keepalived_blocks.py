"""Keepalived blocks: the lines of a keepalived.conf as a tree. No look at what they mean.

As keepalived.conf(5) has it: a line is a keyword and its parameters, a block stands in braces, a
comment begins at any ! or # outside of quotes, "..." is one word, with backslashes before what
would end it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ..config.model import ConfigError
from .keepalived_source import plain
from .model import Report

_WORD = re.compile(
    r'"(?P<quoted>(?:[^"\\]|\\.)*)"?|(?P<brace>[{}])|(?P<comment>[!#].*)|[^\s{}"!#]+'
)
_ESCAPED = re.compile(r"\\(.)")


@dataclass(slots=True)
class Statement:
    """A keyword with its parameters, and the block that follows it."""

    words: tuple[str, ...]
    line: int
    block: list[Statement] = field(default_factory=list)

    @property
    def keyword(self) -> str:
        """What it is about."""
        return self.words[0]

    @property
    def value(self) -> str:
        """The first parameter; empty without."""
        return self.words[1] if len(self.words) > 1 else ""

    def find(self, *keywords: str) -> Statement | None:
        """The last statement of its block that begins so."""
        return next((each for each in reversed(self.block) if each.keyword in keywords), None)


def not_taken(statement: Statement, how: str, report: Report) -> None:
    """Tell so of a statement and all that is in its block."""
    report.differs(statement.line, f"not taken: {how}")
    for each in statement.block:
        not_taken(each, f"as line {statement.line}", report)


def parse(lines: Iterable[tuple[int, str]], file: str) -> list[Statement]:
    """The statements outside any block; raises ConfigError where the braces do not match."""
    outside = Statement(("",), 0)
    open_blocks = [outside]
    for number, words in _words(lines):
        current: list[str] = []
        for word, is_brace in words:
            if not is_brace:
                current.append(word)
                continue
            _add(open_blocks[-1], current, number)
            current = []
            if word == "{":
                open_blocks.append(_opened(open_blocks[-1], number, file))
            elif len(open_blocks) > 1:
                open_blocks.pop()
            else:
                raise ConfigError("} closes no block", file=file, line=number)
        _add(open_blocks[-1], current, number)
    if len(open_blocks) > 1:
        raise ConfigError("this block is not closed", file=file, line=open_blocks[-1].line)
    return outside.block


def _add(block: Statement, words: list[str], line: int) -> None:
    if words:
        block.block.append(Statement(tuple(words), line))


def _opened(block: Statement, line: int, file: str) -> Statement:
    """The statement before the brace, which may stand on a line of its own."""
    if not block.block:
        raise ConfigError("{ opens a block of nothing", file=file, line=line)
    return block.block[-1]


def _words(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, list[tuple[str, bool]]]]:
    """The words of each line, and which are braces."""
    for number, line in lines:
        words = []
        for found in _WORD.finditer(line):
            if found["comment"]:
                break
            quoted = found["quoted"]
            word = found[0] if quoted is None else _ESCAPED.sub(_unescaped, quoted)
            words.append((plain(word), bool(found["brace"])))
        if words:
            yield number, words


def _unescaped(found: re.Match[str]) -> str:
    """Only what is escaped for the sake of the quotes: a regular expression keeps its own."""
    return found[1] if found[1] in '"\\' else found[0]
