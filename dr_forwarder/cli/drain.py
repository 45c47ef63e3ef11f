"""`dr-forwarder drain`, `disable`, `enable`: a server is taken out, at its leisure or at once,
and back.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any

import click

from .. import state_dir as state_dirs
from ..client import Client
from ..endpoints import Address
from ..ipvsadm.names import SystemNames
from ..ipvsadm.values import endpoint
from ..orders import DEADLINE_S, ENDINGS, Member, OrderRow, State
from ..table import Drain, Key
from . import naming, options

_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LOOK_EVERY_S = 1.0
_INTERRUPTED = 130


class _Duration(click.ParamType[int]):
    name = "DURATION"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        match = re.fullmatch(r"(\d+)\s*([smhd]?)", str(value))
        if match is None:
            self.fail(f"{value!r} is no duration: 90s, 10m, 2h, 1d", param, ctx)
        return int(match[1]) * _UNITS_S[match[2]]


_words = click.argument("words", nargs=-1, metavar="[SERVICE] SERVER")
_all = click.option("--all", "everywhere", is_flag=True, help="In all services of the server.")
_then = click.option(
    "--then",
    type=click.Choice([ending.value for ending in ENDINGS]),
    default=Drain.RESET.value,
    show_default=True,
    help="How connections end: dropped, with a RST to the client, or moved to another server.",
)


@click.command("drain")
@_words
@_all
@click.option(
    "--deadline",
    type=_Duration(),
    default=f"{DEADLINE_S // 60}m",
    show_default=True,
    help="How long connections may go on.",
)
@_then
@click.option("--no-wait", is_flag=True, help="Do not wait until all connections are over.")
@options.state_dir
def command(
    words: tuple[str, ...],
    everywhere: bool,
    deadline: int,
    then: str,
    no_wait: bool,
    state_dir: Path | None,
) -> None:
    """Give SERVER no new connections, and show until none is left.

    SERVICE is written as in ipvsadm or the configuration: 10.10.10.60:80, "udp 10.10.10.60:53",
    fwm:7. The order stands until `dr-forwarder enable`, whatever checks, reloads and restarts
    say; Ctrl-C ends the waiting only. What is left at the deadline ends as --then says.
    """
    client = Client(state_dir or state_dirs.default())
    service, server = _named(client, words, everywhere=everywhere)
    members = client.drain(server, service, deadline_s=deadline, then=Drain(then))
    if no_wait:
        print(_told(_about(client.orders(), members)), end="")
        return
    try:
        done = follow(client.orders, members, sys.stdout)
    except KeyboardInterrupt:
        print("\nThe order stands; dr-forwarder enable takes it back.")
        sys.exit(_INTERRUPTED)
    sys.exit(0 if done else 1)


@click.command("disable")
@_words
@_all
@_then
@options.state_dir
def disable(words: tuple[str, ...], everywhere: bool, then: str, state_dir: Path | None) -> None:
    """Take SERVER out at once: no new connections, and the others end."""
    client = Client(state_dir or state_dirs.default())
    service, server = _named(client, words, everywhere=everywhere)
    members = client.disable(server, service, then=Drain(then))
    print(_told(_about(client.orders(), members)), end="")


@click.command("enable")
@_words
@_all
@options.state_dir
def enable(words: tuple[str, ...], everywhere: bool, state_dir: Path | None) -> None:
    """Take SERVER back: its checks and the configuration decide again."""
    client = Client(state_dir or state_dirs.default())
    service, server = _named(client, words, everywhere=everywhere)
    for key, address in client.enable(server, service):
        print(f"{key} -> {address}: enabled")


# ---- Who is meant ----


def _named(client: Client, words: Sequence[str], *, everywhere: bool) -> tuple[Key | None, Address]:
    if len(words) != (1 if everywhere else 2):
        usage = "SERVER with --all" if everywhere else "SERVICE and SERVER, or --all and SERVER"
        raise click.UsageError(f"say {usage}")
    if everywhere:
        return None, _server(words[-1], None)
    keys = [row.service.key for row in client.services()]
    keys += [row.order.service for row in client.orders()]
    try:
        key = naming.service(words[0], keys, SystemNames())
    except naming.UnknownServiceError as error:
        raise click.ClickException(str(error)) from error
    return key, _server(words[-1], key)


def _server(text: str, key: Key | None) -> Address:
    """An address or a name; a port is not needed, in direct routing it is the service's."""
    try:
        return ip_address(text.strip("[]"))
    except ValueError:
        pass
    found = endpoint(text, key.protocol if key else "tcp", SystemNames())
    if found is None:
        raise click.ClickException(f"{text!r} is no server: an address, with or without a port")
    return found[0]


# ---- What is shown ----


def _about(rows: Sequence[OrderRow], members: Sequence[Member]) -> list[OrderRow]:
    return [row for row in rows if row.order.member in members]


def _told(rows: Sequence[OrderRow]) -> str:
    return "".join(f"{row.order.service} -> {row.order.server}: {row.text}\n" for row in rows)


def follow(
    look: Callable[[], Sequence[OrderRow]],
    members: Sequence[Member],
    out: IO[str],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Shows what is left until nothing is, or the deadline has come; False: it was taken back.

    On a terminal the seconds run; elsewhere there is a line for each change.
    """
    shown: list[tuple[State, int]] = []
    while True:
        rows = _about(look(), members)
        now = [(row.state, row.left) for row in rows]
        if now != shown or out.isatty():
            if shown and out.isatty():
                out.write(f"\x1b[{len(shown)}A\x1b[J")
            out.write(_told(rows))
            out.flush()
        shown = now
        if len(rows) < len(members):
            out.write("Taken back meanwhile.\n")
            return False
        if all(state is not State.DRAINING for state, _ in now):
            return True
        sleep(_LOOK_EVERY_S)
