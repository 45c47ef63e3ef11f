"""`dr-forwarder list`: the running director's table in ipvsadm's text, or as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from .. import state_dir as state_dirs
from ..client import Client
from ..errors import Refused
from ..ipvsadm import connections, listing, proc
from ..ipvsadm.listing import View
from ..ipvsadm.names import SystemNames
from ..ipvsadm.shell import Far
from ..printable import printable
from . import options
from .workers import by_worker


def _view(name: str, view: View, help: str) -> options.Decorator:
    return click.option(name, "view", flag_value=view, type=View, help=help)


@click.command("list")
@click.option("-n", "--numeric", is_flag=True, help="Addresses and ports as numbers.")
@click.option("-c", "--connection", is_flag=True, help="The connections.")
@_view("--stats", View.STATS, "Connections, packets and bytes so far.")
@_view("--rate", View.RATE, "The same a second, now.")
@_view("--thresholds", View.THRESHOLDS, "Limits of connections, as set by ipvsadm -x and -y.")
@_view("--persistent-conn", View.PERSISTENT, "Persistence templates of each server.")
@click.option("--timeout", is_flag=True, help="The time-outs: tcp tcpfin udp.")
@click.option("--daemon", is_flag=True, help="The synchronisation daemons.")
@click.option("--exact", is_flag=True, help="Numbers in full, not as 12M.")
@click.option("--nosort", is_flag=True, help="In the table's order, the newest server first.")
@click.option(
    "--proc",
    "proc_file",
    type=click.Choice(tuple(proc.FILES)),
    help="As that file of kernel IPVS's in /proc/net.",
)
@click.option("--link", is_flag=True, help="How it stands with the interface.")
@click.option("--health", is_flag=True, help="What the checks say, and why.")
@click.option("--verdicts", is_flag=True, help="What became of the frames, and who did it.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@options.state_dir
def command(
    numeric: bool,
    connection: bool,
    view: View | None,
    timeout: bool,
    daemon: bool,
    exact: bool,
    nosort: bool,
    proc_file: str | None,
    link: bool,
    health: bool,
    verdicts: bool,
    as_json: bool,
    state_dir: Path | None,
) -> None:
    """Show the table of the running director, exactly as `ipvsadm -L` does."""
    client = Client(state_dir or state_dirs.default())
    what = _what(
        connections=connection,
        timeouts=timeout,
        daemons=daemon,
        link=link,
        health=health,
        stats=verdicts,
    )
    if proc_file is not None:
        if as_json or what != "services":
            raise click.UsageError("--proc is a text of the kernel's: without the others")
        print(proc.text(proc_file, Far(client)), end="")
        return
    if as_json:
        _print_json(client, what)
        return
    name_of = listing.numeric if numeric else listing.named(SystemNames())
    match what:
        case "connections":
            sys.stdout.writelines(connections.lines(client.each_connection(), name_of=name_of))
            return
        case "timeouts":
            text = listing.timeouts(client.timeouts())
        case "daemons":
            text = listing.daemons(client.daemons())
        case "link":
            text = f"{client.link().text}\n"
        case "health":
            text = _health(client.get("health")) + _trouble(client)
        case "stats":
            stats = client.stats()
            counts = [f"{count:>12} {name}" for name, count in stats.verdicts.items()]
            text = "".join(f"{line}\n" for line in (*counts, *by_worker(stats)))
        case _:
            text = listing.table(
                client.services(),
                view=view or View.PLAIN,
                exact=exact,
                name_of=name_of,
                in_order=not nosort,
            )
    print(printable(text), end="")


def _print_json(client: Client, what: str) -> None:
    """Connections each in a line of the list as they come, for there may be a million."""
    if what != "connections":
        print(json.dumps(client.get(what), indent=2))
        return
    before = "[\n"
    for line in client.lines(what):
        print(f"{before}{line.decode()}", end="")
        before = ",\n"
    print("\n]" if before == ",\n" else "[]")


def _what(**asked: bool) -> str:
    chosen = [what for what, wanted in asked.items() if wanted]
    if len(chosen) > 1:
        raise click.UsageError(
            "choose one of -c, --timeout, --daemon, --link, --health and --verdicts"
        )
    return chosen[0] if chosen else "services"


def _health(rows: list[dict[str, Any]]) -> str:
    words = {True: "up", False: "down", None: "unknown"}
    return "".join(
        f"{row['virtual']} -> {row['server']} {words[row['up']]}: {row['reason']}{_more(row)}\n"
        for row in rows
    )


def _trouble(client: Client) -> str:
    """Of the interface, which no check would find out."""
    try:
        link = client.link()
    except Refused:  # a director of an older version does not know
        return ""
    return "" if link.state == "up" and link.hindrance is None else f"{link.text}\n"


def _more(row: dict[str, Any]) -> str:
    # A director of an older version may be asked, which knows of no hindrance.
    hindrance = f"; not checked now: {row['hindrance']}" if row.get("hindrance") else ""
    return hindrance + (f"; {row['order']['text']}" if row["order"] else "")
