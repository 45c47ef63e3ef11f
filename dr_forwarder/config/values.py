"""Values: what one directive says, from text or from TOML, checked against its row. No defaults."""

from __future__ import annotations

import re

from .. import listen, vlan
from .directive import Directive, Kind, Quotes, Value
from .draft import Reading, meant, one_of, short, shown
from .patterns import compiled

_DIGITS = re.compile(r"[0-9]+")
_LETTERS = re.compile(r"[a-z]+")
_MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
_MOST_MACS = 8
_MAY_BE_EMPTY = frozenset({"fallbackcommand"})


def from_text(row: Directive, text: str, reading: Reading, line: int) -> Value:
    """Read the text after ``name =``, its comment and outer blanks already gone."""
    text = _unquoted(row, text, reading, line)
    if not text and row.name not in _MAY_BE_EMPTY:
        raise reading.error(f"{row.name} has no value: write {_expected(row)}", line)
    value: Value = text
    match row.kind:
        case Kind.FLAG:
            value = _flag(row, text, reading, line)
        case Kind.NUMBER:
            value = _number(row, text, reading, line)
        case Kind.CHECKTYPE:
            value = _check_type(row, text, reading, line)
        case Kind.CHOICE | Kind.WORD:
            value = _first_word(row, text, reading, line)
        case Kind.LETTERS:
            value = _letters(row, text, reading, line)
        case Kind.REPEATED:
            value = (text,)
        case Kind.LIST:
            value = tuple(word.strip() for word in text.split(",") if word.strip())
    return checked(row, value, reading, line)


def from_toml(row: Directive, value: object, reading: Reading, line: int) -> Value:
    """Take a TOML value of the right type."""
    match row.kind, value:
        case Kind.FLAG, bool():
            return value
        case ((Kind.NUMBER | Kind.CHECKTYPE), int()) if not isinstance(value, bool):
            return checked(row, value, reading, line)
        case Kind.VLAN, _:
            return _vlan(value, reading, line)
        case Kind.LISTEN, str():
            return _listen(row, value, reading, line)
        case Kind.MACS, list() if all(isinstance(word, str) for word in value):
            return _macs(row, value, reading, line)
        case ((Kind.LIST | Kind.REPEATED), list()) if all(isinstance(word, str) for word in value):
            return checked(row, tuple(value), reading, line)
        case ((Kind.LIST | Kind.REPEATED), str()):
            return from_text(row, value, reading, line)
        case ((Kind.FLAG | Kind.NUMBER | Kind.LIST | Kind.MACS | Kind.LISTEN), _):
            pass
        case _, str() if value or row.name in _MAY_BE_EMPTY or row.kind is Kind.PATTERN:
            return checked(row, value, reading, line)
    wanted = {
        Kind.FLAG: "true or false",
        Kind.NUMBER: f"a number in {row.low}..{row.high}",
        Kind.LIST: "a list of strings",
        Kind.MACS: "a list of MAC addresses",
        Kind.LISTEN: "a string like 127.0.0.1:9700",
        Kind.REPEATED: "a list of strings",
        Kind.CHECKTYPE: "a string or a number",
    }.get(row.kind, "a string that is not empty")
    raise reading.error(f"{row.name} must be {wanted}, not {short(repr(value))}", line)


def _vlan(value: object, reading: Reading, line: int) -> str:
    """Take a number, a list of two, or the text that the command line takes."""
    parts = value if isinstance(value, list) else [value]
    text = ".".join(str(part) for part in parts)
    try:
        # 200.100 without quotes would be a fraction, and lose its last zeros.
        if any(isinstance(part, float) for part in parts):
            raise ValueError(f"vlan must be like 100, or [200, 100] for two tags, not {text}")
        return str(vlan.parse(text))
    except ValueError as error:
        raise reading.error(f"{error}; write vlan = 100 or vlan = [200, 100]", line) from error


def _listen(row: Directive, text: str, reading: Reading, line: int) -> str:
    try:
        return str(listen.parse(text))
    except ValueError as error:
        raise reading.error(f"{row.name} {error}", line) from error


def _macs(row: Directive, words: list[str], reading: Reading, line: int) -> Value:
    """Take at most eight, as bytes in hexadecimal with colons between them."""
    for word in words:
        if not _MAC.fullmatch(word):
            raise reading.error(
                f"{row.name} must be MAC addresses like 02:00:00:00:00:01, not {shown(word)}", line
            )
    if len(words) > _MOST_MACS:
        raise reading.error(f"{row.name} must be at most {_MOST_MACS}", line)
    return tuple(words)


def checked(row: Directive, value: Value, reading: Reading, line: int) -> Value:
    """Hold a value against the limits of its row."""
    match value:
        case bool():
            return value
        case int():
            if not row.low <= value <= row.high:
                raise reading.error(
                    f"{row.name} must be in {row.low}..{row.high}, not {value}", line
                )
        case str() if row.kind is Kind.PATTERN:
            check_pattern(row.name, value, reading, line)
        case str() if row.choices:
            return _choice(row, value, reading, line)
        case tuple():
            _check_words(row, value, reading, line)
    return value


