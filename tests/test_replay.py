"""Captures decided by the same core: every kind of file, whose frames count, what is said."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from ipaddress import ip_address
from pathlib import Path

import captures
import pytest
from captures import BEGAN_NS, Frame
from click.testing import CliRunner, Result
from director import CLIENT_MAC, SECOND_NS, VIRTUAL_MAC, ipv4, tcp, udp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dr_forwarder.cli.program import program
from dr_forwarder.config import Config, ConfigError, load
from dr_forwarder.config.model import Fallback
from dr_forwarder.records import Filter
from dr_forwarder.replay import Replay, Summary, Turn, parse_events
from dr_forwarder.vlan import Vlan

CONFIG_FILE = Path(__file__).parent / "data" / "tutorial.cf"
CONFIG = load(CONFIG_FILE)
VIP, ONE, TWO = "10.10.10.60", ip_address("10.10.10.62"), ip_address("10.10.10.63")
MAC_ONE, MAC_TWO = bytes.fromhex("020000000062"), bytes.fromhex("020000000063")
FLAGS = ("S", "A", "PA", "FA", "A")


def arp_reply(mac: bytes, address: str) -> bytes:
    asked = ip_address("10.10.10.61").packed
    body = bytes.fromhex("0001080006040002") + mac + ip_address(address).packed
    return VIRTUAL_MAC + mac + b"\x08\x06" + body + VIRTUAL_MAC + asked


def session(*, clients: int = 4, apart_ns: int = 1_000_000) -> list[Frame]:
    """Both servers say their MAC address; clients come, ask and go."""
    frames = [arp_reply(MAC_ONE, str(ONE)), arp_reply(MAC_TWO, str(TWO))]
    for port in range(40000, 40000 + clients):
        frames += [tcp(flags, f"10.10.10.10:{port}", f"{VIP}:80") for flags in FLAGS]
    return [(BEGAN_NS + n * apart_ns, frame) for n, frame in enumerate(frames)]


SESSION = session()

Write = Callable[[bytes], Path]


@pytest.fixture
def written(tmp_path: Path) -> Write:
    def write(data: bytes) -> Path:
        path = tmp_path / "capture"
        path.write_bytes(data)
        return path

    return write


def summary_of(path: Path, config: Config = CONFIG, **options: object) -> Summary:
    with Replay(config, path, **options) as run:  # type: ignore[arg-type]
        summary = run.run()
    assert summary.report.frames == sum(summary.verdicts.values())
    return summary


def verdicts(summary: Summary) -> dict[str, int]:
    return {name: count for name, count in summary.verdicts.items() if count}


def replayed(*arguments: str | Path, ends: int = 0) -> Result:
    arguments = ("replay", *arguments, "--config", CONFIG_FILE)
    result = CliRunner().invoke(program, [str(each) for each in arguments])
    assert result.exit_code == ends, result.output
    return result


# ---- Files ----

ORDERS = ("<", ">")
KINDS = {
    f"{make.__name__} {'ns' if ns else 'us'} {order}": make(SESSION, order=order, nanoseconds=ns)
    for make in (captures.pcap, captures.pcapng)
    for order in ORDERS
    for ns in (False, True)
}


@pytest.mark.parametrize("data", KINDS.values(), ids=KINDS)
def test_every_kind_of_capture_says_the_same(written: Write, data: bytes) -> None:
    summary = summary_of(written(data))
    assert verdicts(summary) == {"forwarded": 20, "arp_other": 2}
    assert summary.problem is None
    assert summary.report.took_ns == 21 * 1_000_000
    assert summary.report.began_ns == BEGAN_NS
    assert [count.counters.packets for count in summary.servers] == [10, 10]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(captures.pcap(SESSION, link=captures.COOKED), "cooked (SLL)", id="SLL"),
        pytest.param(captures.pcap(SESSION, link=captures.COOKED_2), "cooked (SLL2)", id="SLL2"),
        pytest.param(captures.pcapng(SESSION, link=captures.COOKED), "cooked (SLL)", id="pcapng"),
        pytest.param(captures.pcap(SESSION, link=captures.RAW_IP), "raw IP", id="raw IP"),
        pytest.param(captures.pcap(SESSION, link=147), "link type 147", id="private"),
        pytest.param(b"\x1f\x8b\x08" + bytes(9), "gunzip", id="gzip"),
        pytest.param(b"\x28\xb5\x2f\xfd" + bytes(9), "unzstd", id="zstd"),
        pytest.param(b"no capture at all", "neither pcap nor pcapng", id="something else"),
        pytest.param(b"", "is empty", id="nothing"),
        pytest.param(captures.pcap([], version=3), "version 3", id="another version"),
        pytest.param(captures.section() + captures.packet(0, b""), "not described", id="interface"),
    ],
)
def test_what_is_no_capture_of_ethernet_frames_is_refused(
    written: Write, data: bytes, reason: str
) -> None:
    result = replayed(written(data), ends=1)
    assert reason in result.output


def test_a_damaged_length_ends_it_with_all_that_came_before(written: Write) -> None:
    data = captures.pcap(SESSION[:5]) + b"\xff" * 16
    summary = summary_of(written(data))
    assert summary.report.frames == 5
    assert summary.problem is not None
    assert "damaged at byte" in summary.problem


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.sampled_from(list(KINDS.values())), share=st.floats(0, 1))
def test_a_truncated_capture_is_replayed_up_to_there(
    written: Write, data: bytes, share: float
) -> None:
    whole = summary_of(written(data))
    cut = int(len(data) * share)
    summary = summary_of(written(data[:cut]))
    assert summary.report.frames <= whole.report.frames
    assert summary.report.offset <= cut
    if cut < len(data) and summary.problem is None:
        # It was cut between two frames.
        assert summary.report.offset == cut
    if summary.report.frames < whole.report.frames:
        assert summary.report.changed == 0


def test_a_truncated_capture_is_told_of_and_is_no_failure(written: Write) -> None:
    result = replayed(written(captures.pcap(SESSION)[:-1]), "--summary")
    assert "is cut off: its last frame, from byte" in result.output
    assert "21 frames in" in result.output


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    head=st.sampled_from([captures.pcap([]), captures.pcapng([]), b""]),
    data=st.binary(max_size=300),
)
def test_any_bytes_are_survived(written: Write, head: bytes, data: bytes) -> None:
    summary_of(written(head + data))


def test_it_reads_frames_that_lie_across_its_pieces(written: Write) -> None:
    """The file is read in pieces of 4 MiB."""
    jumbo = [(at_ns, frame + bytes(200_000)) for at_ns, frame in session(clients=12)]
    data = captures.pcapng(jumbo)
    assert len(data) > 2 * (4 << 20)
    summary = summary_of(written(data), mtu=1500)
    assert summary.report.frames == 62
    assert summary.report.joined == 62


# ---- Always the same ----


def test_two_runs_are_byte_identical(written: Write, tmp_path: Path) -> None:
    capture = written(captures.pcapng(session(clients=50)))
    outputs = []
    for name in ("first", "second"):
        out = tmp_path / name
        result = replayed(capture, "--json", "--write", out)
        outputs.append((result.output, out.read_bytes()))
    assert outputs[0] == outputs[1]
    assert len(outputs[0][1]) > 10_000


def test_what_is_written_does_not_depend_on_what_is_shown(written: Write, tmp_path: Path) -> None:
    capture = written(captures.pcap(SESSION))
    for name, options in {"a": ["--summary"], "b": ["--json", "--first"], "c": ["--quiet"]}.items():
        replayed(capture, *options, "--write", tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "c").read_bytes()


# ---- Which frames are the director's ----


def test_what_the_captured_director_sent_and_the_answers_are_not_decided_again(
    written: Write,
) -> None:
    """On the director itself each forwarded frame is captured twice, and answers pass as well."""
    frames = []
    for at_ns, frame in SESSION:
        frames.append((at_ns, frame))
        if frame[12:14] == b"\x08\x00":
            frames.append((at_ns, MAC_ONE + VIRTUAL_MAC + frame[12:]))
            frames.append((at_ns, CLIENT_MAC + MAC_ONE + frame[12:]))
    summary = summary_of(written(captures.pcap(frames)))
    assert verdicts(summary) == {
        "forwarded": 20,
        "own_frame": 20,
        "not_for_us": 20,
        "arp_other": 2,
    }


def test_mac_addresses_are_the_captures_own_or_made_up(written: Write) -> None:
    summary = summary_of(written(captures.pcap(SESSION[1:])))
    assert summary.director.mac == VIRTUAL_MAC
    assert summary.director.source == "frames"
    assert summary.macs[TWO].mac == MAC_TWO
    assert summary.macs[TWO].source == "arp"
    assert summary.macs[ONE].mac == bytes.fromhex("02000a0a0a3e")
    assert summary.macs[ONE].source == "made up"


def test_given_mac_addresses_count_more_than_the_captures(written: Write, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--server-mac", f"{ONE}=02:00:00:00:00:aa", "--mac", VIRTUAL_MAC.hex(":"))
    result = replayed(written(captures.pcap(SESSION)), "--summary", "--write", out, *options)
    assert "MAC 02:00:00:00:00:aa (given)" in result.output
    assert f"The director is {VIRTUAL_MAC.hex(':')} (given)." in result.output
    assert out.read_bytes().count(bytes.fromhex("0200000000aa") + VIRTUAL_MAC) == 10


def test_a_capture_without_the_vips_mac_address_says_what_is_missing(written: Write) -> None:
    result = replayed(written(captures.pcap(SESSION[:2])), "--summary")
    assert "does not show the VIPs' MAC address" in result.output


def test_only_frames_of_the_configured_vlan_count(written: Write) -> None:
    tagged = [(at_ns, Vlan((7,)).tag(frame)) for at_ns, frame in SESSION]
    path = written(captures.pcap(tagged))
    in_vlan = replace(CONFIG, settings=replace(CONFIG.settings, vlan=Vlan((7,))))
    assert verdicts(summary_of(path, in_vlan)) == {"forwarded": 20, "arp_other": 2}
    assert verdicts(summary_of(path)) == {"wrong_vlan": 22}
    result = replayed(path, "--vlan", "7", "--summary")
    assert "20 forwarded" in result.output
    assert "must be in 1..4094" in replayed(path, "--vlan", "9999", ends=2).output


def test_frames_captured_with_offloads_are_forwarded(written: Write) -> None:
    """Super-frames, and checksums that the network card would have finished: those stay as they
    are."""
    joined = tcp("PA", "10.10.10.10:40000", f"{VIP}:80", bytes(30_000))
    frames = [*SESSION[:4], (BEGAN_NS + SECOND_NS, joined)]
    summary = summary_of(written(captures.pcap(frames)))
    assert verdicts(summary) == {"forwarded": 3, "arp_other": 2}
    assert summary.report.joined == 1


def test_a_frame_of_which_only_a_part_was_captured_is_truncated(written: Write) -> None:
    frames = [(BEGAN_NS, tcp("S", "10.10.10.10:40000", f"{VIP}:80", bytes(200)))]
    summary = summary_of(written(captures.pcap(frames, snap=96)))
    assert verdicts(summary) == {"truncated": 1}


def test_fragments_that_waited_are_sent_with_a_reason(written: Write) -> None:
    config = replace(CONFIG, virtuals=(replace(CONFIG.virtuals[0], protocol="udp", port=53),))
    whole = udp("10.10.10.10:4000", f"{VIP}:53", bytes(2000))[34:]
    later = ipv4(17, "10.10.10.10", VIP, whole[1480:], fragment=185)
    first = ipv4(17, "10.10.10.10", VIP, whole[:1480], fragment=0x2000)
    out = BytesIO()
    with Replay(config, written(captures.pcap([(BEGAN_NS, later), (BEGAN_NS, first)]))) as run:
        summary = run.run(write=out)
    assert verdicts(summary) == {"forwarded": 2}
    assert summary.report.sent == 2
    assert b"had come before its first one" in out.getvalue()


# ---- The clock ----


def test_time_outs_go_by_the_captures_clock(written: Write) -> None:
    late = tcp("A", "10.10.10.10:40000", f"{VIP}:80")
    frames = [*SESSION[:4], (SESSION[3][0] + 899 * SECOND_NS, late)]
    assert verdicts(summary_of(written(captures.pcap(frames))))["forwarded"] == 3
    frames[-1] = (SESSION[3][0] + 902 * SECOND_NS, late)
    assert verdicts(summary_of(written(captures.pcap(frames))))["no_connection"] == 1


def test_time_that_goes_backwards_or_leaps_is_told_of(written: Write) -> None:
    at_ns = [0, -5, 1, 100 * 86400, 100 * 86400 + 1]
    frames = [
        (BEGAN_NS + at * SECOND_NS, tcp("S", f"10.10.10.10:{4000 + n}", f"{VIP}:80"))
        for n, at in enumerate(at_ns)
    ]
    report = summary_of(written(captures.pcap(frames))).report
    assert (report.backwards, report.leaps) == (1, 1)
    assert report.took_ns == (1 + 60 * 86400 + 1) * SECOND_NS


# ---- The time line ----


def test_a_server_that_goes_down_gets_nothing_until_it_is_up_again(written: Write) -> None:
    turns = parse_events("0.010 10.10.10.62:80 down\n0.030 10.10.10.62 up # again", CONFIG)
    frames = [
        (BEGAN_NS + n * 5_000_000, tcp("S", f"10.10.10.10:{4000 + n}", f"{VIP}:80"))
        for n in range(10)
    ]
    with Replay(CONFIG, written(captures.pcap(frames)), turns=turns) as run:
        servers = [record.server for record in run.records()]
        summary = run.summary()
    assert servers[:2] == [TWO, ONE]
    assert servers[2:6] == [TWO] * 4
    assert Counter(servers[6:]) == {ONE: 2, TWO: 2}
    # What it got before it was taken out counts too.
    connections = {count.server: count.counters.connections for count in summary.servers}
    assert connections == Counter(servers)
    assert summary.turns_left == 0


def test_a_flow_that_changes_its_server_is_named(written: Write) -> None:
    """With expire_nodest_conn its next SYN is a new connection."""
    tuning = replace(CONFIG.settings.tuning, expire_nodest_conn=1)
    config = replace(CONFIG, settings=replace(CONFIG.settings, tuning=tuning))
    turns = (Turn(5_000_000, TWO, None, up=False),)
    syn = tcp("S", "10.10.10.10:4000", f"{VIP}:80")
    frames = [(BEGAN_NS + n * 10_000_000, syn) for n in range(3)]
    report = summary_of(written(captures.pcap(frames)), config, turns=turns).report
    assert report.changed == 1
    change = report.changes[0]
    assert (change.before, change.after, change.client_port) == (TWO, ONE, 4000)


def test_turns_after_the_last_frame_are_told_of(written: Write, tmp_path: Path) -> None:
    events = tmp_path / "events"
    events.write_text("99 10.10.10.62:80 down\n")
    result = replayed(written(captures.pcap(SESSION)), "--summary", "--events", events)
    assert "1 turns of the time line come after the last frame." in result.output


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("soon 10.10.10.62:80 down", "events:1: error: 'soon 10.10.10.62:80 down': must be like"),
        ("\n1 10.10.10.62:80 gone", "events:2: error"),
        ("1 10.10.10.62:81 down", "10.10.10.62:81 is no real server"),
        ("1 10.10.10.300:80 down", "must be like"),
        ("1 10.10.10.99 up", "there are 10.10.10.62:80, 10.10.10.63:80"),
    ],
)
def test_a_time_line_that_cannot_be_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_events(text, CONFIG)
    assert reason in str(refused.value)


# ---- What is shown ----


def test_records_say_what_the_scheduler_saw_and_chose(written: Write) -> None:
    with Replay(CONFIG, written(captures.pcap(SESSION))) as run:
        records = list(run.records(Filter(first_only=True)))
    assert [record.server for record in records] == [TWO, ONE, TWO, ONE]
    first = records[0]
    assert (first.frame, first.by, first.scheduler) == (3, "scheduler", "wrr")
    assert [candidate.address for candidate in first.candidates] == [TWO, ONE]
    assert first.chosen == 0
    assert (first.state_before, first.state_after) == (None, "SYN_RECV")
    assert first.before == VIRTUAL_MAC + CLIENT_MAC
    assert first.after == MAC_TWO + VIRTUAL_MAC
    assert first.at_ns == SESSION[2][0]
    assert "wrr chose 10.10.10.63" in first.why


def test_json_is_a_line_for_each_record_and_one_for_the_summary(written: Write) -> None:
    result = replayed(written(captures.pcap(SESSION)), "--json", "--verdict", "forwarded")
    *records, last = [json.loads(line) for line in result.output.splitlines()]
    assert len(records) == 20
    assert records[0]["server"] == str(TWO)
    assert last["summary"]["verdicts"]["forwarded"] == 20


def test_lines_have_one_frame_each(written: Write) -> None:
    lines = replayed(written(captures.pcap(SESSION))).output.splitlines()
    assert lines[2].split()[:3] == ["3", "0.002000", "forwarded"]
    assert "tcp 10.10.10.10:40000 > 10.10.10.60:80" in lines[2]
    assert "        22 frames in 0.021000 s, of which" in lines


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--client", "10.10.10.0/24"], 20),
        (["--client", "10.10.11.1"], 0),
        (["--service", f"{VIP}:80"], 20),
        (["--service", f"udp:{VIP}:80"], 0),
        (["--server", str(ONE)], 10),
        (["--verdict", "arp_other", "--verdict", "forwarded"], 22),
        (["--first"], 4),
        (["--sample", "5"], 4),
    ],
)
def test_records_can_be_chosen(written: Write, options: list[str], count: int) -> None:
    result = replayed(written(captures.pcap(SESSION)), "--json", *options)
    assert len(result.output.splitlines()) - 1 == count


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--verdict", "lost"], "--verdict: 'lost' is none; there are forwarded"),
        (["--client", "somebody"], "--client: "),
        (["--service", "10.0.0.1:http"], "is no service"),
        (["--sample", "0"], "--sample: must be a whole number"),
        (["--server-mac", "10.0.0.1"], "must be like 10.0.0.2=02:00"),
        (["--mac", "02:00"], "is no MAC address"),
    ],
)
def test_what_cannot_be_chosen_is_a_usage_error(
    written: Write, options: list[str], reason: str
) -> None:
    assert reason in replayed(written(captures.pcap(SESSION)), *options, ends=2).output


def test_what_cannot_be_read_or_written_is_one_line(written: Write, tmp_path: Path) -> None:
    capture = written(captures.pcap(SESSION))
    for arguments, reason in (
        ((tmp_path / "missing",), "missing: No such file or directory"),
        ((capture, "--write", tmp_path / "no" / "where"), "where: No such file or directory"),
        ((capture, "--events", tmp_path / "none"), "none: No such file or directory"),
        ((capture, "--write", capture), "is the capture itself"),
    ):
        result = replayed(*arguments, ends=1)
        assert reason in result.output + str(result.exception)
    assert capture.read_bytes() == captures.pcap(SESSION)


def test_a_fallback_that_is_the_directors_host_gets_its_frames(written: Write) -> None:
    fallback = Fallback(ip_address("127.0.0.1"), 80)
    virtual = replace(CONFIG.virtuals[0], fallback=fallback)
    turns = tuple(Turn(0, address, None, up=False) for address in (ONE, TWO))
    path = written(captures.pcap(SESSION))
    with Replay(replace(CONFIG, virtuals=(virtual,)), path, turns=turns) as run:
        records = list(run.records(Filter(first_only=True)))
        summary = run.summary()
    assert {str(record.server) for record in records} == {"127.0.0.1"}
    assert "this host" in records[0].why
    assert verdicts(summary)["forwarded"] == 20


# ---- Wireshark ----


def test_tshark_shows_the_reason_beside_each_frame(written: Write, tmp_path: Path) -> None:
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("tshark is not installed")
    out = tmp_path / "out.pcapng"
    replayed(written(captures.pcap(SESSION, nanoseconds=True)), "--quiet", "--write", out)
    fields = ["frame.time_epoch", "eth.src", "eth.dst", "tcp.srcport", "frame.comment"]
    asked = [part for field in fields for part in ("-e", field)]
    shown = subprocess.run(
        [tshark, "-r", out, "-T", "fields", *asked],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.splitlines()
    assert len(shown) == 20
    at_s, source, target, port, comment = shown[0].split("\t")
    assert at_s == "1700000000.002000000"
    assert (source, target, port) == (VIRTUAL_MAC.hex(":"), MAC_TWO.hex(":"), "40000")
    assert comment.startswith("A new connection: wrr chose 10.10.10.63 (weight 1, 0 active")


# ---- Mixed captures ----


def test_frames_of_other_interfaces_are_left_out_and_counted_by_name(written: Write) -> None:
    raw = [captures.packet(at_ns // 1000, frame[14:], number=1) for at_ns, frame in SESSION]
    ethernet = [captures.packet(at_ns // 1000, frame) for at_ns, frame in SESSION]
    head = captures.section() + captures.interface() + captures.interface(link=captures.RAW_IP)
    pairs = zip(raw, ethernet, strict=True)
    path = written(head + b"".join(each for pair in pairs for each in pair))
    summary = summary_of(path)
    assert verdicts(summary) == {"forwarded": 20, "arp_other": 2}
    assert summary.problem is None
    assert summary.report.foreign == ((captures.RAW_IP, len(SESSION)),)
    result = replayed(path, "--summary")
    assert (
        f"Left out, because they are not Ethernet: {len(SESSION)} frames that are raw IP"
        in result.output
    )


def test_sections_may_differ_in_everything(written: Write) -> None:
    cooked = captures.pcapng(SESSION, link=captures.COOKED, order=">")
    whole = captures.pcapng(SESSION[:12]) + cooked
    whole += captures.pcapng(SESSION[12:], order=">", nanoseconds=True)
    summary = summary_of(written(whole))
    assert verdicts(summary) == {"forwarded": 20, "arp_other": 2}
    assert summary.report.foreign == ((captures.COOKED, len(SESSION)),)


def test_more_link_types_than_are_told_apart_are_counted_all_the_same(written: Write) -> None:
    links = range(200, 212)
    head = captures.section() + captures.interface()
    head += b"".join(captures.interface(link=link) for link in links)
    frames = [captures.packet(1, b"x" * 20, number=n) for n in range(1, len(links) + 1)]
    whole = head + b"".join(frames) + captures.packet(2, SESSION[2][1])
    foreign = summary_of(written(whole)).report.foreign
    assert (len(foreign), sum(count for _, count in foreign)) == (8, len(links))


# ---- MAC addresses that are made up ----

SERVERS = st.lists(
    st.sampled_from(
        [
            "10.10.10.62",
            "10.10.10.63",
            "2001:db8:1::2",
            "2001:db8:2::2",
            "2001:db8::a0a:a3e",
            "fd00::1:2",
            "2001:db8:3::a0a:a3f",
            "fd01::1:2",
        ]
    ),
    unique=True,
    min_size=1,
)
MACS = st.sampled_from(
    f"{VIRTUAL_MAC.hex()} 02000a0a0a3e 02000a0a0a3f 020000000002 020000000003 02000a0a0a40"
    " 00005e00013c 020000010002 02005e00013c".split()
).map(bytes.fromhex)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(SERVERS, st.lists(MACS, max_size=6), st.booleans(), st.none() | MACS)
def test_nobody_else_has_a_mac_address_that_is_made_up(
    tmp_path: Path, servers: list[str], seen: list[bytes], to_vip: bool, mac: bytes | None
) -> None:
    (virtual,) = CONFIG.virtuals
    real = tuple(replace(virtual.real[0], address=ip_address(each)) for each in servers)
    config = replace(CONFIG, virtuals=(replace(virtual, real=real),))
    frame = tcp("S", "10.10.10.10:40000", "10.99.0.1:80")[12:]
    frames = [each + CLIENT_MAC + frame for each in seen]
    frames += [VIRTUAL_MAC + each + frame for each in seen[:2]]
    if to_vip:
        frames.append(tcp("S", "10.10.10.10:40000", f"{VIP}:80"))
    path = tmp_path / "capture"
    path.write_bytes(captures.pcap([(BEGAN_NS, each) for each in frames]))
    with Replay(config, path, mac=mac) as run:
        summary = run.summary()
    taken = {each[:6] for each in frames} | {each[6:12] for each in frames}
    made_up = [each.mac for each in summary.macs.values() if each.source == "made up"]
    assert len(set(made_up)) == len(made_up) == len(servers)
    assert not {*made_up} & {summary.director.mac, *taken}
    if summary.director.source == "made up":
        assert summary.director.mac not in taken
