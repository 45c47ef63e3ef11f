"""A capture of the director's interface, replayed: the live director's decisions once more."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import captures
import pytest
from running import BOTH_FAMILIES, UNCHECKED, VIP4, VIP6, Running, running, wait_until

from dr_forwarder.config import load
from dr_forwarder.lab import Lab
from dr_forwarder.lab.observe import Frame
from dr_forwarder.records import Record
from dr_forwarder.replay import Replay, Summary

CONFIG = (
    UNCHECKED.replace("10.10.10.62:80 gate", "10.10.10.62:80 gate 3")
    + f"virtual6=[{VIP6}]:80\n"
    + "".join(f"        real6=[fd77::{last}]:80 gate\n" for last in (62, 63))
    + "        scheduler=wlc\n        checktype=on\n        persistent=300\n"
)
NOT_LET_IN = {"own_frame", "not_for_us", "arp_other", "icmp_other"}
"""Frames of the director's own and of its host: on its interface, but not in its ring."""
VIRTUAL_MAC = bytes.fromhex("00005e00013c")
Decisions = dict[tuple[str, str, int], str]


@pytest.fixture
def both(possible: None) -> Iterator[Lab]:
    with Lab(BOTH_FAMILIES) as lab:
        yield lab


def capture_of(frames: Sequence[Frame], path: Path) -> Path:
    times = (time.time_ns() + n * 100_000 for n in range(len(frames)))
    path.write_bytes(captures.pcap(zip(times, (frame.data for frame in frames), strict=True)))
    return path


def is_of_its_host(frame: Frame) -> bool:
    """Such as its own question who has the VIP, which never comes to its ring."""
    return frame.outgoing and frame.data[6:12] != VIRTUAL_MAC


def let_in(verdicts: Mapping[str, int]) -> dict[str, int]:
    return {name: n for name, n in verdicts.items() if n and name not in NOT_LET_IN}


def busy(lab: Lab) -> None:
    for _ in range(6):
        lab.get(address=VIP4)
    for _ in range(3):
        lab.get(address=VIP6)
    lab.upload(300_000)
    with lab.namespace("client").socket(2, 2) as stray:
        for port in (9, 10, 11):
            stray.sendto(b"to no service", (str(VIP4), port))


def live_decisions(director: Running) -> Decisions:
    return {
        (str(each.client), str(each.address), each.client_port): str(each.server)
        for each in director.client.connections()
    }


def test_a_capture_gives_the_decisions_that_the_live_director_gave(
    both: Lab, tmp_path: Path
) -> None:
    frames: list[Frame] = []

    def replay() -> tuple[list[Record], Summary]:
        capture = capture_of(frames, tmp_path / "capture.pcap")
        with Replay(load(tmp_path / "ldirectord.cf"), capture) as run:
            return list(run.records()), run.summary()

    # What goes by AF_XDP no tap sees.
    by = ("--io", "packet")
    with both.tap("director") as tap, running(both, tmp_path, CONFIG, *by, servers=4) as director:

        def agree() -> bool:
            """The tap may be ahead of the director, and frames come until its end."""
            frames.extend(frame for frame in tap.frames() if not is_of_its_host(frame))
            live = let_in(director.client.stats().verdicts)
            return live == let_in(replay()[1].verdicts)

        busy(both)
        wait_until(agree, "the replay has the live director's verdicts")
        live = live_decisions(director)
    records, summary = replay()
    replayed = {
        (str(each.client), str(each.address), each.client_port): str(each.server)
        for each in records
        if each.verdict == "forwarded"
    }
    templates = {flow for flow in live if flow[2] == 0}
    assert len(templates) == 1
    assert replayed == {flow: server for flow, server in live.items() if flow not in templates}
    assert len(replayed) == 10
    assert summary.verdicts["no_service"] == 3
    assert summary.report.changed == 0
    assert {each.source for each in summary.macs.values()} == {"arp"}


def test_trace_shows_what_the_live_director_decides(own_lab: Lab, tmp_path: Path) -> None:
    with running(own_lab, tmp_path, UNCHECKED, servers=2) as director:
        argv = [*(sys.executable, "-m", "dr_forwarder", "trace", "--json", "--first")]
        argv += ["--count", "4", "--state-dir", str(director.state_dir)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as trace:

            def ended() -> bool:
                own_lab.get()
                return trace.poll() is not None

            wait_until(ended, "the trace has seen four connections begin")
            out, _ = trace.communicate(timeout=20)
        records = [json.loads(line) for line in out.splitlines()]
        live = {each.client_port: str(each.server) for each in director.client.connections()}
    assert {record["by"] for record in records} == {"scheduler"}
    assert [record["server"] for record in records] == [
        live[record["client_port"]] for record in records
    ]
    assert len({record["server"] for record in records}) == 2