def check_pattern(name: str, pattern: str, reading: Reading, line: int) -> None:
    """Refuse what is no regular expression."""
    try:
        compiled(pattern)
    except ValueError as error:
        raise reading.error(
            f"{name} is not a regular expression ({error}): put \\ before a character that is"
            " to be found as it is",
            line,
        ) from error


def _expected(row: Directive) -> str:
    match row.kind:
        case Kind.FLAG:
            return "yes or no"
        case Kind.NUMBER:
            return f"a number in {row.low}..{row.high}"
        case Kind.CHOICE | Kind.CHECKTYPE:
            return one_of(row.choices)
        case _:
            text = f"{row.name}=..."
            return f'{row.name}="..."' if row.quotes is Quotes.NEEDED else text


def _unquoted(row: Directive, text: str, reading: Reading, line: int) -> str:
    if row.quotes is Quotes.NEEDED:
        if not text.startswith('"'):
            if text:
                reading.note_strict(f"ldirectord needs quotes around the value of {row.name}", line)
            return text
        end = text.rindex('"')
        if end == 0:
            raise reading.error(f"the closing quote of {row.name} is missing", line)
        if text[end + 1 :]:
            reading.dropped(text[end + 1 :].strip(), line)
        return text[1:end]
    if len(text) < 2 or not text.startswith('"') or not text.endswith('"'):
        return text
    if row.quotes is Quotes.REFUSED:
        reading.note_strict(f"ldirectord takes no quotes around the value of {row.name}", line)
    return text[1:-1].strip()


def _flag(row: Directive, text: str, reading: Reading, line: int) -> bool:
    if text not in ("yes", "no"):
        raise reading.error(f"{row.name} must be yes or no, not {shown(text)}", line)
    return text == "yes"


def _first_number(row: Directive, text: str, reading: Reading, line: int) -> int | None:
    """Find the first run of digits, which is all that ldirectord looks at."""
    found = _DIGITS.search(text)
    if found is None:
        return None
    if found.group() != text:
        reading.note(
            f"{row.name} is read as {short(found.group())}: the rest of {shown(text)} says"
            " nothing here",
            line,
        )
    if len(found.group().lstrip("0")) > 10:
        raise reading.error(f"{row.name} must be in {row.low}..{row.high}, not {shown(text)}", line)
    return int(found.group()[-10:])


def _number(row: Directive, text: str, reading: Reading, line: int) -> int:
    number = _first_number(row, text, reading, line)
    if number is None:
        raise reading.error(
            f"{row.name} must be a number in {row.low}..{row.high}, not {shown(text)}", line
        )
    return number


def _check_type(row: Directive, text: str, reading: Reading, line: int) -> Value:
    number = _first_number(row, text, reading, line)
    if number is not None:
        return number
    return _first_word(row, text, reading, line)


def _first_word(row: Directive, text: str, reading: Reading, line: int) -> str:
    """Find the word that ldirectord takes, which ends at a comma too where only some are known."""
    found = re.match(r"[^\s,]+" if row.choices else r"\S+", text)
    word = found[0] if found else text
    if rest := text[len(word) :].strip():
        reading.dropped(rest, line)
    return word


def _letters(row: Directive, text: str, reading: Reading, line: int) -> str:
    found = _LETTERS.search(text)
    if found is None:
        raise reading.error(
            f"{row.name} must be a word of lower-case letters, not {shown(text)}", line
        )
    if found.group() != text:
        reading.note(
            f"{row.name} is read as {found.group()}: the rest of {shown(text)} says nothing here",
            line,
        )
    return found.group()


def _choice(row: Directive, value: str, reading: Reading, line: int) -> str:
    for choice in row.choices:
        if value == choice or (row.any_case and value.upper() == choice.upper()):
            return choice
    words = [word for word in row.choices if word != "fwm"]
    extra = [*words, "a number"] if row.kind is Kind.CHECKTYPE else words
    raise reading.error(
        f"{row.name} must be {one_of(extra)}, not {shown(value)}{meant(value, words)}", line
    )


def _check_words(row: Directive, words: tuple[str, ...], reading: Reading, line: int) -> None:
    if not words:
        raise reading.error(f"{row.name} has no value: write {_expected(row)}", line)
    if not row.choices:
        return
    for word in words:
        if word not in row.choices:
            raise reading.error(
                f"{row.name} must be a list of {one_of(row.choices)}, not {shown(word)}"
                f"{meant(word, row.choices)}",
                line,
            )
    if "none" in words and len(set(words)) > 1:
        raise reading.error(f"{row.name} says none and something else: write one of them", line)
