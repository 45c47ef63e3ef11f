"""Importing: other directors' files as our native TOML, and what became of each of their lines.

Pure: text in, text out. Names of hosts and ports are asked of whom the caller says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ..config import Mark, parse_text
from ..config.draft import Reading
from ..config.model import ConfigError
from ..ipvsadm.values import Names
from . import from_ipvsadm, from_keepalived, from_ldirectord
from .model import Document, Imported, Kind, Line, Verdict
from .toml_writer import written

__all__ = ["Imported", "Kind", "Line", "Verdict", "convert", "recognise"]

_SIGNS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (Kind.KEEPALIVED, re.compile(r"^\s*(virtual_server|vrrp_instance|global_defs)\b", re.M)),
    (Kind.IPVSADM, re.compile(r"^\s*(\S*ipvsadm\s+)?(-A|-a|--add-service|--add-server)\s", re.M)),
    (Kind.LDIRECTORD, re.compile(r"^\s*[a-z_0-9]+\s*=", re.M)),
)


def recognise(text: str) -> Kind | None:
    """What kind of file it is, by what only that kind has; None: nothing of the three."""
    return next((kind for kind, sign in _SIGNS if sign.search(text)), None)


def convert(
    text: str, kind: Kind, reading: Reading, names: Names, *, marks: Sequence[Mark] = ()
) -> Imported:
    """Raises ConfigError where the file is not of its kind, or asks for what cannot be."""
    converters: dict[Kind, Callable[[], tuple[Document, tuple[Line, ...]]]] = {
        Kind.LDIRECTORD: lambda: from_ldirectord.convert(text, reading, marks),
        Kind.IPVSADM: lambda: from_ipvsadm.convert(text, names, marks),
        Kind.KEEPALIVED: lambda: from_keepalived.convert(text, reading.file, marks),
    }
    document, lines = converters[kind]()
    document.add_marks(marks)
    title = f"Made by `dr-forwarder import` from {reading.file} ({kind.value})."
    try:
        made = written(document, title)
    except UnicodeEncodeError as error:
        raise ConfigError("has text that is not UTF-8", file=reading.file) from error
    _refuse_unreadable(made, reading)
    return Imported(kind, made, lines)


def _refuse_unreadable(made: str, reading: Reading) -> None:
    """What is written is to be read: by the same reader, with its own words."""
    try:
        parse_text(
            made,
            path=f"{reading.file}.toml",
            resolver=reading.resolver,
            service_ports=reading.service_ports,
            host_name=reading.host_name,
        )
    except ConfigError as error:
        raise ConfigError(f"as TOML it would not load: {error}", file=reading.file) from error
