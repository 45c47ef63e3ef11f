"""Where records go: lines, JSON, explanations in the terminal, a page, a capture file; and the
options of `trace` and `replay` that say so.
"""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import click

from .. import record_file, record_text
from ..errors import ForwarderError
from ..messages import jsonable
from ..printable import printable
from ..records import Record
from .options import FILE, together

_PAGE_FRAMES = 500
"""A page is read by people; so many frames it has at most."""


class Sink(Protocol):
    """Takes records, one after the other."""

    def show(self, record: Record) -> None:
        """One more."""

    def close(self) -> None:
        """That was the last."""


class Lines:
    """A line for each, on standard output."""

    def __init__(self, when: Callable[[Record], str]) -> None:
        self._when = when

    def show(self, record: Record) -> None:
        """Prints it."""
        print(printable(record_text.line(record, self._when(record))), flush=True)

    def close(self) -> None:
        """Nothing is left to do."""


class JsonLines:
    """A JSON object for each, on standard output."""

    def show(self, record: Record) -> None:
        """Prints it."""
        print(json.dumps(jsonable(record)), flush=True)

    def close(self) -> None:
        """Nothing is left to do."""


class Pcapng:
    """A capture file of the frames as they came, with the reasons as comments."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._file.write(record_file.begin())

    def show(self, record: Record) -> None:
        """Writes it."""
        self._file.write(record_file.block(record))

    def close(self) -> None:
        """The file is whole."""
        self._file.close()


class Explained:
    """A picture for each, in the terminal."""

    def __init__(self) -> None:
        try:
            from ..explanation.terminal import Terminal
        except ImportError as error:
            raise ForwarderError(
                f"--explain needs the library {error.name}: pip install 'dr-forwarder[look]'"
            ) from error
        self._terminal = Terminal()

    def show(self, record: Record) -> None:
        """Draws it."""
        self._terminal.show(record)

    def close(self) -> None:
        """Nothing is left to do."""


class Page:
    """One page of HTML with a picture for each, written at the end."""

    def __init__(self, path: Path, title: str) -> None:
        self._path, self._title = path, title
        self._records: list[Record] = []
        self._left_out = 0

    def show(self, record: Record) -> None:
        """Keeps it for the page."""
        if len(self._records) < _PAGE_FRAMES:
            self._records.append(record)
        else:
            self._left_out += 1

    def close(self) -> None:
        """Writes the page."""
        from ..explanation.page import page

        text = page(self._title, self._records, left_out=self._left_out)
        self._path.write_text(text, encoding="utf-8", errors="backslashreplace")


@dataclass(frozen=True, slots=True)
class Forms:
    """In which forms records are shown, as the command line says."""

    as_json: bool
    explain: bool
    html: Path | None


showing = together(
    "forms",
    Forms,
    (
        click.option("--json", "as_json", is_flag=True, help="A JSON object a line."),
        click.option(
            "--explain", is_flag=True, help="Draw each: who sends what to whom, what changes."
        ),
        click.option("--html", type=FILE, help="The same as a page, written at the end."),
    ),
)


@contextlib.contextmanager
def sinks(
    forms: Forms,
    *,
    title: str,
    when: Callable[[Record], str],
    write: Path | None = None,
) -> Iterator[Callable[[Record], None]]:
    """What is to be called with each record; lines only if there is nothing else to show it."""
    opened: list[Sink] = []
    if forms.as_json:
        opened.append(JsonLines())
    elif forms.explain:
        opened.append(Explained())
    elif write is None and forms.html is None:
        opened.append(Lines(when))
    if write is not None:
        opened.append(Pcapng(write))
    if forms.html is not None:
        opened.append(Page(forms.html, title))
    try:
        yield lambda record: _show(opened, record)
    finally:
        for sink in opened:
            sink.close()


def _show(opened: Sequence[Sink], record: Record) -> None:
    for sink in opened:
        sink.show(record)


def clock_time(record: Record) -> str:
    """The time of day, here."""
    at = datetime.datetime.fromtimestamp(record.at_ns / 1e9)
    return at.strftime("%H:%M:%S.%f")
