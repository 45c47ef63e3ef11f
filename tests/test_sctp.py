"""SCTP as a director in direct routing sees it: the kernel's input-only table, cell by cell."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from director import CLIENT, LATE_S, SECOND_NS, VIP, VIP6, Director, service

SIGTRAN = service(protocol="sctp")
TICK_S = 2**24 / SECOND_NS

CHUNKS = {
    "data": 0,
    "init": 1,
    "init_ack": 2,
    "abort": 6,
    "shutdown": 7,
    "shutdown_ack": 8,
    "error": 9,
    "cookie_echo": 10,
    "cookie_ack": 11,
    "shutdown_complete": 14,
}
NAMES = {
    "I1": "INIT1",
    "IN": "INIT",
    "CE": "C-ECHOED",
    "ES": "ESTABLISHED",
    "SR": "S-RECEIVED",
    "CL": "CLOSED",
}
TIMEOUTS_S = {"INIT1": 4, "ESTABLISHED": 900}
"""All others: 61."""

PATHS = {
    "I1": ["init"],
    "IN": ["init", "init"],
    "CE": ["init", "init_ack"],
    "ES": ["init", "cookie_echo"],
    "SR": ["init", "cookie_echo", "shutdown"],
    "CL": ["init", "abort"],
}
"""How a client alone leads an association into each state that it can reach."""

AFTER = {
    # An INIT in CLOSED begins a new association, which is in INIT1.
    "data": "I1 IN CE ES SR CL",
    "init": "IN IN CE ES SR I1",
    "init_ack": "CE CE CE ES SR CL",
    "cookie_echo": "ES ES CE ES SR CL",
    "cookie_ack": "I1 IN ES ES SR CL",
    "shutdown": "I1 IN CE SR SR CL",
    "shutdown_ack": "IN IN CE CL SR CL",
    "shutdown_complete": "CL CL CE ES CL CL",
    "error": "I1 IN CE ES SR CL",
    "abort": "CL CL CL CL CL CL",
}
CELLS = [
    pytest.param(state, chunk, after, id=f"{state} {chunk}")
    for chunk, row in AFTER.items()
    for state, after in zip(PATHS, row.split(), strict=True)
]


@pytest.fixture
def director() -> Iterator[Director]:
    with Director() as director:
        director.add_service(SIGTRAN, 1, 1, 1)
        yield director


def send(director: Director, *chunks: str) -> str | int:
    return director.sctp(bytes(CHUNKS[chunk] for chunk in chunks))


def walk(director: Director, path: list[str]) -> None:
    for chunk in path:
        assert send(director, chunk) == 3


def state(director: Director) -> str:
    return director.connection(protocol="sctp").state


@pytest.mark.parametrize(("before", "chunk", "after"), CELLS)
def test_a_chunk_changes_the_state(director: Director, before: str, chunk: str, after: str) -> None:
    walk(director, PATHS[before])
    assert state(director) == NAMES[before]
    anew = before == "CL" and chunk == "init"
    assert send(director, chunk) == (2 if anew else 3)
    entry = director.connection(protocol="sctp")
    assert entry.state == NAMES[after]
    assert entry.left_s == pytest.approx(TIMEOUTS_S.get(entry.state, 61), abs=2 * TICK_S)
    active = after == "ES"
    assert director.counts(SIGTRAN)[2 if anew else 3] == (int(active), int(not active))


@pytest.mark.parametrize("chunk", [0, 3, 4, 5, 12, 13, 15, 64, 128, 130, 192, 193, 255])
@pytest.mark.parametrize("before", PATHS)
def test_any_other_chunk_is_data(director: Director, before: str, chunk: int) -> None:
    walk(director, PATHS[before])
    assert director.sctp(bytes([chunk])) == 3
    assert state(director) == NAMES[before]


@pytest.mark.parametrize("cookie", ["cookie_echo", "cookie_ack"])
def test_an_abort_behind_a_cookie_counts(director: Director, cookie: str) -> None:
    walk(director, ["init"])
    assert send(director, cookie, "abort") == 3
    assert state(director) == "CLOSED"


@pytest.mark.parametrize("first", ["init", "data", "shutdown"])
def test_behind_other_chunks_it_does_not(director: Director, first: str) -> None:
    walk(director, ["init"])
    before = AFTER[first].split()[0]
    assert send(director, first, "abort") == 3
    assert state(director) == NAMES[before]


@pytest.mark.parametrize("chunk", [chunk for chunk in CHUNKS if chunk != "init"])
def test_only_an_init_begins_an_association(director: Director, chunk: str) -> None:
    assert send(director, chunk) == "no_connection"
    assert director.connections() == []
    assert send(director, "init") == 3


@pytest.mark.parametrize("chunk", CHUNKS)
def test_unless_anything_but_an_abort_may(director: Director, chunk: str) -> None:
    director.tune(sloppy_sctp=1)
    assert send(director, chunk) == ("no_connection" if chunk == "abort" else 3)


SLOPPY = {
    "data": "ESTABLISHED",
    "init": "INIT1",
    "init_ack": "C-ECHOED",
    "cookie_echo": "ESTABLISHED",
    "cookie_ack": "ESTABLISHED",
    "shutdown": "S-RECEIVED",
    "shutdown_ack": "CLOSED",
    "shutdown_complete": "CLOSED",
    "error": "CLOSED",
}


@pytest.mark.parametrize(("chunk", "after"), SLOPPY.items())
def test_what_begins_in_midstream_begins_in_its_state(
    director: Director, chunk: str, after: str
) -> None:
    director.tune(sloppy_sctp=1)
    assert send(director, chunk) == 3
    assert state(director) == after


@pytest.mark.parametrize("before", PATHS)
def test_an_association_lives_as_long_as_its_state_says(director: Director, before: str) -> None:
    walk(director, PATHS[before])
    seconds = TIMEOUTS_S.get(NAMES[before], 61)
    director.wait(seconds - TICK_S)
    director.tick()
    assert state(director) == NAMES[before]
    director.wait(TICK_S + LATE_S)
    director.tick()
    assert director.connections() == []
    assert director.counts(SIGTRAN)[3] == (0, 0)


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
def test_an_init_on_a_closed_one_begins_anew_if_it_may(director: Director, mode: int) -> None:
    director.tune(conn_reuse_mode=mode)
    walk(director, ["init", "abort"])
    assert send(director, "init") == (2 if mode else 3)


def test_persistence_holds_and_is_assured_by_an_established_one() -> None:
    loyal = service(protocol="sctp", persistent_s=300)
    with Director() as director:
        director.add_service(loyal, 1, 1)
        for port in (1000, 1001):
            assert director.sctp(b"\1", f"{CLIENT}:{port}") == 2
        assert [entry.state for entry in director.templates()] == ["NONE"]
        director.sctp(b"\x0a")
        assert [(entry.protocol, entry.state) for entry in director.templates()] == [
            ("sctp", "ASSURED")
        ]


def test_over_ipv6_it_is_the_same() -> None:
    sigtran = service(f"[{VIP6}]:80", protocol="sctp")
    with Director() as director:
        director.add_service(sigtran, 1, 1)
        ends = "[fd00:1::1]:1000", f"[{VIP6}]:80"
        assert [director.sctp(bytes([chunk]), *ends) for chunk in (1, 10, 0)] == [2, 2, 2]
        assert director.connection(ends[0], "sctp").state == "ESTABLISHED"


def test_the_same_numbers_over_tcp_are_another_flow(director: Director) -> None:
    director.add_service(service(), 1)
    assert director.sctp(b"\1") == 3
    assert director.tcp("S") == 1
    assert director.sctp(b"\1", target=f"{VIP}:81") == "no_service"
