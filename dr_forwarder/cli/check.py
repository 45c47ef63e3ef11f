"""`dr-forwarder check`: what a configuration file says, and what is wrong with it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from ..checks.model import target
from ..config import CheckType, Config, Virtual, load
from ..config.secrecy import without_secrets
from ..config.support import nothing_served
from ..ldirectord.terms import in_terms
from ..printable import printable


@click.command("check")
@click.argument("config", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--strict", is_flag=True, help="Refuse what stock ldirectord would refuse.")
@click.option(
    "--marks", type=click.Path(dir_okay=False, path_type=Path), help="Rules that define marks."
)
@click.option("--skip-unsupported", is_flag=True, help="Leave masq and ipip servers out.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, in ldirectord's own words.")
@click.option("--show-secrets", is_flag=True, help="Show passwords, which are otherwise hidden.")
def command(
    config: Path,
    strict: bool,
    marks: Path | None,
    skip_unsupported: bool,
    as_json: bool,
    show_secrets: bool,
) -> None:
    """Parse CONFIG and explain it; nothing is started."""
    # A file may be in any encoding, and is to be explained all the same.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    loaded = load(config, skip_unsupported=skip_unsupported, rules=marks, rules_later=True)
    refused = False
    for notice in (*loaded.notices, *nothing_served(loaded)):
        is_error = strict and notice.strict
        refused = refused or is_error
        word = "error" if is_error else "warning"
        print(printable(f"{notice.at(loaded.path)}: {word}: {notice.reason}"), file=sys.stderr)
    if refused:
        sys.exit(2)
    if not show_secrets:
        loaded = without_secrets(loaded)
    if as_json:
        print(json.dumps(in_terms(loaded), indent=2))
        return
    for line in _explanation(loaded):
        print(printable(line))


def _explanation(config: Config) -> Iterator[str]:
    for virtual in config.virtuals:
        sticky = f", persistent {virtual.persistent_s} s" if virtual.persistent_s else ""
        yield f"{virtual.protocol} {virtual.name}: {virtual.scheduler}{sticky}, {_check(virtual)}"
        for real in virtual.real:
            port = target(virtual, real).port
            where = "" if port == virtual.port else f" (checked on port {port})"
            yield f"  -> {real.address} weight {real.weight}{where}"
        if virtual.fallback:
            yield f"  -> {virtual.fallback.address} while no real server is up"
        then = "keeps its connections (weight 0)" if virtual.quiescent else "is taken out"
        yield f"     a real server that fails {_times(virtual.check.failure_count)} {then}"
    if config.virtuals:
        yield f"{config.path}: fine"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times in a row"


def _check(virtual: Virtual) -> str:
    check = virtual.check
    how = check.type.value
    if check.type in (CheckType.NEGOTIATE, CheckType.COMBINED) and check.service != "none":
        how = f"{check.service} {check.request}"
        if check.receive:
            how += f" must contain {check.receive!r}"
    return f"checked every {check.interval_s} s: {how}"
