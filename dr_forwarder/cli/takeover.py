"""`dr-forwarder takeover` and `standby`: which of two directors has the VIPs."""

from __future__ import annotations

from pathlib import Path

import click

from .. import state_dir as state_dirs
from ..client import Client
from . import options


@click.command("takeover")
@options.state_dir
def command(state_dir: Path | None) -> None:
    """Have a director that stands by take the VIPs, and announce them."""
    Client(state_dir or state_dirs.default()).stand_by(standby=False)


@click.command("standby")
@options.state_dir
def standby(state_dir: Path | None) -> None:
    """Have a director leave the VIPs to another one; its connections stay in its table."""
    Client(state_dir or state_dirs.default()).stand_by(standby=True)
