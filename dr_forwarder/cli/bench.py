"""`dr-forwarder bench`: what the director costs on this host, beside what else the host has."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from ..bench.errors import BenchError
from ..bench.machine import describe
from ..bench.model import Findings, Section
from ..bench.native import generate
from ..bench.plot import drawing
from ..bench.report import foot, head, section, values
from ..bench.run import run
from ..bench.runs import Load
from ..bench.sections import SECTIONS
from ..bench.session import LONG, SHORT, Session

_SIZES = {"60": 60, "1514": 1514, "imix": 0}


def made(sections: Sequence[Section[Session]]) -> click.Group:
    """The command for these sections."""

    @click.group("bench", invoke_without_command=True)
    @click.option("--short", is_flag=True, help="A few minutes instead of half an hour.")
    @click.option(
        "--only",
        multiple=True,
        type=click.Choice([each.name for each in sections]),
        help="This section; may be given several times.",
    )
    @click.option(
        "--real-time",
        is_flag=True,
        help="Go before all other programs, for a host that is not quiet; needs root.",
    )
    @click.option("--rounds", type=click.IntRange(1, 50), help="Of each comparison.")
    @click.option(
        "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="All values."
    )
    @click.option(
        "--plot", type=click.Path(dir_okay=False, path_type=Path), help="A drawing, as SVG."
    )
    @click.pass_context
    def command(
        context: click.Context,
        short: bool,
        only: tuple[str, ...],
        real_time: bool,
        rounds: int | None,
        json_file: Path | None,
        plot: Path | None,
    ) -> None:
        """Measure this director on this host, beside everything comparable that the host has.

        Needs two CPUs with nothing else to do, and root (with user namespaces alone there are no
        rates). All traffic is in namespaces of its own, which are gone afterwards. Progress goes to
        standard error.
        """
        if context.invoked_subcommand is not None:
            return
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
        plan = SHORT if short else LONG
        if rounds:
            plan = type(plan)(rounds, plan.run_s, plan.steps, plan.is_short)
        chosen = [each for each in sections if not only or each.name in only]
        print(head(describe()), end="", flush=True)
        report = run(chosen, plan, _tell, _show, real_time=real_time)
        print(foot(report), end="")
        if json_file:
            json_file.write_text(json.dumps(values(report), indent=2) + "\n")
        if plot:
            plot.write_text(drawing(report.machine, report.sections), encoding="utf-8")

    command.add_command(_generate)
    return command


def _tell(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


def _show(name: str, sentence: str, findings: Findings) -> None:
    print(section(name, sentence, findings), end="", flush=True)


@click.command("generate")
@click.option("--interface", required=True, help="To send on.")
@click.option("--mac", required=True, help="To send to.")
@click.option(
    "--flows",
    default=1000,
    show_default=True,
    type=click.IntRange(1, 100_000_000),
    help="That go on at a time.",
)
@click.option(
    "--new-share",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Of the frames, after the first of each flow, that open a flow.",
)
@click.option(
    "--size",
    default="60",
    show_default=True,
    type=click.Choice(list(_SIZES)),
    help="Bytes of a frame; imix: 60, 590 and 1,514 as 7 : 4 : 1.",
)
@click.option(
    "--rate", type=click.IntRange(1), help="Frames a second; as many as one CPU sends if not given."
)
@click.option("--seconds", default=1.0, show_default=True, type=click.FloatRange(0.001, 3600))
@click.option(
    "--seed", default=1, show_default=True, type=click.IntRange(1), help="Of the order of flows."
)
@click.option("--cpu", type=click.IntRange(0), help="To run on.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def _generate(
    interface: str,
    mac: str,
    flows: int,
    new_share: float,
    size: str,
    rate: int | None,
    seconds: float,
    seed: int,
    cpu: int | None,
    as_json: bool,
) -> None:
    """Send TCP frames for 10.10.10.60 port 80 to a MAC address.

    The first frames open one flow each, those after them belong to any flow, by chance; the same
    seed sends the same frames. Send only into a network that is yours.
    """
    load = Load(
        _parse_mac(mac),
        flows=flows,
        new_per_million=round(new_share * 1_000_000),
        frame_bytes=_SIZES[size],
        rate=rate or 0,
        seconds=seconds,
        seed=seed,
    )
    if cpu is not None and cpu not in os.sched_getaffinity(0):
        raise click.BadParameter(f"CPU {cpu} is not one this process may use", param_hint="--cpu")
    try:
        index = socket.if_nametoindex(interface)
    except OSError:
        raise click.BadParameter(f"there is no {interface}", param_hint="--interface") from None
    try:
        sent = generate(load, index, cpu=cpu)
    except PermissionError as error:
        raise BenchError("packet sockets need CAP_NET_RAW: run it as root") from error
    if as_json:
        print(json.dumps(asdict(sent) | {"rate": sent.rate}))
        return
    print(
        f"{sent.frames:,} frames, {sent.bytes:,} bytes, {sent.opened:,} flows opened in"
        f" {sent.seconds:.3f} s: {sent.rate:,.0f} frames/s;"
        f" {sent.cpu_s / sent.seconds:.0%} of a CPU, waited {sent.waited_s:.3f} s for it"
    )
    if rate and sent.late:
        print(f"{sent.late:,} frames were due and not sent: it was too slow for this rate")


def _parse_mac(text_: str) -> bytes:
    try:
        mac = bytes.fromhex(text_.replace(":", ""))
    except ValueError:
        mac = b""
    if len(mac) != 6:
        raise click.BadParameter(f"{text_} is no MAC address", param_hint="--mac")
    return mac


command = made(SECTIONS)
