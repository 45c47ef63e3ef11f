"""Options that several commands have."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]

FILE = click.Path(dir_okay=False, path_type=Path)

state_dir = click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Of the director that is asked.",
)


def together(name: str, kind: type[Any], options: Sequence[Decorator]) -> Decorator:
    """Adds an option for each field of the dataclass ``kind``; the command gets one, ``name``."""

    def add(command: Command) -> Command:
        @functools.wraps(command)
        def called(**given: Any) -> Any:
            fields = {field.name: given.pop(field.name) for field in dataclasses.fields(kind)}
            return command(**given, **{name: kind(**fields)})

        decorated: Command = called
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return add
