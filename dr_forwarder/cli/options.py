"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

state_dir = click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Of the director that is asked.",
)
