"""`dr-forwarder lab`: the one-machine network to try, learn and test with."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from ..lab import BREAKERS, Attached, break_, commands
from ..lab import check as check_network
from ..lab.topology import with_servers
from . import demo as demonstration


def _default_state_file() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR") or "/tmp"
    return Path(runtime) / f"dr-forwarder-lab-{os.getuid()}.json"


_STATE_FILE = click.option(
    "--state-file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=_default_state_file,
    show_default="in $XDG_RUNTIME_DIR or /tmp",
    help="Where the running lab is noted.",
)


@click.group("lab")
def command() -> None:
    """A client, a director and real servers on one switch, in namespaces; no root needed."""


@command.command()
@click.option("--servers", default=2, show_default=True, type=click.IntRange(1, 50))
@_STATE_FILE
def up(servers: int, state_file: Path) -> None:
    """Bring the lab up and hold it, until Ctrl-C or `lab down`."""
    commands.up(state_file, with_servers(servers), say=lambda text: print(text, flush=True))


@command.command("exec", context_settings={"ignore_unknown_options": True})
@_STATE_FILE
@click.argument("host")
@click.argument("argv", metavar="COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(state_file: Path, host: str, argv: tuple[str, ...]) -> None:
    """Run COMMAND on a HOST of the lab: client, director, vm2, vm3 ..."""
    sys.exit(commands.execute(state_file, host, argv))


@command.command("break", help="Make one of the classic mistakes: " + ", ".join(BREAKERS) + ".")
@_STATE_FILE
@click.argument("name", type=click.Choice(list(BREAKERS)))
def break_command(state_file: Path, name: str) -> None:
    """Make one of the classic mistakes."""
    with Attached(state_file) as network:
        print(break_(network, name))


@command.command()
@_STATE_FILE
def check(state_file: Path) -> None:
    """Ask each real server by its own address, from the director."""
    with Attached(state_file) as network:
        findings = check_network(network)
    for finding in findings:
        word = "answers" if finding.answered else "does not answer"
        print(f"{finding.server.name} ({finding.server.address}) {word}: {finding.said}")
    sys.exit(0 if all(finding.answered for finding in findings) else 1)


@command.command()
@_STATE_FILE
def down(state_file: Path) -> None:
    """End the lab that is up."""
    commands.down(state_file)


@command.command()
def demo() -> None:
    """Show a whole cluster at work in two minutes, and check every claim."""
    sys.exit(demonstration.demo())
