"""`dr-forwarder run`: the director in the foreground."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from .. import kept_table
from .. import listen as listens
from .. import state_dir as state_dirs
from ..attendants import log_file
from ..attendants.log_queue import QueuedHandler, to_descriptor
from ..config import Config, ConfigError, IoMode, MacMode, load
from ..config.draft import Resolver
from ..config.native import MOST_WORKERS
from ..config.needs import HERE, metrics_missing
from ..listen import Listen
from ..patience import Names, at_start
from ..printable import printable
from ..runner import Runner
from ..table import Stats
from ..vlan import Vlan, parse
from .workers import by_worker

_log = logging.getLogger(__name__)

_NO_FILE = "(no file)"


def _vlan(text: str | None) -> Vlan | None:
    try:
        return None if text is None else parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _listen(text: str | None) -> Listen | None:
    try:
        return None if text is None else listens.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command("run")
@click.argument("config", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("-i", "--interface", metavar="NAME", help="Where clients and real servers are.")
@click.option(
    "--interface-wait",
    type=click.IntRange(0),
    metavar="SECONDS",
    help="Wait so long for the interface, if it is not there yet; 60.",
)
@click.option(
    "--mac",
    type=click.Choice([mode.value for mode in MacMode]),
    callback=lambda _context, _option, text: text and MacMode(text),
    help="Which MAC address the VIPs are announced with.",
)
@click.option(
    "--vlan",
    metavar="VLAN",
    callback=lambda _context, _option, text: _vlan(text),
    help="The 802.1Q tag of all frames: 100, or 200.100 (outer first) for QinQ.",
)
@click.option(
    "--io",
    type=click.Choice([each.value for each in IoMode]),
    callback=lambda _context, _option, text: text and IoMode(text),
    help="How frames come in: packet sockets, xdp beside them, or auto.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, MOST_WORKERS),
    metavar="NUMBER",
    help="Forwarding threads; the clients are spread over them.",
)
@click.option(
    "--realtime",
    is_flag=True,
    help="Give forwarding a real-time priority, above the kernel's packet threads.",
)
@click.option(
    "--state-dir", type=click.Path(file_okay=False, path_type=Path), help="For run-time files."
)
@click.option(
    "--marks",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Rules that define firewall marks: iptables-save, or nft list ruleset.",
)
@click.option(
    "--listen",
    metavar="ADDR:PORT",
    callback=lambda _context, _option, text: _listen(text),
    help="Serve the page and metrics there; :9700 is the loopback's.",
)
@click.option(
    "--listen-writable", is_flag=True, help="Let the page drain, disable and enable servers."
)
@click.option(
    "--persist", is_flag=True, help="Keep what is set over the socket, for the next start."
)
@click.option(
    "--persist-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The same in this file, which outlives a reboot; else it is in the state directory.",
)
@click.option("--standby", is_flag=True, help="Leave the VIPs to another director for now.")
@click.option("--skip-unsupported", is_flag=True, help="Leave masq and ipip servers out.")
@click.option("-v", "--verbose", is_flag=True, help="Log every detail.")
def command(
    config: Path | None,
    interface_wait: int | None,
    marks: Path | None,
    persist: bool,
    persist_file: Path | None,
    skip_unsupported: bool,
    verbose: bool,
    **settings: Any,
) -> None:
    """Run the director for CONFIG: ldirectord's own file, or native TOML.

    Without CONFIG it starts with no services, on --interface; they come over the control socket.
    SIGHUP reads the file again without breaking a connection; SIGTERM and SIGINT end it.
    """
    # An option that is named after a setting takes precedence over the file.
    interface = settings["interface"]

    def read(resolver: Resolver) -> Config:
        loaded = Config(_NO_FILE)
        if config is not None:
            loaded = load(
                config,
                skip_unsupported=skip_unsupported,
                rules=marks,
                resolver=resolver,
                interface=interface,
            )
        given = {name: said for name, said in settings.items() if said}
        if interface_wait is not None:
            given["interface_wait_s"] = interface_wait
        chosen = replace(loaded.settings, **given)
        if reason := metrics_missing(chosen, HERE):
            raise click.UsageError(reason)
        return replace(loaded, settings=chosen)

    if config is None and interface is None:
        raise click.UsageError("without CONFIG, say where the clients are: --interface NAME")
    if config is None and marks is not None:
        raise click.UsageError("--marks goes with CONFIG, whose services the marks stand for")
    _log_to_stderr(verbose=verbose)
    loaded = at_start(read)
    with state_dirs.held(loaded.settings.state_dir or state_dirs.default()) as directory:
        files = tuple(path for path in (config, marks) if path is not None)
        kept = persist_file or (directory / kept_table.FILE_NAME if persist else None)
        runner = Runner(
            loaded,
            directory,
            lambda: read(Names(0)),
            files=files,
            kept=kept,
            log_for=_log_file,
        )
        stats = asyncio.run(runner.run())
    for line in summary(stats):
        _log.info("%s", line)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _log_to_stderr(*, verbose: bool) -> None:
    to = QueuedHandler(to_descriptor(2), "standard error")
    to.setFormatter(_Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    logging.basicConfig(handlers=[to], level=logging.DEBUG if verbose else logging.INFO)
    for talkative in ("asyncio", "pyroute2"):
        logging.getLogger(talkative).setLevel(logging.WARNING)


def summary(stats: Stats) -> list[str]:
    """The counters as lines to read at the end; every frame is in one of them."""
    lines = [f"{count:>12} {name}" for name, count in stats.verdicts.items() if count]
    return [
        f"{stats.frames:>12} frames in, of which",
        *lines,
        f"{stats.ring_dropped:>12} more that the kernel had no room for",
        *by_worker(stats),
    ]


def _log_file(config: Config) -> logging.Handler | None:
    """Beside stderr, the logfile that a configuration names itself, if it can be had."""
    try:
        return log_file.handler(config) if config.line_of("logfile") else None
    except ConfigError as error:
        _log.warning("%s; the log goes to stderr alone", error)
        return None
