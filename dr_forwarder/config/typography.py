"""Typography: what word processors, blogs and web pages make of plain characters. Pure.

Also as single bytes of Windows-1252, as HTML entities, and as UTF-8 that was taken for Windows-1252
and written once more.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass

BLANK, INVISIBLE, QUOTES, SINGLE, DASH, WIDE = KINDS = (
    "no-break spaces and the like are taken for blanks",
    "invisible characters are left out",
    "typographic quotes are taken for quotes",
    "single quotes are taken for double ones",
    "typographic dashes, arrows and dots are taken for -, -> and ...",
    "full-width characters and HTML entities are taken for the plain ones",
)
"""As what is done with them."""

_CHARACTERS: tuple[tuple[str, str, str], ...] = (
    # Categories Zs, Zl and Zp, without the blank itself.
    (
        BLANK,
        " ",
        "\u00a0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B))),
    ),
    (
        INVISIBLE,
        "",
        "\u00ad\u061c\u180e\ufeff"
        + "".join(
            map(chr, (*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070)))
        ),
    ),
    (
        QUOTES,
        '"',
        "\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033\u2036\u301d\u301e\u301f\u275d\u275e\u300c\u300d",
    ),
    (QUOTES, "'", "\u2018\u2019\u201a\u201b\u2039\u203a\u2032\u2035\u00b4\u275b\u275c"),
    (DASH, "-", "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63"),
    (DASH, "...", "\u2026"),
    (DASH, "->", "\u2192\u21d2\u2794\u279c\u27f6"),
    *((WIDE, chr(each), chr(each + 0xFEE0)) for each in range(0x21, 0x7F)),
)


def _single_bytes(characters: str) -> str:
    """The same as bytes of Windows-1252, which are read as surrogates."""
    raw = characters.encode("cp1252", "ignore")
    return "".join(chr(0xDC00 + byte) for byte in raw)


_PLAIN: dict[int, str] = {}
_KIND: dict[str, str] = {}
for _kind, _stands_for, _written in _CHARACTERS:
    for _each in _written + _single_bytes(_written):
        _PLAIN[ord(_each)] = _stands_for
        _KIND[_each] = _kind

_SEQUENCE = re.compile(
    "&#?[0-9A-Za-z]{2,8};|\u00e2[\u20ac\u2020].|\u00c2\u00a0|\u00ef\u00bb\u00bf", re.S
)
_UNIT = re.compile(f"{_SEQUENCE.pattern}|.", re.S)


def _character(sequence: str) -> str:
    """The character that an entity, or UTF-8 written as Windows-1252, stands for."""
    if sequence.startswith("&"):
        found = html.unescape(sequence)
        return found if found in _KIND or found in "\"'<>&" else sequence
    raw = b"".join(_as_byte(each) for each in sequence)
    return raw.decode("utf-8", "replace")


def _as_byte(each: str) -> bytes:
    for encoding in ("cp1252", "latin-1"):
        try:
            return each.encode(encoding)
        except UnicodeEncodeError:
            continue
    return b"?"


def _characters(text: str) -> str:
    return _SEQUENCE.sub(lambda found: _character(found[0]), text)


@dataclass(frozen=True, slots=True)
class Unit:
    """One character, or what stands for one."""

    written: str
    plain: str
    kind: str
    """Why the two differ; empty where they do not."""


def units(text: str) -> list[Unit]:
    """A text, character by character."""
    if text.isascii() and "&" not in text:
        return [Unit(each, each, "") for each in text]
    return [_unit(found[0]) for found in _UNIT.finditer(text)]


def _unit(written: str) -> Unit:
    read = _SEQUENCE.sub(lambda found: _character(found[0]), written)
    plain = read.translate(_PLAIN)
    return Unit(written, plain, "" if plain == written else _KIND.get(read, WIDE))


def plain(text: str) -> str:
    """A text in plain characters."""
    if text.isascii() and "&" not in text:
        return text
    return "".join(unit.plain for unit in units(text))


def kinds(found: Iterable[Unit]) -> list[str]:
    """What is done with them, each once."""
    return [kind for kind in KINDS if any(unit.kind == kind for unit in found)]


def quoted(found: list[Unit]) -> tuple[list[Unit], list[Unit], list[Unit]] | None:
    """The quotes of a value that begins with one, what stands between them, and what behind.

    The closing one is the first that nothing but a comment follows, else the last.
    """
    mark = _mark(found[0]) if found else ""
    closing = [at for at in range(1, len(found)) if mark and _mark(found[at]) == mark]
    if not closing:
        return None
    ends = (at for at in closing if re.fullmatch(r"\s*(#.*)?", _joined(found[at + 1 :]), re.S))
    at = next(ends, closing[-1])
    return [found[0], found[at]], found[1:at], found[at + 1 :]


def _mark(unit: Unit) -> str:
    return {"'": "'", "`": "'", '"': '"'}.get(unit.plain, "")


def _joined(found: list[Unit]) -> str:
    return "".join(unit.plain for unit in found)


def names(found: Iterable[Unit]) -> str:
    """The characters that are not plain, by their numbers."""
    odd = dict.fromkeys(unit.written for unit in found if unit.kind)
    return ", ".join(_name(written) for written in odd)


def _name(written: str) -> str:
    if len(written) > 1:
        return written
    code = ord(written)
    return f"byte {code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"U+{code:04X}"
