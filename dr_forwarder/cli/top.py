"""`dr-forwarder top`: the running director, live."""

from __future__ import annotations

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
    try:
        from ..top.screen import Top
    except ModuleNotFoundError as error:
        raise SetupError(f"top needs the library {error.name}: pip install '{LOOK}'") from error
    Top(source, every_s=every_s).run()
