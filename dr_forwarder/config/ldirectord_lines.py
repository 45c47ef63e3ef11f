"""Lines of an ldirectord.cf, each taken apart into a name and a value. No look at what they mean.

Where only plain characters make sense, what blogs and word processors made of them is read as such.
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from . import typography
from .directive import Directive, Kind, Quotes
from .directives import BY_NAME
from .draft import Reading, shown
from .typography import SINGLE, Unit

INDENT = 4
"""Columns that ldirectord wants before a directive of a virtual service."""

OPENERS = {"virtual": 4, "virtual6": 6}
_EQUALS = re.compile("[=\uff1d]")
_NAME = re.compile(r"[^\s=]+")
_FREE_TEXT = (Kind.TEXT, Kind.PATTERN, Kind.REPEATED)
"""Kinds whose value may have any characters."""
_PROSE = ("comment", "emailalertfrom", "login", "passwd", "receive", "servicename")
"""Directives in whose values characters that are not plain are nothing odd."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that says something."""

    number: int
    text: str
    """Without its indent."""
    columns: int
    """Of its indent, as ldirectord counts them: a tab is always four."""
    after_blank: bool
    last: bool


@dataclass(frozen=True, slots=True)
class Statement:
    """``name = value`` with the value's comment and outer blanks taken off."""

    name: str
    value: str
    tail: str
    """What ldirectord sees after the value: blanks, and at global level a comment too."""


_SEPARATOR = re.compile("[\u2028\u2029]")
_CONTROL = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]")
_RARE = 20
"""One control character in so many bytes is more than a text has."""
_PACKED = (b"\x1f\x8b", b"PK\3\4", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"\x7fELF")


def decoded(raw: bytes) -> str:
    """Pass bytes through, as ldirectord does, but for UTF-16 with its mark, and CR as line end."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        # The mark stays, to be told of.
        big = raw.startswith(codecs.BOM_UTF16_BE)
        return raw.decode("utf-16-be" if big else "utf-16-le", "replace")
    if b"\n" not in raw:
        raw = raw.replace(b"\r", b"\r\n")
    text = raw.decode("utf-8", "surrogateescape")
    # Line and paragraph separators stay, to be told of, where they are what parts the lines.
    if len(_SEPARATOR.findall(text)) > text.count("\n"):
        text = _SEPARATOR.sub("\\g<0>\n", text)
    return text


def no_text(raw: bytes) -> tuple[str, int] | None:
    """Say why a file is not text, what to do, and at which line; nothing if it is text."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return None
    if raw.startswith(_PACKED) or len(_CONTROL.findall(raw)) * _RARE > len(raw):
        return "is not a text file", 1
    first = raw.find(b"\0")
    if first < 0:
        return None
    even, odd = raw[0::2].count(0), raw[1::2].count(0)
    if max(even, odd) * 4 > len(raw) and min(even, odd) * 16 < len(raw):
        return "is not UTF-8 text (it may be UTF-16): save it as UTF-8", 1
    return "has NUL bytes: is the file damaged?", raw.count(b"\n", 0, first) + 1


def lines(text: str, reading: Reading) -> Iterator[Line]:
    """Give the lines that are neither blank nor comment, telling of what ldirectord minds."""
    split = [_indented(line) for line in _split(text, reading)]
    common = _common(split, reading)
    in_block = after_blank = False
    for number, (indent, body) in enumerate(split, 1):
        columns = _columns(indent) - common
        _note(typography.units(indent), reading, number)
        if body.startswith("#"):
            continue
        if not body:
            if in_block and columns > INDENT:
                reading.note_strict("ldirectord wants a blank line to be empty here", number)
            else:
                in_block, after_blank = False, True
            continue
        yield Line(number, body, columns, after_blank, last=number == len(split))
        in_block = columns > 0 or body.startswith("virtual")
        after_blank = False


def _split(text: str, reading: Reading) -> list[str]:
    if text.startswith("\ufeff"):
        reading.note_strict("the file begins with a byte order mark", 1)
    text = text.removeprefix("\ufeff")
    split = text.split("\n")
    if not split[-1]:
        split.pop()
    returns = next((n for n, line in enumerate(split, 1) if line.endswith("\r")), 0)
    if returns:
        reading.note_strict(
            "lines end in CR LF or CR, which ldirectord takes for part of values", returns
        )
    return [line.removesuffix("\r") for line in split]


def _common(split: list[tuple[str, str]], reading: Reading) -> int:
    """Columns by which a whole file is indented, as text between other text is."""
    said = [(_columns(indent), n, body) for n, (indent, body) in enumerate(split, 1) if body]
    directives = [each for each in said if not each[2].startswith("#")]
    common, number, _ = min(directives, default=(0, 0, ""))
    if not common or not any(body.startswith("virtual") for at, _, body in said if at == common):
        return 0
    reading.note_strict("the whole file is indented, which ldirectord refuses", number)
    return common


def _columns(indent: str) -> int:
    """Count as ldirectord does: a tab is always four."""
    return len(typography.plain(indent).replace("\t", " " * INDENT))


def _indented(line: str) -> tuple[str, str]:
    """Split off everything at the beginning that is blank or that nobody sees."""
    if line.isascii():
        body = line.lstrip()
        return line[: len(line) - len(body)], body
    at = next((n for n, each in enumerate(line) if typography.plain(each).strip()), len(line))
    return line[:at], line[at:]


