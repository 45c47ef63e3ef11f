"""Defences against floods: drop_packet, drop_entry, secure_tcp when it is needed; backup_only."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

import pytest
from director import CLIENT, VIP, Director, service
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_forwarder.table import ServiceFlag, SyncDaemon

WEB = service()
LOYAL = service(persistent_s=3000)
NAMES = service(f"{VIP}:53", protocol="udp")
ON, AUTOMATIC = 3, 1
ROOM = 256
SHORT = ROOM // 16
"""Of entries: with fewer of them free the table is short of room."""
ROUND_S = 32
"""drop_entry looks at every entry in so many seconds."""


@pytest.fixture
def director() -> Iterator[Director]:
    with Director(connections=ROOM) as director:
        director.add_service(WEB, 1, 1, 1)
        director.add_service(NAMES, 1)
        yield director


def source(number: int) -> str:
    return f"10.1.{number >> 8}.{number & 255}:1000"


def fill(director: Director, count: int, flags: str = "S A") -> None:
    for number in range(count):
        for each in flags.split():
            assert director.tcp(each, source(number)) in (1, 2, 3)


def pass_seconds(director: Director, seconds: int) -> None:
    for _ in range(seconds):
        director.wait(1)
        director.tick()


def pass_a_minute(director: Director) -> None:
    """Not quite, but with the next second it is over."""
    pass_seconds(director, 59)
    director.wait(0.5)


# ---- drop_packet ----


@settings(max_examples=50, deadline=None)
@given(rate=st.integers(1, 12), packets=st.integers(1, 60))
def test_the_first_and_then_each_so_manieth_that_would_begin_something_goes(
    rate: int, packets: int
) -> None:
    with Director() as director:
        director.add_service(WEB, 1)
        director.tune(drop_packet=ON, am_droprate=rate)
        got = [director.tcp("S", source(number)) for number in range(packets)]
    assert got == ["shed" if number % rate == 0 else 1 for number in range(packets)]


def test_only_what_would_begin_something_counts(director: Director) -> None:
    fill(director, 1)
    director.tune(drop_packet=ON, am_droprate=1)
    assert director.tcp("A", source(0)) == 3
    assert director.tcp("A", source(1)) == "no_connection"
    assert director.tcp("S", source(1), f"{VIP}:81") == "no_service"
    assert director.tcp("S", source(1)) == "shed"
    assert director.udp(source(1), f"{VIP}:53") == "shed"
    assert director.stats().verdicts["shed"] == 2


def test_without_a_rate_nothing_is_dropped(director: Director) -> None:
    director.tune(drop_packet=ON, am_droprate=0)
    fill(director, 20)


def test_automatic_more_goes_the_less_room_there_is(director: Director) -> None:
    def sheds(first: int, count: int) -> int:
        got = [director.tcp("S", source(first + number)) for number in range(count)]
        return got.count("shed")

    director.tune(drop_packet=AUTOMATIC)
    fill(director, ROOM - SHORT)
    pass_seconds(director, 1)
    assert sheds(1000, 1) == 0
    pass_seconds(director, 1)
    assert sheds(2000, SHORT // 2) == 1, "one in 16 / (16 - 15)"
    pass_seconds(director, 1)
    assert sheds(3000, 4) == 4 - 4 // 2, "one in 16 / (16 - 8)"
    sheds(4000, SHORT)
    pass_seconds(director, 1)
    assert sheds(5000, 10) == 10
    pass_seconds(director, 1000)
    assert sheds(6000, 10) == 0


# ---- drop_entry ----


def test_half_open_connections_go_within_a_round_and_others_stay(director: Director) -> None:
    director.tune(drop_entry=ON)
    fill(director, 40, "S")
    for number in range(40, 80):
        for flags in ("S", "A"):
            director.tcp(flags, source(number))
    pass_seconds(director, ROUND_S)
    assert len(director.connections()) == 40
    assert {row.state for row in director.connections()} == {"ESTABLISHED"}
    director.stats()


def test_those_that_go_are_spread_over_the_round(director: Director) -> None:
    director.tune(drop_entry=ON)
    fill(director, 2 * ROUND_S, "S")
    for second in range(1, ROUND_S):
        pass_seconds(director, 1)
        assert len(director.connections()) == 2 * (ROUND_S - second)


@pytest.mark.parametrize("flags", ["S A FA", "S A R", "S FA"])
def test_what_is_closing_is_left_to_its_timer(director: Director, flags: str) -> None:
    director.tune(drop_entry=ON)
    fill(director, 10, flags)
    pass_seconds(director, 8)
    assert len(director.connections()) == 10


@pytest.mark.parametrize("packets", [2, 3, 8])
def test_of_idle_ones_with_so_many_packets_each_so_manieth_goes(
    director: Director, packets: int
) -> None:
    director.tune(drop_entry=ON)
    fill(director, ROUND_S, "S" + " A" * (packets - 1))
    pass_a_minute(director)
    assert len(director.connections()) == ROUND_S
    pass_seconds(director, ROUND_S)
    assert len(director.connections()) == ROUND_S - ceil(ROUND_S / packets)


def test_one_with_more_packets_has_proved_itself(director: Director) -> None:
    director.tune(drop_entry=ON)
    fill(director, 3, "S" + " A" * 8)
    pass_seconds(director, 300)
    assert len(director.connections()) == 3


def test_idle_datagrams_go_too(director: Director) -> None:
    director.tune(drop_entry=ON)
    for number in range(10):
        director.udp(source(number), f"{VIP}:53")
    pass_a_minute(director)
    assert len(director.connections()) == 10
    pass_seconds(director, ROUND_S)
    assert director.connections() == []


def test_a_template_goes_with_its_last_half_open_connection() -> None:
    with Director() as director:
        director.add_service(LOYAL, 1)
        director.tune(drop_entry=ON)
        for number in range(5):
            director.tcp("S", source(number))
        assert len(director.templates()) == 5
        pass_seconds(director, ROUND_S)
        assert director.connections() == []


def test_an_assured_template_stays() -> None:
    with Director() as director:
        director.add_service(LOYAL, 1)
        director.tune(drop_entry=ON)
        fill(director, 5, "S A R")
        pass_seconds(director, 120)
        assert [row.template for row in director.connections()] == [True] * 5


def test_an_idle_template_of_one_packet_scheduling_goes_by_its_packets() -> None:
    once = service(f"{VIP}:53", protocol="udp", persistent_s=3000, flags=ServiceFlag.ONE_PACKET)
    with Director() as director:
        director.add_service(once, 1)
        director.tune(drop_entry=ON)
        for number in range(ROUND_S):
            for _ in range(4):
                director.udp(source(number), f"{VIP}:53")
        pass_a_minute(director)
        assert len(director.templates()) == ROUND_S
        pass_seconds(director, ROUND_S)
        assert len(director.templates()) == ROUND_S * 3 // 4


def test_automatic_nothing_goes_while_there_is_room(director: Director) -> None:
    director.tune(drop_entry=AUTOMATIC, unproved_share=0)
    fill(director, ROOM - SHORT, "S")
    pass_seconds(director, 20)
    assert len(director.connections()) == ROOM - SHORT
    fill(director, ROOM, "S")
    pass_seconds(director, 2)
    assert len(director.connections()) < ROOM


# ---- secure_tcp ----


def test_automatic_the_states_change_while_room_is_short(director: Director) -> None:
    director.tune(secure_tcp=AUTOMATIC)
    fill(director, ROOM - SHORT)
    director.tcp("S", source(1000))
    assert director.connection(source(1000)).state == "SYN_RECV"
    pass_seconds(director, 1)
    director.tcp("S", source(1001))
    assert director.connection(source(1001)).state == "SYNACK"


# ---- backup_only ----


def test_a_backup_only_forwards_nothing_while_its_daemon_runs(director: Director) -> None:
    fill(director, 1)
    director.tune(backup_only=1)
    assert director.tcp("A", source(0)) == 3
    assert director.engine.start_sync(SyncDaemon("backup", "lo").resolved()) == 0
    assert director.tcp("A", source(0)) == "standby"
    assert director.tcp("S", f"{CLIENT}:1") == "standby"
    assert director.engine.stop_sync("backup") == 0
    assert director.tcp("A", source(0)) == 3


def test_otherwise_a_backup_forwards(director: Director) -> None:
    assert director.engine.start_sync(SyncDaemon("backup", "lo").resolved()) == 0
    assert director.tcp("S", source(0)) == 3
