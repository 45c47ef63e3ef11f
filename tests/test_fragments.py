"""Fragments: the first one teaches where the later ones go, in whatever order they come."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from director import (
    CLIENT,
    CLIENT6,
    VIP,
    VIP6,
    VIRTUAL_MAC,
    Director,
    fragment,
    receiver_of,
    service,
)
from hypothesis import given, settings
from hypothesis import strategies as st

DNS = service(f"{VIP}:53", protocol="udp")
DNS6 = service(f"[{VIP6}]:53", protocol="udp")
FAMILIES = {
    "IPv4": (DNS, f"{CLIENT}:1000", f"{VIP}:53"),
    "IPv6": (DNS6, f"[{CLIENT6}]:1000", f"[{VIP6}]:53"),
}
HELD = 256
"""So many fragments may wait."""

families = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture
def director() -> Iterator[Director]:
    with Director() as director:
        director.add_service(DNS, 1, 1, 1)
        director.add_service(DNS6, 1, 1, 1)
        yield director


def pieces(family: str, count: int = 3, identity: int = 1) -> list[bytes]:
    """The first one, and the others in their order."""
    build = partial(fragment, *FAMILIES[family][1:], identity=identity)
    return [build(offset=16 * i, more=i < count - 1) for i in range(count)]


# ---- Any order ----


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[str, list[bytes], list[bytes]]:
    """Pieces of two packets in their order, and as they come: mixed up, some of them twice."""
    family = draw(st.sampled_from(sorted(FAMILIES)))
    sent = [piece for n in (1, 2) for piece in pieces(family, draw(st.integers(2, 6)), n)]
    twice = draw(st.lists(st.sampled_from(sent), max_size=3))
    return family, sent, draw(st.permutations(sent)) + twice


@settings(max_examples=200, deadline=None)
@given(case=arrivals())
def test_in_any_order_each_piece_leaves_once_as_it_came_to_the_server_of_its_packet(
    case: tuple[str, list[bytes], list[bytes]],
) -> None:
    family, sent, coming = case
    left: list[bytes] = []
    with Director() as director:
        director.add_service(FAMILIES[family][0], 1, 1, 1)
        for piece in coming[: len(sent)]:
            decision = director.forward(piece)
            left += [decision.frame] if decision.sent else []
            left += director.held()
        assert sorted(frame[12:] for frame in left) == sorted(piece[12:] for piece in sent)
        assert director.stats().verdicts["forwarded"] == len(sent)
        one_flow = {receiver_of(frame) for frame in left}
        assert len(one_flow) == 1
        for piece in coming[len(sent) :]:
            director.forward(piece)
            assert {receiver_of(frame) for frame in director.held()} <= one_flow
        director.stats()


# ---- Order ----


@families
def test_later_ones_follow_the_first(director: Director, family: str) -> None:
    assert [director.send(piece) for piece in pieces(family)] == [3, 3, 3]
    assert [director.send(piece) for piece in pieces(family, identity=2)] == [3, 3, 3]
    assert director.held() == []


@families
def test_those_that_come_before_the_first_wait_for_it(director: Director, family: str) -> None:
    first, *later = pieces(family, 5)
    for piece in reversed(later):
        assert director.send(piece) == "fragment_held"
        assert director.held() == []
    assert director.stats().verdicts["fragment_held"] == 4
    assert director.send(first) == 3
    sent = director.held()
    assert [receiver_of(frame) for frame in sent] == [3, 3, 3, 3]
    assert [frame[6:12] for frame in sent] == [VIRTUAL_MAC] * 4
    assert [frame[12:] for frame in sent] == [piece[12:] for piece in reversed(later)]
    assert director.held() == []
    verdicts = director.stats().verdicts
    assert (verdicts["fragment_held"], verdicts["forwarded"]) == (0, 5)


@families
def test_some_before_and_some_after(director: Director, family: str) -> None:
    first, second, third, last = pieces(family, 4)
    assert director.send(third) == "fragment_held"
    assert director.send(first) == 3
    assert [frame[12:] for frame in director.held()] == [third[12:]]
    assert [director.send(second), director.send(last)] == [3, 3]
    assert director.held() == []


def test_packets_that_come_mixed_up_are_told_apart(director: Director) -> None:
    one, two = pieces("IPv4", identity=1), pieces("IPv4", identity=2)
    other = [fragment("10.1.0.2:1000", f"{VIP}:53", offset=offset) for offset in (0, 16, 32)]
    for piece in (one[1], two[1], other[1]):
        assert director.send(piece) == "fragment_held"
    assert director.send(other[0]) == 3
    assert [frame[12:] for frame in director.held()] == [other[1][12:]]
    assert director.send(one[0]) == 2
    assert [frame[12:] for frame in director.held()] == [one[1][12:]]
    assert director.send(two[0]) == 2
    assert [frame[12:] for frame in director.held()] == [two[1][12:]]
    assert [director.send(piece[2]) for piece in (one, two, other)] == [2, 2, 3]


def test_the_two_families_do_not_meet(director: Director) -> None:
    assert director.send(pieces("IPv6")[1]) == "fragment_held"
    assert director.send(pieces("IPv4")[0]) == 3
    assert director.held() == []


@families
def test_a_packet_in_fragments_is_counted_once(director: Director, family: str) -> None:
    """As kernel IPVS counts it, which sees it whole: without the headers of the later ones."""
    of = FAMILIES[family][0]
    first, second, third = pieces(family)
    director.send(second)
    assert director.row(of).counters.packets == 0
    director.send(first)
    director.held()
    director.send(third)
    counters = director.server_row(of, 3).counters
    assert (counters.connections, counters.packets) == (1, 1)
    header, extension = (20, 0) if family == "IPv4" else (40, 8)
    payloads = sum(len(piece) - 14 - header - extension for piece in (first, second, third))
    assert counters.bytes == header + payloads
    assert director.row(of).counters == counters


def test_only_the_first_one_restarts_the_timer(director: Director) -> None:
    first, second, _ = pieces("IPv4")
    director.send(first)
    director.wait(10)
    before = director.connection(protocol="udp")
    director.send(second)
    assert director.connection(protocol="udp") == before


# ---- Where the first one does not go, nobody follows ----


def test_without_a_service_they_share_the_fate_of_the_first(director: Director) -> None:
    ends = f"{CLIENT}:1000", f"{VIP}:5353"
    assert director.send(fragment(*ends, offset=16)) == "fragment_held"
    assert director.send(fragment(*ends, offset=0)) == "no_service"
    assert director.held() == []
    assert director.send(fragment(*ends, offset=32)) == "no_service"
    verdicts = director.stats().verdicts
    assert (verdicts["fragment_held"], verdicts["no_service"]) == (0, 3)


def test_those_for_no_vip_do_not_wait(director: Director) -> None:
    assert director.send(fragment(f"{CLIENT}:1000", "10.9.0.99:53", offset=16)) == "not_a_vip"


@families
def test_without_a_mac_address_none_goes_until_the_first_comes_again(
    director: Director, family: str
) -> None:
    first, second, third = pieces(family)
    director.know_mac(3, known=False)
    assert director.send(second) == "fragment_held"
    assert director.send(first) == "no_mac"
    assert director.held() == []
    director.know_mac(3)
    assert director.send(second) == "no_mac"
    assert director.send(first) == 3
    assert director.send(third) == 3


@families
def test_a_removed_server_gets_no_more_of_them(director: Director, family: str) -> None:
    first, second, third = pieces(family)
    assert director.send(first) == 3
    director.delete(FAMILIES[family][0], 3)
    assert director.send(second) == "server_removed"
    director.add(FAMILIES[family][0], 3)
    assert director.send(third) == 3


# ---- For how long ----


@families
def test_a_first_one_is_remembered_for_30_s(director: Director, family: str) -> None:
    first, second, third = pieces(family)
    director.send(first)
    director.wait(29)
    assert director.send(second) == 3
    director.wait(2)
    assert director.send(third) == "fragment_held"


@families
def test_a_later_one_waits_for_30_s(director: Director, family: str) -> None:
    first, second, third = pieces(family)
    director.send(second)
    director.wait(20)
    director.send(third)
    director.wait(11)
    assert director.send(first) == 3
    assert [frame[12:] for frame in director.held()] == [third[12:]]
    assert director.stats().verdicts["fragment_held"] == 1


# ---- How many ----


def orphan(number: int) -> bytes:
    return fragment(f"{CLIENT}:1000", f"{VIP}:53", offset=16, identity=number)


def test_a_full_store_takes_no_more_until_they_are_old(director: Director) -> None:
    for number in range(HELD):
        assert director.send(orphan(number)) == "fragment_held"
    assert director.send(orphan(HELD)) == "table_full"
    director.wait(31)
    assert director.send(orphan(HELD)) == "fragment_held"
    assert director.stats().verdicts["fragment_held"] == HELD + 1


def test_a_full_store_does_not_hinder_those_that_know_their_way(director: Director) -> None:
    for number in range(HELD):
        director.send(orphan(number))
    assert [director.send(piece) for piece in pieces("IPv4", identity=1000)] == [3, 3, 3]
    first, *_ = pieces("IPv4", identity=5)
    assert director.send(first) == 3
    assert [frame[12:] for frame in director.held()] == [orphan(5)[12:]]


def test_one_that_waits_in_vain_does_not_fill_the_store(director: Director) -> None:
    assert director.send(orphan(0)) == "fragment_held"
    for number in range(1, HELD + 10):
        first, second, _ = pieces("IPv4", identity=number)
        assert director.send(second) == "fragment_held", number
        assert director.send(first) == 3
        assert len(director.held()) == 1


@pytest.mark.parametrize(("length", "verdict"), [(9192, "fragment_held"), (9216, "table_full")])
def test_those_longer_than_a_jumbo_frame_do_not_wait(
    director: Director, length: int, verdict: str
) -> None:
    director.engine.identify(mac=VIRTUAL_MAC, mtu=9600)
    piece = fragment(f"{CLIENT}:1000", f"{VIP}:53", offset=16, length=length)
    assert director.send(piece) == verdict


# ---- Through the loop ----


def test_the_loop_sends_them_behind_their_first(director: Director) -> None:
    engine = director.engine
    engine.open_memory(slots=16)
    first, *later = pieces("IPv4", 4)
    for piece in (*later, first):
        engine.push(piece)
    assert engine.step(now_ns=director.now_ns) == 4
    sent = list(iter(engine.pop, None))
    assert [frame[12:] for frame in sent] == [piece[12:] for piece in (first, *later)]
    assert [receiver_of(frame) for frame in sent] == [3] * 4
    assert director.stats().verdicts["forwarded"] == 4


def test_so_it_does_when_they_came_in_an_earlier_batch(director: Director) -> None:
    engine = director.engine
    engine.open_memory(slots=16)
    first, second, third = pieces("IPv6")
    engine.push(second)
    engine.step(now_ns=director.now_ns)
    assert director.stats().verdicts["fragment_held"] == 1
    engine.push(first)
    engine.push(third)
    engine.step(now_ns=director.now_ns)
    sent = list(iter(engine.pop, None))
    assert [frame[12:] for frame in sent] == [piece[12:] for piece in (first, second, third)]
    assert director.stats().verdicts["forwarded"] == 3


def test_one_that_the_way_out_does_not_take_is_send_failed(director: Director) -> None:
    engine = director.engine
    engine.open_memory(slots=1)
    first, second, _ = pieces("IPv4")
    for piece in (second, first):
        engine.push(piece)
        engine.step(now_ns=director.now_ns)
    verdicts = director.stats().verdicts
    assert len(list(iter(engine.pop, None))) == 1
    assert (verdicts["forwarded"], verdicts["send_failed"]) == (1, 1)
