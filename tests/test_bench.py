"""The benchmark: what it makes of its measurements, what its generator sends, how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from pyroute2 import IPRoute

from dr_forwarder.bench.errors import BenchError
from dr_forwarder.bench.judge import contention, highest, starvation
from dr_forwarder.bench.machine import describe
from dr_forwarder.bench.model import (
    Comparison,
    Curve,
    Findings,
    Section,
    Spread,
    Table,
    Value,
    spread,
)
from dr_forwarder.bench.native import generate
from dr_forwarder.bench.others import nftables_rules
from dr_forwarder.bench.plot import drawing
from dr_forwarder.bench.report import Report, foot, head, section, values
from dr_forwarder.bench.run import run
from dr_forwarder.bench.runs import Load, Run, Sent, Ticks, Usage
from dr_forwarder.bench.session import SHORT, Session
from dr_forwarder.bench.testbed import Testbed
from dr_forwarder.lab.namespace import Namespace

# ---- What is made of measurements ----

SENT = Sent(
    frames=1000,
    bytes=60_000,
    opened=0,
    late=0,
    samples=0,
    returned=0,
    seconds=1.0,
    cpu_s=1.0,
    waited_s=0.0,
    latencies_ns=(),
)
IDLE = Ticks(0.2, 0.3, 0.1, 0.4, 0.0)
QUIET = Run(SENT, 900, 900.0, Usage(IDLE, 0.6, 0.0))


def test_a_quiet_run_says_something_of_the_forwarder() -> None:
    assert contention(QUIET) == ""
    assert starvation(QUIET) == ""


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (replace(QUIET, sent=replace(SENT, waited_s=0.1)), "others had the generator's CPU"),
        (replace(QUIET, usage=Usage(IDLE, 0.6, 0.2)), "others had the forwarder's CPU for 20%"),
        (
            replace(QUIET, usage=Usage(replace(IDLE, stolen=0.2), 0.6, 0.0)),
            "the hypervisor took 17% of the forwarder's CPU",
        ),
    ],
    ids=["generator", "forwarder", "hypervisor"],
)
def test_a_run_beside_other_programs_is_refused_with_the_reason(run: Run, reason: str) -> None:
    assert reason in contention(run)


def test_a_forwarder_that_lost_nothing_had_not_always_frames_waiting() -> None:
    assert starvation(replace(QUIET, returned=1000)) == "the generator was the limit"


@pytest.mark.parametrize("true_rate", [0, 1, 499, 123_456, 999_999])
def test_the_search_finds_the_highest_rate_without_loss(true_rate: int) -> None:
    found = highest(lambda rate: rate <= true_rate, 1_000_000, 20)
    assert found <= true_rate
    assert true_rate - found <= 1


COST = Comparison(
    "cost",
    "ns",
    {
        "director": [Value(100.0), Value(None, "too loud"), Value(200.0)],
        "ring": [Value(90.0), Value(80.0), Value(100.0)],
        "none": [Value(None, "too loud")] * 3,
    },
    less_is_better=True,
    bars={"ring": 0.9},
)


def test_a_ratio_is_of_values_of_the_same_round_and_more_is_better() -> None:
    assert COST.ratio("ring") == Spread(0.5, pytest.approx(0.7), 0.9)
    assert replace(COST, less_is_better=False).ratio("ring") == spread([100 / 90, 2.0])


def test_there_is_no_ratio_to_what_was_refused() -> None:
    assert COST.ratio("none") is None


def test_the_report_says_bars_refusals_and_what_is_missing() -> None:
    findings = Findings(comparisons=(COST,), tables=(Table("t", ("a", "b"), (("c", "1"),)),))
    sections = {"costs": ("a sentence", findings)}
    report = Report(describe(), 0.0, False, 1.0, sections, {"ipvs": "no IPVS"}, "no sysfs")
    said = head(report.machine) + section("costs", *report.sections["costs"]) + foot(report)
    assert "0.50 - 0.70 - 0.90 x | 0.90 MISSED |" in said
    assert "director: 1 of 3 refused, too loud" in said
    assert "without ipvs: no IPVS" in said
    assert "the sender's CPU received for the forwarder: no sysfs" in said
    again = json.loads(json.dumps(values(report)))
    assert again["ratios"]["cost"]["ring"]["greatest"] == 0.9
    assert again["sections"]["costs"][1]["comparisons"][0]["values"]["none"][0]["number"] is None


def test_the_drawing_has_a_bar_for_what_was_measured_and_a_word_for_what_was_refused() -> None:
    curve = Curve("delay", "frames/s", "us", {"director": [(10.0, 5.0), (1000.0, 40.0)], "x": []})
    sections = {"costs": ("a sentence", Findings(comparisons=(COST,), curves=(curve,)))}
    root = ElementTree.fromstring(drawing(describe(), sections))
    said = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"director", "ring", "150", "90", "refused"} <= set(said)
    (line, empty) = root.iter("{http://www.w3.org/2000/svg}polyline")
    assert len(line.attrib["points"].split()) == 2
    assert not empty.attrib["points"]


def test_nftables_rules_share_the_flows_out_by_weight() -> None:
    rules = nftables_rules("eth0", (("02:00:00:00:00:0b", 3), ("02:00:00:00:00:0c", 1)))
    assert "mod 4 map { 0-2 : 02:00:00:00:00:0b, 3 : 02:00:00:00:00:0c }" in rules
    assert "ether saddr set 00:00:5e:00:01:3c " in rules, "the director's own"


# ---- The generator ----

MAC = bytes.fromhex("00005e00013c")


def sent_frames(load: Load) -> list[bytes]:
    """What arrives at the other end of a cable."""
    with Namespace("sender") as sender, Namespace("receiver") as receiver:
        sender.run(_cable, receiver.fd)
        receiver.run(_up, "there")
        tap = receiver.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        with tap:
            tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            tap.bind(("there", 0x0800))
            tap.settimeout(1.0)
            index = sender.run(socket.if_nametoindex, "here")
            sent = sender.run(generate, load, index)
            assert sent.frames == load.frames
            return [tap.recv(2048) for _ in range(load.frames)]


def _cable(other: int) -> None:
    with IPRoute() as netlink:
        peer = {"ifname": "there", "net_ns_fd": other}
        netlink.link("add", ifname="here", kind="veth", peer=peer)
    _up("here")


def _up(interface: str) -> None:
    with IPRoute() as netlink:
        netlink.link("set", index=netlink.link_lookup(ifname=interface)[0], state="up")


LOAD = Load(MAC, flows=20, frames=200, new_per_million=100_000, frame_bytes=0, seed=7, seconds=5.0)


def flow(frame: bytes) -> bytes:
    return frame[26:38]


def is_syn(frame: bytes) -> bool:
    return frame[47] == 0x02


@pytest.fixture(scope="module")
def frames(pair: Testbed) -> list[bytes]:
    return sent_frames(LOAD)


def test_the_same_seed_sends_the_same_frames(frames: list[bytes]) -> None:
    assert sent_frames(LOAD) == frames
    assert sent_frames(replace(LOAD, seed=8)) != frames


def test_a_flow_begins_with_a_syn_and_no_frame_is_of_another(frames: list[bytes]) -> None:
    opened: set[bytes] = set()
    for frame in frames:
        assert (flow(frame) in opened) != is_syn(frame)
        opened.add(flow(frame))
    assert all(map(is_syn, frames[:20]))
    assert 5 <= sum(map(is_syn, frames[20:])) <= 40, "a tenth of 180"


def test_frames_of_a_mix_have_its_three_lengths_and_true_checksums(frames: list[bytes]) -> None:
    assert {len(frame) for frame in frames} == {60, 590, 1514}
    for frame in frames:
        words = [int.from_bytes(frame[i : i + 2], "big") for i in range(14, 34, 2)]
        total = sum(words)
        assert (total & 0xFFFF) + (total >> 16) == 0xFFFF
        assert frame[:6] == MAC
        assert int.from_bytes(frame[16:18], "big") == (40 if len(frame) == 60 else len(frame) - 14)


def test_a_rate_is_kept(pair: Testbed) -> None:
    sent = pair.send(Load(b"", rate=1000, frames=100, seconds=5.0))
    assert sent.frames == 100
    assert sent.seconds >= 0.098


def test_a_load_without_flows_is_refused(pair: Testbed) -> None:
    with pytest.raises(OSError, match="EINVAL"):
        generate(Load(MAC, flows=0), 1)


# ---- The testbed ----


@pytest.mark.parametrize("name", ["director", "ring", "recvmmsg", "recv-send"])
def test_a_forwarder_of_ours_sends_every_frame_back(pair: Testbed, name: str) -> None:
    before = pair.returned()
    with pair.forwarder(name) as running:
        run = pair.run(running, Load(b"", flows=50, frames=100, rate=1000, sample_every=2))
        until_s = time.monotonic() + 10
        while pair.returned() < before + 100 and time.monotonic() < until_s:
            time.sleep(0.01)  # the machine is busy with something else
    assert pair.returned() >= before + 100
    assert run.sent.samples == 50
    assert 0 < len(run.sent.latencies_ns) == run.sent.returned <= 50
    assert running.said["forwarded"] >= 100
    assert running.said["connections"] == (50 if name == "director" else 0)


def test_what_the_host_lacks_is_told_with_the_reason(pair: Testbed) -> None:
    there, missing = pair.available()
    assert there[0] == "director"
    assert all(missing.values())


def test_a_section_that_cannot_be_measured_costs_the_others_nothing(pair: Testbed) -> None:
    def fail(session: Session) -> Findings:
        raise BenchError("no luck")

    sections = [Section("bad", "", fail), Section("good", "", lambda session: Findings())]
    shown: list[str] = []
    report = run(sections, SHORT, lambda told: None, lambda name, *rest: shown.append(name))
    assert shown == ["bad", "good"]
    assert report.sections["bad"][1].notes == ("not measured: no luck",)


def in_session(leader: int) -> list[str]:
    """Names of the processes in a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            name, _, rest = stat.read_text().rpartition(")")
            if int(rest.split()[3]) == leader:
                found.append(name)
    return found


def test_an_interrupted_benchmark_leaves_no_process_behind() -> None:
    argv = [sys.executable, "-m", "dr_forwarder", "bench", "--short", "--only", "rates"]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    assert process.stderr.readline(), "progress is told"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert not in_session(process.pid)


def test_the_generator_is_a_command(pair: Testbed) -> None:
    argv = [sys.executable, "-m", "dr_forwarder", "bench", "generate", "--interface", "bench0"]
    argv += ["--mac", MAC.hex(":"), "--seconds", "0.1", "--rate", "1000", "--json"]
    said = json.loads(pair.program(argv))
    assert said["frames"] <= 101
    assert said["opened"] == said["frames"]
