"""One frame, one verdict: the cases of frames.py, and what holds for any bytes at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from director import (
    CLIENT,
    CLIENT6,
    LATE_S,
    MTU,
    VIP,
    VIP6,
    VIRTUAL_MAC,
    Director,
    fragment,
    mark_service,
    sctp,
    service,
    tcp,
    udp,
)
from frames import FRAMES, PEER_MAC, WEB, Case, furnish
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether

from dr_forwarder.border import VERDICTS
from dr_forwarder.config import SCHEDULERS
from dr_forwarder.config.model import Mark
from dr_forwarder.dataplane import Decision, Engine
from dr_forwarder.table import Operation, Stats

FORWARDED = {"forwarded", "icmp_forwarded"}
ANSWERED = {"answered", "echo_answered"}
MAY_BE_ERRORS = {"no_server", "oversize", "ttl_exceeded"}
"""Verdicts that come with an ICMP error of our own, where one may be sent."""


@pytest.fixture
def director() -> Iterator[Director]:
    with Director() as director:
        furnish(director)
        yield director


def forward(director: Director, case: Case) -> Decision:
    director.tune(decrement_ttl=case.decrement_ttl)
    director.engine.identify(mac=VIRTUAL_MAC, mtu=MTU, vlan=case.vlan, peers=[PEER_MAC])
    return director.engine.forward(
        case.frame,
        now_ns=director.now_ns,
        length=case.length,
        gso_size=case.gso_size,
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
    assert decision.sent == (case.answered or case.to is not None)
    if case.to is not None:
        assert decision.frame == case.to + VIRTUAL_MAC + case.frame[12:]
    elif not case.answered:
        assert decision.frame == case.frame


@pytest.mark.parametrize(
    "case", [case for case in FRAMES if case.answered], ids=lambda case: case.sentence
)
def test_an_answer_goes_back_to_who_asked_with_right_checksums(
    case: Case, director: Director
) -> None:
    answer = Ether(forward(director, case).frame)
    assert answer.src == VIRTUAL_MAC.hex(":")
    assert answer.dst in {case.frame[6:12].hex(":"), "33:33:00:00:00:01"}
    tags = 4 * len(case.vlan.identifiers)
    assert bytes(answer)[12 : 12 + tags] == case.frame[12 : 12 + tags]
    rebuilt = answer.copy()
    for layer in (IP, ICMP):
        if layer in rebuilt:
            del rebuilt[layer].chksum
    if IPv6 in rebuilt and hasattr(rebuilt[IPv6].payload, "cksum"):
        del rebuilt[IPv6].payload.cksum
    assert bytes(rebuilt) == bytes(answer)


@pytest.mark.parametrize("case", FRAMES, ids=lambda case: case.sentence)
def test_standing_by_nothing_is_answered_and_nothing_forwarded(
    director: Director, case: Case
) -> None:
    served = forward(director, case)
    director.engine.identify(
        mac=VIRTUAL_MAC, mtu=MTU, vlan=case.vlan, peers=[PEER_MAC], standby=True
    )
    decision = director.engine.forward(
        case.frame, now_ns=director.now_ns, length=case.length, gso_size=case.gso_size
    )
    refused_at_sight = {"own_frame", "from_peer", "truncated", "wrong_vlan"}
    may_be = {"malformed", "standby"} if served.verdict == "malformed" else {"standby"}
    assert decision.verdict in ({served.verdict} & refused_at_sight or may_be)
    assert not decision.sent
    assert decision.frame == case.frame


def test_every_verdict_has_a_case(director: Director) -> None:
    """These need more than one frame, or another director, and have tests of their own."""
    others = {
        "standby": "here",
        "server_removed": "test_connections.py",
        "drained": "test_drain.py",
        "reset": "test_drain.py",
        "table_full": "test_connections.py",
        "send_failed": "test_engine.py",
        "shed": "test_defense.py",
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
        decision = director.forward(case.frame[:length])
        if not decision.sent:
            assert decision.frame == case.frame[:length]
        elif decision.verdict in FORWARDED:
            assert decision.frame[12:] == case.frame[12:length]
            assert length - 14 >= (above_ethernet(case.frame) or 0)  # what is missing is padding
    consistent(director.engine)


def above_ethernet(frame: bytes) -> int | None:
    """How long the IP header says that it is."""
    if frame[12:14] == b"\x08\x00":
        return int.from_bytes(frame[16:18])
    return 40 + int.from_bytes(frame[18:20]) if frame[12:14] == b"\x86\xdd" else None


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


def test_no_client_has_an_address_of_ours(director: Director) -> None:
    hosts = [ip_address(f"10.9.0.{n}") for n in range(2, 9)] + [ip_address("fd00:9::2")]
    director.engine.identify(mac=VIRTUAL_MAC, mtu=MTU, hosts=hosts)
    for host in (*map(str, hosts[:-1]), VIP):
        assert director.tcp("S", f"{host}:1000") == "martian"
    for host in (str(hosts[-1]), VIP6):
        assert director.tcp("S", f"[{host}]:1000", f"[{VIP6}]:80") == "martian"
    assert director.tcp("S", "10.9.0.10:1000") in (1, 2)
    director.engine.identify(mac=VIRTUAL_MAC, mtu=MTU)
    assert director.tcp("S", "10.9.0.2:1000") in (1, 2)


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
    kinds = [b"\x08\x00\x45", b"\x08\x00", b"\x08\x06\x00\x01\x08\x00\x06\x04", b"\x86\xdd\x60"]
    kind = draw(st.sampled_from(kinds))
    return start + kind + draw(st.binary(max_size=80))


def fits_its_verdict(decision: Decision, frame: bytes) -> None:
    """What must hold of any decision, with the time to live left alone."""
    verdict = decision.verdict
    if verdict in FORWARDED:
        assert decision.sent
        assert decision.frame[:12] != frame[:12]
        assert decision.frame[12:] == frame[12:]
    elif verdict in ANSWERED:
        assert decision.sent
        assert decision.frame[6:12] == VIRTUAL_MAC
    elif decision.sent:
        assert verdict in MAY_BE_ERRORS
        assert decision.frame[:12] == frame[6:12] + VIRTUAL_MAC
        assert len(decision.frame) <= 14 + 1280
    else:
        assert decision.frame == frame


@settings(max_examples=400, deadline=None)
@given(frames=st.lists(st.binary(max_size=120) | mutated() | to_us(), min_size=1, max_size=20))
def test_any_bytes_are_survived_and_nothing_above_ethernet_changes(frames: list[bytes]) -> None:
    with Director(connections=20) as director:
        furnish(director)
        for frame in frames:
            fits_its_verdict(director.forward(frame), frame)
            director.held()
            director.stats()


@settings(max_examples=200, deadline=None)
@given(
    frame=whole_frames,
    more=st.integers(-200, 70_000),
    gso_size=st.integers(0, 65_535),
)
def test_any_length_on_the_wire_is_survived(frame: bytes, more: int, gso_size: int) -> None:
    length = max(0, len(frame) + more)
    with Director(connections=20) as director:
        furnish(director)
        decision = director.engine.forward(
            frame, now_ns=director.now_ns, length=length, gso_size=gso_size
        )
        if length > len(frame):
            assert decision.verdict == "truncated"
        if length <= len(frame):
            fits_its_verdict(decision, frame)
        consistent(director.engine)


# ---- Any story ----

clients = st.integers(1, 6).map(lambda n: f"10.1.0.{n}")
ports = st.sampled_from([1000, 1001, 0, 20, 65535])
flags = st.sampled_from(["S", "A", "PA", "FA", "R", "SA", "", "SR"])
seconds = st.sampled_from([0, 0.02, 1, 9.9, 31, 61, 119, 301, 901, 1100, 86_400])
switches = st.integers(0, 1)
MARKED = mark_service(7)
KINDS = ["tcp", "tcp", "tcp", "udp", "tcp6", "sctp", "fragment", "fragment", "wait", "server"]
KINDS += ["service", "bytes", "marks", "tuning"]


@st.composite
def tunings(draw: Any) -> dict[str, int]:
    names = ["expire_nodest_conn", "expire_quiescent_template", "sloppy_tcp", "sloppy_sctp"]
    tuning = {name: draw(switches) for name in [*names, "decrement_ttl"]}
    return tuning | {
        "conn_reuse_mode": draw(st.integers(0, 3)),
        **{name: draw(st.integers(0, 3)) for name in ("secure_tcp", "drop_entry", "drop_packet")},
        "am_droprate": draw(st.integers(0, 3)),
        "icmp_ratelimit": draw(st.sampled_from([0, 1, 1000, 65535])),
    }


@st.composite
def marks(draw: Any) -> Mark:
    network = draw(st.sampled_from([VIP, f"{VIP}/31", "10.9.0.0/16", f"{VIP6}/64"]))
    first, last = draw(ports), draw(ports)
    protocol = draw(st.sampled_from([None, "tcp", "udp"]))
    return Mark(draw(st.integers(7, 8)), ip_network(network, strict=False), protocol, first, last)


@st.composite
def steps(draw: Any) -> tuple[Any, ...]:
    kind = draw(st.sampled_from(KINDS))
    match kind:
        case "tcp" | "udp" | "tcp6":
            target = draw(st.sampled_from([80, 81, 53, 8080]))
            return kind, draw(flags), draw(clients), draw(ports), target
        case "sctp":
            return kind, draw(st.binary(min_size=1, max_size=2)), draw(clients)
        case "fragment":
            offset, more = draw(st.sampled_from([0, 16, 32])), draw(st.booleans())
            return kind, draw(st.sampled_from([VIP, VIP6])), offset, draw(st.integers(1, 3)), more
        case "wait":
            return kind, draw(seconds)
        case "server":
            operations = [Operation.ADD_SERVER, Operation.EDIT_SERVER, Operation.DELETE_SERVER]
            of, weight = draw(st.sampled_from([WEB, MARKED])), draw(st.integers(0, 4))
            operation, number = draw(st.sampled_from(operations)), draw(st.integers(1, 4))
            return kind, operation, of, number, weight, draw(st.integers(0, 3))
        case "service":
            operations = [Operation.ADD_SERVICE, Operation.EDIT_SERVICE, Operation.DELETE_SERVICE]
            persistent_s = draw(st.sampled_from([None, 1, 300]))
            scheduler = draw(st.sampled_from(["rr", "wrr", "lc", "wlc"]))
            operation, of = draw(st.sampled_from(operations)), draw(st.sampled_from([WEB, MARKED]))
            return kind, operation, of, scheduler, persistent_s
        case "marks":
            return kind, draw(st.lists(marks(), max_size=3))
        case "tuning":
            return kind, draw(tunings())
    return kind, draw(mutated())


def frame_of(step: tuple[Any, ...]) -> bytes | None:
    match step:
        case "tcp", flags, client, port, target:
            return tcp(flags, f"{client}:{port}", f"{VIP}:{target}")
        case "tcp6", flags, _, port, target:
            return tcp(flags, f"[{CLIENT6}]:{port}", f"[{VIP6}]:{target}")
        case "udp", _, client, port, target:
            return udp(f"{client}:{port}", f"{VIP}:{target}")
        case "sctp", chunks, client:
            return sctp(chunks, f"{client}:1000", f"{VIP}:80")
        case "fragment", vip, offset, identity, more:
            client = CLIENT if vip == VIP else f"[{CLIENT6}]"
            target = f"{vip}:53" if vip == VIP else f"[{vip}]:53"
            return fragment(f"{client}:9", target, offset=offset, identity=identity, more=more)
        case "bytes", frame:
            return bytes(frame)
    return None


def act(director: Director, step: tuple[Any, ...]) -> None:
    match step:
        case "wait", seconds:
            director.wait(seconds)
        case "server", operation, of, number, weight, upper:
            director.change(operation, of, director.server(of, number, weight=weight, upper=upper))
            director.know_mac(number)
        case "service", operation, of, scheduler, persistent_s:
            changed = replace(of, scheduler=scheduler, persistent_s=persistent_s)
            director.change(operation, changed)
        case "marks", each:
            director.engine.set_marks(each)
        case "tuning", tuning:
            director.tune(**tuning)
        case _:
            frame = frame_of(step)
            assert frame is not None
            director.forward(frame)
            director.stats()
            for held in director.held():
                assert held[6:12] == VIRTUAL_MAC
            director.stats()


def counts_agree(director: Director) -> None:
    """What the servers count is what the connection table holds, templates and all."""
    rows = [entry for entry in director.connections() if not entry.removed]
    listed = [row for service in director.engine.services() for row in service.servers]
    for address in {row.server.address for row in listed}:
        mine = [entry for entry in rows if entry.server == address]
        counted = [row for row in listed if row.server.address == address]
        connections = sum(not entry.template for entry in mine)
        assert sum(row.active + row.inactive for row in counted) == connections
        assert sum(row.persistent for row in counted) == sum(entry.template for entry in mine)


@settings(max_examples=150, deadline=None)
@given(story=st.lists(steps(), max_size=60))
def test_after_any_story_all_numbers_agree(story: list[tuple[Any, ...]]) -> None:
    with Director(connections=12, servers=24, services=16) as director:
        furnish(director)
        director.add_service(MARKED, 1, 2)
        for step in story:
            act(director, step)
        consistent(director.engine)
        counts_agree(director)
        director.wait(31 * 86_400)
        director.tick()
        # A template may have looked at its connections before their timers did: one minute more.
        assert {entry.template for entry in director.connections()} <= {True}
        director.wait(60 + LATE_S)
        director.tick()
        assert director.stats().connections == 0
        counts_agree(director)


@settings(max_examples=100, deadline=None)
@given(
    scheduler=st.sampled_from(SCHEDULERS),
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
