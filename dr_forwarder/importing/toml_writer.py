"""TOML writer: a document as text. Only what our own files have: tables, arrays of tables, strings,
numbers, booleans and lists of them; with comments, which is what the libraries for it leave out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from .model import Document, Table, Value


def written(document: Document, title: str) -> str:
    """The whole file; raises UnicodeEncodeError for text that is no Unicode."""
    text = "\n".join(_lines(document, title)) + "\n"
    text.encode()
    return text


def _lines(document: Document, title: str) -> Iterator[str]:
    yield f"# {title}"
    for name, table in (("director", document.director), ("defaults", document.defaults)):
        if table.values or table.remarks:
            yield from _table(f"[{name}]", table)
    for mark in document.marks:
        yield from _table("[[mark]]", mark)
    for virtual in document.virtuals:
        yield from _table("[[virtual]]", virtual)
        for real in virtual.real:
            yield from _table("[[virtual.real]]", real)


def _table(header: str, table: Table) -> Iterator[str]:
    yield ""
    yield from (f"# {' '.join(remark.split())}" for remark in table.remarks)
    yield header
    yield from (f"{name} = {_value(value)}" for name, value in table.values.items())


def _value(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            # A JSON string is a TOML string, but for DEL (TOML 1.0, basic-unescaped).
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    return f"[{', '.join(_value(each) for each in value)}]"
