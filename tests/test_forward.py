"""One frame, one verdict: the cases of frames.py, and what holds for any bytes at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from director import CLIENT, MTU, VIP, VIRTUAL_MAC, Director, service, tcp, udp
from frames import FRAMES, WEB, Case, furnish
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether

from dr_forwarder.dataplane import VERDICTS, Decision, Engine
from dr_forwarder.table import Connection, Key, Operation, Stats

SENT = {"forwarded", "answered"}


@pytest.fixture
def director() -> Iterator[Director]:
    with Director() as director:
        furnish(director)
        yield director


def forward(director: Director, case: Case) -> Decision:
    return director.engine.forward(
        case.frame,
        now_ns=director.now_ns,
        length=case.length,
        gso_size=case.gso_size,
        tagged=case.tagged,
    )


def consistent(engine: Engine) -> Stats:
    stats = engine.stats()
    assert stats.frames == sum(stats.verdicts.values())
    assert stats.created - stats.expired == stats.connections
    return stats


# ---- The cases ----


@pytest.mark.parametrize("case", FRAMES, ids=lambda case: case.sentence)
def test_a_frame_ends_in_its_verdict(case: Case, director: Director) -> None:
    before = consistent(director.engine)
    decision = forward(director, case)
    after = consistent(director.engine)

    assert decision.verdict == case.verdict
    assert after.frames == before.frames + 1
    assert after.verdicts[case.verdict] == before.verdicts[case.verdict] + 1
    assert after.bytes - before.bytes == (case.length or len(case.frame))
    if case.verdict == "answered":
        return
    if case.to is None:
        assert decision.frame == case.frame
    else:
        assert decision.frame == case.to + VIRTUAL_MAC + case.frame[12:]


def test_every_verdict_has_a_case(director: Director) -> None:
    """Four need more than one frame and have tests of their own."""
    others = {
        "server_removed": "test_connections.py",
        "table_full": "test_connections.py",
        "send_failed": "test_engine.py",
    }
    assert {case.verdict for case in FRAMES} | set(others) == set(VERDICTS)


def test_an_answer_says_where_the_vip_is(director: Director) -> None:
    question = next(case for case in FRAMES if case.sentence == "a question for the VIP")
    asked = Ether(question.frame)
    answer = Ether(forward(director, question).frame)

    assert (answer.dst, answer.src) == (asked.src, VIRTUAL_MAC.hex(":"))
    assert (answer[ARP].op, answer[ARP].hwsrc, answer[ARP].psrc) == (2, VIRTUAL_MAC.hex(":"), VIP)
    assert (answer[ARP].hwdst, answer[ARP].pdst) == (asked[ARP].hwsrc, asked[ARP].psrc)


@pytest.mark.parametrize("case", FRAMES, ids=lambda case: case.sentence)
def test_every_beginning_of_a_frame_is_survived(case: Case, director: Director) -> None:
    for length in range(min(len(case.frame), 128)):
        decision = director.engine.forward(case.frame[:length], now_ns=director.now_ns)
        assert decision.verdict not in SENT or length >= 34
        if decision.verdict not in SENT:
            assert decision.frame == case.frame[:length]
    consistent(director.engine)


def test_bytes_above_ethernet_are_counted_without_padding(director: Director) -> None:
    before = director.row(WEB).counters
    director.send(tcp("S", f"{CLIENT}:1", f"{VIP}:80", b"x" * 10) + bytes(20))
    after = director.row(WEB).counters
    assert after.packets == before.packets + 1
    assert after.bytes == before.bytes + 50


@pytest.mark.parametrize("flags", ["S", "A", "FA", "R", "PA", "", "SFRPAUEC"])
def test_the_quick_builder_builds_what_scapy_builds(flags: str) -> None:
    ether = Ether(dst=VIRTUAL_MAC.hex(":"), src="02:00:00:00:00:01")
    packet = IP(src=CLIENT, dst=VIP, flags="DF")
    segment = TCP(sport=1000, dport=80, seq=1, ack=1, flags=flags, chksum=0)
    datagram = UDP(sport=1000, dport=53, chksum=0)
    assert tcp(flags, f"{CLIENT}:1000", f"{VIP}:80", b"data") == bytes(
        ether / packet / segment / b"data"
    )
    assert udp(f"{CLIENT}:1000", f"{VIP}:53", b"data") == bytes(ether / packet / datagram / b"data")


# ---- Any bytes ----

whole_frames = st.sampled_from([case.frame for case in FRAMES if len(case.frame) < 200])


@st.composite
def mutated(draw: Any) -> bytes:
    """A frame that was valid once: bytes changed, cut out, or put in."""
    frame = bytearray(draw(whole_frames))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(frame)))
        gone = draw(st.integers(0, 3))
        frame[at : at + gone] = draw(st.binary(max_size=3))
    return bytes(frame)


@st.composite
def to_us(draw: Any) -> bytes:
    """Random bytes behind a header that leads them deep into the core."""
    start = VIRTUAL_MAC + draw(st.binary(min_size=6, max_size=6))
    kind = draw(
        st.sampled_from([b"\x08\x00\x45", b"\x08\x00", b"\x08\x06\x00\x01\x08\x00\x06\x04"])
    )
    return start + kind + draw(st.binary(max_size=80))


@settings(max_examples=400, deadline=None)
@given(frames=st.lists(st.binary(max_size=120) | mutated() | to_us(), min_size=1, max_size=20))
def test_any_bytes_are_survived_and_nothing_above_ethernet_changes(frames: list[bytes]) -> None:
    with Director(connections=8) as director:
        furnish(director)
        for frame in frames:
            decision = director.engine.forward(frame, now_ns=director.now_ns)
            assert len(decision.frame) == len(frame)
            if decision.verdict == "forwarded":
                assert decision.frame[12:] == frame[12:]
            elif decision.verdict != "answered":
                assert decision.frame == frame
        consistent(director.engine)


@settings(max_examples=200, deadline=None)
@given(
    frame=whole_frames,
    more=st.integers(-200, 70_000),
    gso_size=st.integers(0, 65_535),
    tagged=st.booleans(),
)
def test_any_length_on_the_wire_is_survived(
    frame: bytes, more: int, gso_size: int, tagged: bool
) -> None:
    length = max(0, len(frame) + more)
    with Director(connections=8) as director:
        furnish(director)
        decision = director.engine.forward(
            frame, now_ns=director.now_ns, length=length, gso_size=gso_size, tagged=tagged
        )
        if length > len(frame):
            assert decision.verdict == "truncated"
        if length > MTU + 14 and not gso_size:
            assert decision.verdict not in SENT
        assert decision.frame[12:] == frame[12:] or decision.verdict == "answered"
        consistent(director.engine)


# ---- Any story ----

clients = st.integers(1, 6).map(lambda n: f"10.1.0.{n}")
ports = st.sampled_from([1000, 1001, 20, 65535])
flags = st.sampled_from(["S", "A", "PA", "FA", "R", "SA", "", "SR"])
seconds = st.sampled_from([0, 0.02, 1, 9.9, 61, 119, 301, 901, 1100, 86_400])


@st.composite
def steps(draw: Any) -> tuple[Any, ...]:
    kind = draw(st.sampled_from(["tcp", "tcp", "tcp", "udp", "wait", "server", "service", "bytes"]))
    if kind in ("tcp", "udp"):
        return kind, draw(flags), draw(clients), draw(ports), draw(st.sampled_from([80, 81, 53]))
    if kind == "wait":
        return kind, draw(seconds)
    if kind == "server":
        operations = [Operation.ADD_SERVER, Operation.EDIT_SERVER, Operation.DELETE_SERVER]
        weight, upper = draw(st.integers(0, 4)), draw(st.integers(0, 3))
        return kind, draw(st.sampled_from(operations)), draw(st.integers(1, 4)), weight, upper
    if kind == "service":
        operations = [Operation.ADD_SERVICE, Operation.EDIT_SERVICE, Operation.DELETE_SERVICE]
        persistent_s = draw(st.sampled_from([None, 1, 300]))
        scheduler = draw(st.sampled_from(["rr", "wrr", "lc", "wlc"]))
        return kind, draw(st.sampled_from(operations)), scheduler, persistent_s
    return kind, draw(mutated())


def act(director: Director, step: tuple[Any, ...]) -> None:
    match step:
        case "tcp", flags, client, port, target:
            director.tcp(flags, f"{client}:{port}", f"{VIP}:{target}")
        case "udp", _, client, port, target:
            director.udp(f"{client}:{port}", f"{VIP}:{target}")
        case "wait", seconds:
            director.wait(seconds)
        case "server", operation, number, weight, upper:
            director.change(
                operation, WEB, director.server(WEB, number, weight=weight, upper=upper)
            )
            director.know_mac(number)
        case "service", operation, scheduler, persistent_s:
            changed = service(scheduler=scheduler, persistent_s=persistent_s)
            director.change(operation, changed)
        case "bytes", frame:
            director.engine.forward(frame, now_ns=director.now_ns)


def belongs(entry: Connection, key: Key) -> bool:
    """An invalidated template has lost its port; only the web service has any."""
    port = WEB.key.port if entry.template and entry.port == 65_535 else entry.port
    return (entry.protocol, entry.address, port) == (key.protocol, key.address, key.port)


def counts_agree(director: Director) -> None:
    """What the servers count is what the connection table holds."""
    rows = [entry for entry in director.connections() if not entry.removed]
    for listed in director.engine.services():
        for row in listed.servers:
            mine = [
                entry
                for entry in rows
                if entry.server == row.server.address and belongs(entry, listed.service.key)
            ]
            assert row.active + row.inactive == sum(not entry.template for entry in mine)
            assert row.persistent == sum(entry.template for entry in mine)


@settings(max_examples=150, deadline=None)
@given(story=st.lists(steps(), max_size=60))
def test_after_any_story_all_numbers_agree(story: list[tuple[Any, ...]]) -> None:
    with Director(connections=12, servers=8, services=8) as director:
        furnish(director)
        for step in story:
            act(director, step)
        consistent(director.engine)
        counts_agree(director)
        director.wait(31 * 86_400)
        director.tick()
        assert consistent(director.engine).connections == 0
        counts_agree(director)


@settings(max_examples=100, deadline=None)
@given(
    scheduler=st.sampled_from(["rr", "wrr", "lc", "wlc"]),
    persistent_s=st.sampled_from([None, 300]),
    story=st.lists(
        st.tuples(st.just("tcp"), st.sampled_from(["S", "A", "FA"]), clients, ports, st.just(80))
        | st.tuples(st.just("weight"), st.integers(1, 3), st.integers(0, 3)),
        max_size=60,
    ),
)
def test_a_flow_keeps_its_server(
    scheduler: str, persistent_s: int | None, story: list[tuple[Any, ...]]
) -> None:
    web = service(scheduler=scheduler, persistent_s=persistent_s)
    servers: dict[tuple[str, int], str | int] = {}
    with Director() as director:
        director.add_service(web, 1, 2, 3)
        for step in story:
            if step[0] == "weight":
                director.edit(web, step[1], weight=step[2])
                continue
            _, flag, client, port, _ = step
            before = director.engine.stats()
            got = director.tcp(flag, f"{client}:{port}")
            if not isinstance(got, int):
                continue
            fresh = director.engine.stats().created > before.created
            assert fresh or servers[client, port] == got
            servers[client, port] = got
