"""`dr-forwarder trace`: what the running director decides, frame by frame, and why."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from .. import state_dir as state_dirs
from ..border import VERDICTS
from ..client import Client
from ..records import Filter, Losses, Record, Traced
from . import options
from .files import file_errors
from .options import FILE
from .selection import Selection, selecting
from .sinks import Forms, clock_time, showing, sinks


@click.command("trace")
@selecting
@click.option("--rate", default=0, help="Records a second at most, up to 5000; 1000 unless given.")
@click.option("--count", type=click.IntRange(1), help="End after so many.")
@click.option("--dropped", is_flag=True, help="The last frames dropped for each reason instead.")
@click.option("--write", type=FILE, help="A pcapng file of the frames as they came, with reasons.")
@showing
@options.state_dir
def command(
    selection: Selection,
    rate: int,
    count: int | None,
    dropped: bool,
    write: Path | None,
    forms: Forms,
    state_dir: Path | None,
) -> None:
    """Show what the running director decides, a record a frame, until Ctrl-C.

    It watches beside the forwarding and never holds it up: beyond --rate, frames are not looked
    at, and it says how many.
    """
    asked = selection.filter(VERDICTS, per_s=rate)
    director = Client(state_dir or state_dirs.default())
    told = _Told()
    stream = _dropped(director, asked) if dropped else told.records(director.trace(asked))
    file = write or forms.html
    with (
        file_errors(file),
        sinks(forms, write=write, title="What the director decided", when=clock_time) as show,
        contextlib.suppress(KeyboardInterrupt),
    ):
        for record in itertools.islice(stream, count):
            show(record)
            told.shown += 1
    told.end(file)


class _Told:
    """What has been shown, and what is missing."""

    def __init__(self) -> None:
        self.shown = 0
        self._losses = Losses()

    def records(self, stream: Iterable[Traced]) -> Iterator[Record]:
        """The records; that it watches, and what is missing, is told of on standard error."""
        watching = False
        for each in stream:
            if not watching:
                print("Watching, until Ctrl-C.", file=sys.stderr, flush=True)
                watching = True
            if each.losses is not None and each.losses != self._losses:
                self._tell(each.losses)
                self._losses = each.losses
            if each.record is not None:
                yield each.record

    def _tell(self, losses: Losses) -> None:
        limited = losses.limited - self._losses.limited
        overwritten = losses.overwritten - self._losses.overwritten
        if limited:
            print(f"... {limited} frames not looked at: more than --rate", file=sys.stderr)
        if overwritten:
            print(f"... {overwritten} records lost: they came too fast", file=sys.stderr)

    def end(self, file: Path | None) -> None:
        """Says what is in the file."""
        if file is not None:
            frames = "frame" if self.shown == 1 else "frames"
            print(f"{self.shown} {frames} in {file}", file=sys.stderr)


def _dropped(director: Client, asked: Filter) -> Iterator[Record]:
    """What the flight recorder has, chosen here: it is little."""
    for record in director.drops():
        if _passes(record, asked):
            yield record


def _passes(record: Record, asked: Filter) -> bool:
    return (
        (not asked.verdicts or record.verdict in asked.verdicts)
        and (asked.client is None or (record.client is not None and record.client in asked.client))
        and (asked.address is None or record.address == asked.address)
        and (asked.protocol is None or record.protocol == asked.protocol)
        and (not asked.port or record.port == asked.port)
        and (asked.server is None or record.server == asked.server)
    )
