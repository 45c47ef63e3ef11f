"""Importing: other directors' files as our native TOML, and what became of each of their lines.

Pure: text in, text out. Names of hosts and ports are asked of whom the caller says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..config import Mark, parse_text, refuse_unsupported
from ..config.draft import Reading
from ..config.model import ConfigError
from ..ipvsadm.values import Names
from . import from_ipvsadm, from_keepalived, from_ldirectord
from .keepalived_source import Include
from .model import Document, Imported, Kind, Line, Verdict
from .toml_writer import written

__all__ = ["Imported", "Kind", "Line", "Verdict", "convert", "recognise"]

_SIGNS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (
        Kind.KEEPALIVED,
        re.compile(r"^\s*(virtual_server(_group)?|vrrp_\w+|global_defs|include[rmwbat]?)\s", re.M),
    ),
    (Kind.IPVSADM, re.compile(r"^\s*(\S*ipvsadm\s+)?(-A|-a|--add-service|--add-server)\s", re.M)),
    (Kind.LDIRECTORD, re.compile(r"^\s*[a-z_0-9]+\s*=", re.M)),
)


_MARK = "\ufeff"
"""Of the byte order: editors of Windows put it before a text."""
_BYTES = re.compile("[\udc80-\udcff]")
_LATIN_1 = "its bytes are no UTF-8 and are taken for Latin-1: TOML is UTF-8"


def recognise(text: str) -> Kind | None:
    """What kind of file it is, by what only that kind has; None: nothing of the three."""
    text = text.removeprefix(_MARK)
    return next((kind for kind, sign in _SIGNS if sign.search(text)), None)


def convert(
    text: str,
    kind: Kind,
    reading: Reading,
    names: Names,
    *,
    marks: Sequence[Mark] = (),
    config_id: str | None = None,
    include: Include | None = None,
) -> Imported:
    """Raises ConfigError where the file is not of its kind, or asks for what cannot be.

    Of a keepalived.conf the lines of this ``config_id`` count, else of the host's name;
    ``include`` reads the files that it includes.
    """
    host = reading.host_name.partition(".")[0] if config_id is None else config_id
    if kind is not Kind.LDIRECTORD:  # whose reader tells of it
        text = text.removeprefix(_MARK)
    odd, text = _as_latin_1(text)
    converters: dict[Kind, Callable[[], tuple[Document, tuple[Line, ...]]]] = {
        Kind.LDIRECTORD: lambda: from_ldirectord.convert(text, reading, marks),
        Kind.IPVSADM: lambda: from_ipvsadm.convert(text, names, marks),
        Kind.KEEPALIVED: lambda: from_keepalived.convert(text, reading.file, marks, host, include),
    }
    document, lines = converters[kind]()
    document.add_marks(marks)
    lines = tuple(
        _told_of(line) if line.number in odd and not line.file else line for line in lines
    )
    title = f"Made by `dr-forwarder import` from {reading.file} ({kind.value})."
    try:
        made = written(document, title)
    except UnicodeEncodeError as error:
        raise ConfigError("has text that is not UTF-8", file=reading.file) from error
    _refuse_unreadable(made, reading)
    return Imported(kind, made, lines)


def _as_latin_1(text: str) -> tuple[set[int], str]:
    """The numbers of lines with bytes that are no UTF-8, and the text with those as Latin-1.

    As Windows has it, which has quotes and dashes besides.
    """
    odd = {number for number, line in enumerate(text.split("\n"), 1) if _BYTES.search(line)}
    return odd, _BYTES.sub(lambda found: _character(ord(found[0]) - 0xDC00), text)


def _character(byte: int) -> str:
    return bytes([byte]).decode("cp1252", "ignore") or chr(byte)


def _told_of(line: Line) -> Line:
    how = "; ".join(part for part in (line.how, _LATIN_1) if part)
    verdict = Verdict.DIFFERS if line.verdict is Verdict.SAME else line.verdict
    return replace(line, verdict=verdict, how=how)


def _refuse_unreadable(made: str, reading: Reading) -> None:
    """What is written is to be read: by the same reader, with its own words."""
    try:
        config = parse_text(
            made,
            path=f"{reading.file}.toml",
            resolver=reading.resolver,
            service_ports=reading.service_ports,
            host_name=reading.host_name,
        )
        refuse_unsupported(config, rules_later=True)
    except ConfigError as error:
        raise ConfigError(f"as TOML it would not load: {error}", file=reading.file) from error
