"""`dr-forwarder replay`: what the director would have done with the frames of a capture file."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import BinaryIO

import click

from .. import record_text
from ..border import VERDICTS
from ..config import Config, load
from ..endpoints import Address
from ..messages import jsonable
from ..records import Filter, Record
from ..replay import Replay, Summary, Turn, parse_events
from ..replay.summary import lines
from ..vlan import parse as parse_vlan
from .files import file_errors, refuse_overwriting
from .options import FILE
from .selection import Selection, selecting
from .sinks import Forms, showing, sinks


def _mac(text: str) -> bytes:
    try:
        mac = bytes.fromhex(text.replace(":", "").replace("-", ""))
    except ValueError:
        mac = b""
    if len(mac) != 6:
        raise click.BadParameter(f"{text!r} is no MAC address: like 02:00:00:00:00:01")
    return mac


def _server_mac(text: str) -> tuple[Address, bytes]:
    address, _, mac = text.partition("=")
    try:
        return ip_address(address), _mac(mac)
    except (ValueError, click.BadParameter) as error:
        raise click.BadParameter(f"{text!r}: must be like 10.0.0.2=02:00:00:00:00:01") from error


@click.command("replay")
@click.argument("capture", type=FILE)
@click.option("--config", "config_file", required=True, type=FILE, help="The director's.")
@click.option("--marks", type=FILE, help="Rules that define firewall marks, as for run.")
@click.option("--skip-unsupported", is_flag=True, help="Leave masq and ipip servers out.")
@click.option("--events", type=FILE, help="Lines like: 3.2 10.10.10.62:80 down")
@click.option("--write", type=FILE, help="A pcapng file of what is sent, with the reasons.")
@selecting
@showing
@click.option("--summary", "only_summary", is_flag=True, help="No records.")
@click.option("--quiet", is_flag=True, help="Print nothing but what is wrong.")
@click.option("--mac", metavar="MAC", help="The VIPs', where the capture does not show it.")
@click.option(
    "--server-mac",
    metavar="ADDRESS=MAC",
    multiple=True,
    help="A real server's, where the capture does not show it; else it is made up.",
)
@click.option("--vlan", metavar="VLAN", help="The tag of the director's frames, as for run.")
@click.option("--mtu", default=1500, show_default=True, type=click.IntRange(68, 65535))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of hashes.")
def command(
    capture: Path,
    config_file: Path,
    marks: Path | None,
    skip_unsupported: bool,
    events: Path | None,
    write: Path | None,
    selection: Selection,
    forms: Forms,
    only_summary: bool,
    quiet: bool,
    mac: str | None,
    server_mac: tuple[str, ...],
    vlan: str | None,
    mtu: int,
    seed: int,
) -> None:
    """Decide on the frames of CAPTURE, a pcap or pcapng file, as the running director would.

    By the same core and table, on the capture's own clock, without privileges and always with
    the same outcome. Frames count as sent to the director when their MAC address is the VIPs'.
    The summary comes last, with --json too.
    """
    asked = selection.filter(VERDICTS)
    loaded = load(config_file, rules=marks, skip_unsupported=skip_unsupported)
    config = _in_vlan(loaded, vlan)
    refuse_overwriting(capture, write, forms.html)
    with file_errors(capture), contextlib.ExitStack() as cleanup:
        run = cleanup.enter_context(
            Replay(
                config,
                capture,
                turns=_turns(events, config),
                mac=_mac(mac) if mac else None,
                macs=dict(_server_mac(each) for each in server_mac),
                mtu=mtu,
                seed=seed,
            )
        )
        out = cleanup.enter_context(write.open("wb")) if write else None
        if not (only_summary or quiet):
            summary = _shown(run, asked, forms, capture.name, write=out)
        elif forms.html is not None:
            page = Forms(as_json=False, explain=False, html=forms.html)
            summary = _shown(run, asked, page, capture.name, write=out)
        else:
            summary = run.run(write=out)
    if not quiet:
        _print_summary(summary, as_json=forms.as_json, apart=not only_summary)
    if summary.problem:
        print(f"dr-forwarder: {capture} {summary.problem}", file=sys.stderr)
    if summary.report.fault != "fine" or not summary.report.frames:
        sys.exit(1)


def _shown(
    run: Replay, asked: Filter, forms: Forms, name: str, *, write: BinaryIO | None
) -> Summary:
    title = f"What the director would have done with {name}"
    with sinks(forms, title=title, when=_Since(run)) as show:
        for record in run.records(asked, write=write):
            show(record)
    return run.summary()


def _in_vlan(loaded: Config, vlan: str | None) -> Config:
    if vlan is None:
        return loaded
    try:
        return replace(loaded, settings=replace(loaded.settings, vlan=parse_vlan(vlan)))
    except ValueError as error:
        raise click.UsageError(f"--vlan: {error}") from error


def _turns(events: Path | None, config: Config) -> tuple[Turn, ...]:
    if events is None:
        return ()
    with file_errors(events):
        text = events.read_text("utf-8", errors="backslashreplace")
    return parse_events(text, config, file=str(events))


class _Since:
    """When a frame came, after the first one."""

    def __init__(self, run: Replay) -> None:
        self._run = run
        self._began_ns: int | None = None

    def __call__(self, record: Record) -> str:
        if self._began_ns is None:
            self._began_ns = self._run.summary().report.began_ns
        return record_text.since(record, self._began_ns)


def _print_summary(summary: Summary, *, as_json: bool, apart: bool) -> None:
    if as_json:
        print(json.dumps({"summary": jsonable(summary)}))
        return
    if apart:
        print()
    for text in lines(summary):
        print(text)