def _note(found: list[Unit], reading: Reading, line: int) -> None:
    for kind in typography.kinds(found):
        reading.note_strict(f"{kind}, which ldirectord does not do: write the plain ones", line)


def statement(line: Line, reading: Reading) -> Statement:
    """Take a line apart."""
    written, *rest = _EQUALS.split(line.text, maxsplit=1)
    name = typography.plain(written).strip()
    if not rest or not _NAME.fullmatch(name):
        if name == "supervised" and not line.columns:
            reading.note("write supervised=yes: the bare word is deprecated", line.number)
            return Statement("supervised", "yes", "")
        raise reading.error(
            f"{shown(line.text.strip())} is no directive: write name=value", line.number
        )
    _note(typography.units(line.text[: len(line.text) - len(rest[0])]), reading, line.number)
    row = BY_NAME.get(name)
    found = _readable(row, rest[0])
    text = "".join(unit.plain for unit in found)
    end = _comment_in_block(name, text, reading, line.number) if line.columns else _comment(text)
    _tell(row, found, end, reading, line.number)
    if line.columns:
        seen = text[:end].replace("\t", " " * INDENT)
        value = seen.strip()
        return Statement(name, value, seen[len(seen.rstrip()) :])
    value = text[:end].strip()
    return Statement(name, value, text.lstrip()[len(value) :])


def _readable(row: Directive | None, text: str) -> list[Unit]:
    """Make the quotes of a value plain, and all that is outside of quotes where it must be."""
    found = typography.units(text)
    first = next((at for at, unit in enumerate(found) if unit.plain.strip()), len(found))
    blank, value = found[:first], found[first:]
    is_free = row is not None and row.kind in _FREE_TEXT
    parts = typography.quoted(value) if row is not None and _is_quoted(row, value) else None
    if row is None or parts is None:
        if row is not None and row.quotes is Quotes.NEEDED and value and value[0].plain == '"':
            value = [replace(value[0], written='"'), *value[1:]]  # that it is not closed is told
        return [*blank, *(_trimmed(value) if is_free else _plain_outside(value))]
    (opening, closing), inside, behind = parts
    inside = _literal(_solid(inside)) if is_free else _plain_outside(inside)
    if opening.written.startswith("&"):
        # The page's own text was copied, and so is what stands between the quotes.
        inside = [replace(unit, plain=html.unescape(unit.written)) for unit in inside]
    # Quotes that ldirectord does not take are told of once, by what they are.
    mark = "" if row.quotes is Quotes.REFUSED else '"'
    quotes = [replace(unit, plain=mark, kind=unit.kind or SINGLE) for unit in (opening, closing)]
    return [*blank, quotes[0], *inside, quotes[1], *behind]


def _is_quoted(row: Directive, value: list[Unit]) -> bool:
    """Say whether a value begins with a quote other than ldirectord's own."""
    if not value:
        return False
    match value[0].written:
        case '"':
            return row.kind in _FREE_TEXT and '"' not in "".join(x.written for x in value[1:])
        case "'" | "`":
            # Elsewhere they are part of the value to ldirectord, or it looks past them.
            return row.name in ("request", "receive") or row.kind in (Kind.FLAG, Kind.SERVER)
        case _:
            return value[0].plain == "'" or (value[0].plain == '"' and row.kind is not Kind.SERVER)


def _literal(value: list[Unit]) -> list[Unit]:
    return [Unit(unit.written, unit.written, "") for unit in value]


def _trimmed(value: list[Unit]) -> list[Unit]:
    """Make only what is at the ends plain: what is within a text stays as it is written."""
    solid = _solid(value)
    first = value.index(solid[0]) if solid else len(value)
    return [*value[:first], *_literal(solid), *value[first + len(solid) :]]


def _solid(value: list[Unit]) -> list[Unit]:
    """Leave out what is blank, or not seen, at the ends."""
    at = [number for number, unit in enumerate(value) if unit.plain.strip()]
    return value[at[0] : at[-1] + 1] if at else []


def _plain_outside(value: list[Unit]) -> list[Unit]:
    """Make everything plain but what is between double quotes."""
    made: list[Unit] = []
    at = 0
    while at < len(value):
        made.append(value[at])
        end = _closing(value, at) if value[at].plain == '"' else at
        if end > at:
            made += [*_literal(value[at + 1 : end]), value[end]]
        at = end + 1
    return made


def _closing(value: list[Unit], at: int) -> int:
    """Find the quote that closes one: its like before any other; none: where it is itself."""
    later = range(at + 1, len(value))
    like = [n for n in later if value[n].written == value[at].written]
    other = [n for n in later if value[n].plain == '"']
    return next(iter([*(like if value[at].written == '"' else []), *other]), at)


def _tell(row: Directive | None, value: list[Unit], end: int, reading: Reading, line: int) -> None:
    """Tell of what was made plain before the comment, and of what was left."""
    used: list[Unit] = []
    for unit in value:
        if end <= 0:
            break
        used.append(unit)
        end -= len(unit.plain)
    _note(used, reading, line)
    if row is None or (row.name in _PROSE and not any(unit.kind for unit in used)):
        return
    odd = typography.names(
        each for unit in used if not unit.kind for each in typography.units(unit.written)
    )
    if odd:
        reading.note(
            f"{row.name} has {odd} in its text, which is taken as it stands:"
            " write plain characters if those are meant",
            line,
        )


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
