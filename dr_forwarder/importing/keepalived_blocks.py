"""Keepalived blocks: the lines of a keepalived.conf as a tree. No look at what they mean.

As keepalived.conf(5) has it: a line is a keyword and its parameters, a block stands in braces, a
comment begins at ! or # at the beginning of a word, "..." is one word; ``$NAME=value`` defines what
``$NAME`` stands for from there on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..config.model import ConfigError
from .model import Report

_WORD = re.compile(r'"(?P<quoted>(?:[^"\\]|\\.)*)"?|(?P<brace>[{}])|(?P<comment>[!#].*)|[^\s{}"]+')
_DEFINITION = re.compile(r"\$(\w+)\s*=\s*(.*?)\s*$")
_USE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


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


def parse(text: str, file: str) -> list[Statement]:
    """The statements outside any block; raises ConfigError where the braces do not match."""
    outside = Statement(("",), 0)
    open_blocks = [outside]
    for number, words in _lines(text):
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


def _lines(text: str) -> Iterator[tuple[int, list[tuple[str, bool]]]]:
    """The words of each line, and which are braces."""
    known: dict[str, str] = {}
    for number, raw in enumerate(text.split("\n"), 1):
        if definition := _DEFINITION.match(raw.strip()):
            known[definition[1]] = definition[2].strip('"')
            continue
        line = _USE.sub(lambda use: known.get(use[1] or use[2], use[0]), raw)
        words = []
        for found in _WORD.finditer(line):
            if found["comment"]:
                break
            quoted = found["quoted"]
            words.append((found[0] if quoted is None else quoted, bool(found["brace"])))
        if words:
            yield number, words
