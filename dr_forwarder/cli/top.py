"""`dr-forwarder top`: the running director, live."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from .. import state_dir as state_dirs
from ..client import Client
from ..config.needs import LOOK
from ..errors import SetupError
from ..top.source import Far
from . import options


@click.command("top")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(0.2, 3600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two looks.",
)
@options.state_dir
def command(every_s: float, state_dir: Path | None) -> None:
    """Show services, servers, rates and verdicts, live; ? tells the keys.

    Servers are sorted, drained, disabled and enabled by keys. It waits for a director that is
    started again.
    """
    source = Far(Client(state_dir or state_dirs.default()))
    source.look()  # without a director there is nothing to show
    refuse_where_it_cannot_be_drawn()
    try:
        from ..top.screen import Top
    except ModuleNotFoundError as error:
        raise SetupError(f"top needs the library {error.name}: pip install '{LOOK}'") from error
    Top(source, every_s=every_s).run()


def refuse_where_it_cannot_be_drawn() -> None:
    """Raises SetupError where keys and colours go nowhere, as in a pipe or a cron job."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise SetupError("top needs a terminal; `dr-forwarder list` shows the table once")
    if os.environ.get("TERM", "dumb") in ("", "dumb", "unknown"):
        raise SetupError("top needs a terminal that can do more than TERM=dumb says")
