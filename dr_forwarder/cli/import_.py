"""`dr-forwarder import`: another director's file as native TOML, and what becomes of each line."""

from __future__ import annotations

import glob
import io
import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import click

from ..config import ConfigError, ldirectord_lines, marks, names
from ..config.draft import Reading
from ..importing import Imported, Kind, Line, Verdict, convert, recognise
from ..ipvsadm.names import SystemNames
from ..printable import printable


@click.command("import")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.option(
    "--from",
    "kind",
    type=click.Choice([kind.value for kind in Kind]),
    help="What FILE is; without it its content says so.",
)
@click.option("--marks", "rules", type=click.Path(path_type=Path), help="Rules that define marks.")
@click.option(
    "--config-id", help="Whose lines of a keepalived.conf count, @ID; this host's without it."
)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write the TOML there.")
@click.option("--strict", is_flag=True, help="Exit status 1 unless every line is the same.")
@click.option("--json", "as_json", is_flag=True, help="The TOML and all lines as JSON.")
def command(
    file: Path,
    kind: str | None,
    rules: Path | None,
    config_id: str | None,
    output: Path | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Write FILE as native TOML: a keepalived.conf, what ipvsadm-save printed, or an ldirectord.cf.

    The TOML goes to stdout or --output. What becomes of each line goes to stderr: the same,
    differs (and how), or not for direct routing, which is left out. FILE may be - for stdin.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    text = _read(file)
    chosen = Kind(kind) if kind else recognise(text)
    if chosen is None:
        raise ConfigError(
            "is no keepalived.conf, ipvsadm-save or ldirectord.cf; say what it is: --from",
            file=str(file),
        )
    reading = Reading(str(file), names.resolve, names.service_port, names.host_name())
    known = marks.Found() if rules is None else marks.read(_read(rules), file=str(rules))
    for notice in known.notices:
        print(printable(f"{notice.at(str(rules))}: warning: {notice.reason}"), file=sys.stderr)
    made = convert(
        text,
        chosen,
        reading,
        SystemNames(),
        marks=known.marks,
        config_id=config_id,
        include=_included,
    )
    if output is not None:
        _write(output, made.toml)
    if as_json:
        print(json.dumps(_in_json(made), indent=2))
    else:
        _tell(file, made)
        if output is None:
            print(made.toml, end="")
    if strict and any(line.verdict is not Verdict.SAME for line in made.lines):
        sys.exit(1)


def _included(pattern: str, file: str) -> list[tuple[str, str]]:
    """The files that a keepalived.conf includes, their places relative to its own."""
    here = Path(file).parent
    found = sorted(glob.glob(str(here / pattern)))
    return [(name, ldirectord_lines.decoded(Path(name).read_bytes())) for name in found]


def _read(path: Path) -> str:
    try:
        raw = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        return ldirectord_lines.decoded(raw)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=str(path)) from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", file=str(path)) from error


def _in_json(made: Imported) -> dict[str, object]:
    lines = [asdict(line) | {"verdict": line.verdict.value} for line in made.lines]
    for line in lines:
        if not line["file"]:
            del line["file"]
    return {"from": made.kind.value, "toml": made.toml, "lines": lines}


def _tell(file: Path, made: Imported) -> None:
    for line in made.lines:
        print(printable(f"{line.file or file}:{line.number}: {_said(line)}"), file=sys.stderr)
    counts = Counter(line.verdict for line in made.lines)
    parts = ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict)
    print(f"{file}: {made.kind.value}, {len(made.lines)} lines: {parts}", file=sys.stderr)


def _said(line: Line) -> str:
    how = f" ({line.how})" if line.how else ""
    return f"{line.verdict.value}: {line.text}{how}"
