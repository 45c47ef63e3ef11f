"""`dr-forwarder lab`: the one-machine network to try, learn and test with."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import click

from ..lab import BREAKERS, Attached, Lab, break_, commands
from ..lab import check as check_network
from ..lab.topology import with_servers
from . import demo as demonstration
from .demo import tutorial


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
@click.option(
    "--servers", default=2, show_default=True, type=click.IntRange(1, 50), help="How many."
)
@click.option(
    "--config",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="For its director; the tutorial's file unless given.",
)
@click.option("--no-director", is_flag=True, help="Run none: you will.")
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Of its director; a temporary one unless given.",
)
@_STATE_FILE
def up(
    servers: int,
    config: Path | None,
    no_director: bool,
    state_dir: Path | None,
    state_file: Path,
) -> None:
    """Bring the lab up with a director, and hold it until Ctrl-C or `lab down`."""

    def start_director(network: Lab) -> None:
        if no_director:
            return
        text = config.read_bytes() if config else tutorial(network.topology).encode()
        (directory / "ldirectord.cf").write_bytes(text)
        network.popen(
            "director",
            [
                *(sys.executable, "-m", "dr_forwarder", "run", str(directory / "ldirectord.cf")),
                *("--state-dir", str(where)),
            ],
        )
        print(f"Its director: dr-forwarder list -n --state-dir {where}", flush=True)

    with tempfile.TemporaryDirectory(prefix="dr-forwarder-lab-") as name:
        directory = Path(name)
        where = state_dir or directory / "director"
        commands.up(
            state_file,
            with_servers(servers),
            say=lambda text: print(text, flush=True),
            then=start_director,
        )


@command.command()
@click.option(
    "--servers", default=2, show_default=True, type=click.IntRange(1, 50), help="How many."
)
def config(servers: int) -> None:
    """Print the configuration file of its director: the tutorial's."""
    print(tutorial(with_servers(servers)), end="")


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
