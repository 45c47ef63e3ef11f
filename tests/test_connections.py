"""Connections through real frames: states, time-outs, reuse, removed servers, a full table."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest
from director import (
    CLIENT,
    LATE_S,
    SECOND_NS,
    VIP,
    Director,
    service,
)

from dr_forwarder.table import Operation

WEB = service()
TIMEOUTS_S = {"SYN_RECV": 60, "ESTABLISHED": 900, "FIN_WAIT": 120, "TIME_WAIT": 120, "CLOSE": 10}
ACTIVE = {"SYN_RECV", "ESTABLISHED"}
TICK_S = 2**24 / SECOND_NS

PATHS = {
    "SYN_RECV": "S",
    "ESTABLISHED": "S A",
    "FIN_WAIT": "S A FA",
    "TIME_WAIT": "S FA",
    "CLOSE": "S A R",
}
"""How a client alone leads a connection into each state that it can reach."""

AFTER = {
    # A SYN in TIME_WAIT and CLOSE begins a new connection, which is in SYN_RECV as well.
    "S": "SYN_RECV ESTABLISHED SYN_RECV SYN_RECV SYN_RECV",
    "SA": "SYN_RECV ESTABLISHED SYN_RECV SYN_RECV SYN_RECV",
    "SEC": "SYN_RECV ESTABLISHED SYN_RECV SYN_RECV SYN_RECV",
    "SF": "SYN_RECV ESTABLISHED SYN_RECV SYN_RECV SYN_RECV",
    "F": "TIME_WAIT FIN_WAIT FIN_WAIT TIME_WAIT CLOSE",
    "FA": "TIME_WAIT FIN_WAIT FIN_WAIT TIME_WAIT CLOSE",
    "A": "ESTABLISHED ESTABLISHED FIN_WAIT TIME_WAIT CLOSE",
    "PA": "ESTABLISHED ESTABLISHED FIN_WAIT TIME_WAIT CLOSE",
    "R": "SYN_RECV CLOSE CLOSE CLOSE CLOSE",
    "RA": "SYN_RECV CLOSE CLOSE CLOSE CLOSE",
    "FR": "SYN_RECV CLOSE CLOSE CLOSE CLOSE",
    "": "CLOSE CLOSE CLOSE CLOSE CLOSE",
    "P": "CLOSE CLOSE CLOSE CLOSE CLOSE",
    "U": "CLOSE CLOSE CLOSE CLOSE CLOSE",
}

CELLS = [
    pytest.param(state, flags, after, id=f"{state} {flags or 'none'}")
    for flags, row in AFTER.items()
    for state, after in zip(PATHS, row.split(), strict=True)
]


@pytest.fixture
def director() -> Iterator[Director]:
    with Director() as director:
        director.add_service(WEB, 1, 1, 1)
        yield director


def walk(director: Director, path: str, source: str = f"{CLIENT}:1000") -> str | int:
    got: str | int = ""
    for flags in path.split():
        got = director.tcp(flags, source)
    return got


def total(director: Director) -> tuple[int, int]:
    counts = director.counts(WEB).values()
    return sum(active for active, _ in counts), sum(inactive for _, inactive in counts)


# ---- States ----


@pytest.mark.parametrize(("state", "flags", "after"), CELLS)
def test_a_packet_changes_the_state(director: Director, state: str, flags: str, after: str) -> None:
    walk(director, PATHS[state])
    assert director.connection().state == state
    assert director.tcp(flags) != "no_connection"
    entry = director.connection()
    assert entry.state == after
    assert entry.left_s == pytest.approx(TIMEOUTS_S[after], abs=2 * TICK_S)
    assert total(director) == ((1, 0) if after in ACTIVE else (0, 1))


@pytest.mark.parametrize("flags", ["A", "PA", "FA", "F", "R", "RA", "P", "", "SR", "FR", "U"])
def test_without_a_connection_only_a_syn_makes_one(director: Director, flags: str) -> None:
    assert director.tcp(flags) == "no_connection"
    assert director.connections() == []
    assert total(director) == (0, 0)


@pytest.mark.parametrize("state", ["TIME_WAIT", "CLOSE"])
def test_syn_and_reset_end_a_connection_that_is_over(director: Director, state: str) -> None:
    walk(director, PATHS[state])
    assert director.tcp("SR") == "no_connection"
    assert director.connections() == []


def test_a_server_is_counted_from_the_first_syn_on(director: Director) -> None:
    assert director.tcp("S") == 3
    assert director.counts(WEB)[3] == (1, 0)
    row = director.server_row(WEB, 3)
    assert (row.counters.connections, row.counters.packets, row.counters.bytes) == (1, 1, 40)
    director.tcp("A")
    row = director.server_row(WEB, 3)
    assert (row.counters.connections, row.counters.packets, row.counters.bytes) == (1, 2, 80)
    assert director.row(WEB).counters == row.counters


# ---- Timers ----


@pytest.mark.parametrize(("state", "path"), PATHS.items())
def test_a_connection_lives_as_long_as_its_state_says(
    director: Director, state: str, path: str
) -> None:
    walk(director, path)
    director.wait(TIMEOUTS_S[state] - TICK_S)
    director.tick()
    assert director.connection().left_s <= 3 * TICK_S
    director.wait(TICK_S + LATE_S)
    director.tick()
    assert director.connections() == []
    assert total(director) == (0, 0)


@pytest.mark.parametrize(("state", "path"), PATHS.items())
def test_each_packet_restarts_the_timer(director: Director, state: str, path: str) -> None:
    """Even one that changes nothing: an ACK again, or the SYN, or the RST."""
    again = {"SYN_RECV": "S", "CLOSE": "R"}.get(state, "A")
    walk(director, path)
    for _ in range(20):
        director.wait(TIMEOUTS_S[state] - 1)
        assert director.tcp(again) == 3
    assert director.connection().state == state
    assert director.connection().left_s == pytest.approx(TIMEOUTS_S[state], abs=2 * TICK_S)
    assert director.engine.stats().created == 1


@pytest.mark.parametrize("days", [1, 7, 31, 100, 400])
def test_after_a_long_sleep_everything_that_is_over_ends(director: Director, days: int) -> None:
    for port in range(1000, 1100):
        director.tcp("S", f"{CLIENT}:{port}")
    director.wait(days * 86_400)
    assert director.tcp("S", f"{CLIENT}:1000") in (1, 2, 3)
    assert [entry.client_port for entry in director.connections()] == [1000]
    assert total(director) == (1, 0)


def test_a_service_may_remember_its_clients_for_31_days() -> None:
    month_s = 31 * 86_400
    loyal = service(persistent_s=month_s)
    with Director() as director:
        director.add_service(loyal, 1, 1)
        director.tcp("S")
        for _ in range(31):
            director.wait(86_399)
            director.tick()
            assert len(director.templates()) == 1
        director.wait(31 - 2)
        director.tick()
        assert director.templates()[0].left_s == pytest.approx(2, abs=2 * TICK_S)
        director.wait(2 + LATE_S)
        director.tick()
        assert director.connections() == []


def test_set_timeouts_hold_for_later_packets_only(director: Director) -> None:
    walk(director, "S A")
    walk(director, "S A FA", f"{CLIENT}:1001")
    walk(director, "S", f"{CLIENT}:1002")
    director.engine.set_timeouts(tcp_s=100, tcp_fin_s=20)
    assert director.engine.timeouts() == (100, 20, 300)
    left = [round(entry.left_s) for entry in director.connections()]
    assert left == [900, 120, 60]
    for port in (1000, 1001, 1002):
        director.tcp("A", f"{CLIENT}:{port}")
    left = [round(entry.left_s) for entry in director.connections()]
    assert left == [100, 20, 100]
    director.wait(20 + LATE_S)
    director.tick()
    assert [entry.client_port for entry in director.connections()] == [1000, 1002]


def test_zero_keeps_a_timeout(director: Director) -> None:
    director.engine.set_timeouts(udp_s=5)
    director.engine.set_timeouts()
    assert director.engine.timeouts() == (900, 120, 5)


# ---- A flow used again ----


@pytest.mark.parametrize("state", ["TIME_WAIT", "CLOSE"])
def test_a_syn_on_a_connection_that_is_over_begins_a_new_one(
    director: Director, state: str
) -> None:
    assert walk(director, PATHS[state]) == 3
    assert director.tcp("S") == 2
    assert director.connection().state == "SYN_RECV"
    assert director.counts(WEB) == {3: (0, 0), 2: (1, 0), 1: (0, 0)}


@pytest.mark.parametrize("state", ["SYN_RECV", "ESTABLISHED", "FIN_WAIT"])
def test_a_syn_on_a_connection_that_is_not_over_goes_where_it_went(
    director: Director, state: str
) -> None:
    assert walk(director, PATHS[state]) == 3
    assert director.tcp("S") == 3
    assert director.engine.stats().created == 1


def test_a_reused_flow_without_a_server_to_go_to_is_gone(director: Director) -> None:
    walk(director, PATHS["CLOSE"])
    for number in (1, 2, 3):
        director.edit(WEB, number, weight=0)
    assert director.tcp("S") == "no_server"
    assert director.connections() == []
    assert director.tcp("A") == "no_connection"


def test_a_quiet_server_keeps_its_connections(director: Director) -> None:
    assert walk(director, "S A") == 3
    director.edit(WEB, 3, weight=0)
    assert director.tcp("PA") == 3
    assert director.tcp("S") == 3


# ---- A server taken out ----


def test_packets_for_a_removed_server_are_dropped_and_restart_no_timer(director: Director) -> None:
    walk(director, "S A")
    director.delete(WEB, 3)
    director.wait(100)
    assert director.tcp("PA") == "server_removed"
    entry = director.connection()
    assert entry.removed
    assert entry.left_s == pytest.approx(800, abs=2 * TICK_S)
    director.wait(800 + LATE_S)
    assert director.tcp("PA") == "no_connection"


def test_a_server_that_comes_back_has_its_connections_again(director: Director) -> None:
    walk(director, "S A")
    director.delete(WEB, 3)
    assert director.tcp("PA") == "server_removed"
    director.add(WEB, 3)
    assert director.tcp("PA") == 3
    assert director.counts(WEB)[3] == (1, 0)
    assert not director.connection().removed


def test_a_syn_on_a_removed_servers_finished_connection_goes_elsewhere(director: Director) -> None:
    walk(director, PATHS["CLOSE"])
    director.delete(WEB, 3)
    assert director.tcp("A") == "server_removed"
    assert director.tcp("S") == 2


def test_the_connections_of_a_deleted_service_wait_for_it(director: Director) -> None:
    walk(director, "S A")
    assert director.change(Operation.DELETE_SERVICE, WEB) == 0
    assert director.tcp("PA") == "server_removed"
    assert director.tcp("S", f"{CLIENT}:1001") == "not_a_vip"
    director.add_service(WEB, 1, 1, 1)
    assert director.tcp("PA") == 3


def test_a_service_that_comes_back_counts_from_zero_and_so_do_its_servers(
    director: Director,
) -> None:
    walk(director, "S A")
    director.change(Operation.DELETE_SERVICE, WEB)
    director.add_service(WEB, 1, 1, 1)
    assert director.row(WEB).counters.packets == 0
    assert director.server_row(WEB, 3).counters.packets == 0


# ---- Room ----


def test_a_full_table_takes_new_ones_when_old_ones_end() -> None:
    with Director(connections=10) as director:
        director.tune(unproved_share=0)
        director.add_service(WEB, 1)
        for port in range(1000, 1010):
            assert director.tcp("S", f"{CLIENT}:{port}") == 1
        assert director.tcp("S", f"{CLIENT}:1010") == "table_full"
        assert director.tcp("A", f"{CLIENT}:1009") == 1
        assert director.counts(WEB)[1] == (10, 0)
        director.wait(60 + LATE_S)
        for port in range(1010, 1019):
            assert director.tcp("S", f"{CLIENT}:{port}") == 1
        assert director.tcp("S", f"{CLIENT}:1019") == "table_full"
        assert director.engine.stats().connections == 10


def test_a_flood_displaces_the_oldest_that_have_not_gone_on_and_is_counted() -> None:
    with Director(connections=10) as director:
        director.add_service(WEB, 1)
        for port in range(1000, 1005):
            walk(director, "S A", f"{CLIENT}:{port}")
        for port in range(2000, 2100):
            assert director.tcp("S", f"{CLIENT}:{port}") == 1
        listed = sorted(entry.client_port for entry in director.connections())
        assert listed == [*range(1000, 1005), *range(2095, 2100)]
        stats = director.stats()
        assert (stats.unproved, stats.displaced) == (5, 95)
        assert director.tcp("A", f"{CLIENT}:2094") == "no_connection"
        assert director.tcp("A", f"{CLIENT}:2095") == 1
        assert director.stats().unproved == 4


@pytest.mark.parametrize("limit", [1, 100, 1023, 1025])
def test_every_connection_is_listed_once(limit: int) -> None:
    with Director(connections=limit) as director:
        director.tune(unproved_share=100)
        director.add_service(WEB, 1)
        for port in range(1000, 1000 + limit):
            assert director.tcp("S", f"{CLIENT}:{port}") == 1
        listed = [entry.client_port for entry in director.connections()]
        assert listed == list(range(1000, 1000 + limit))


# ---- UDP, and who is who ----


def test_datagrams_of_one_source_stay_together_for_300_s() -> None:
    dns = service(f"{VIP}:53", protocol="udp")
    with Director() as director:
        director.add_service(dns, 1, 1, 1)
        target = f"{VIP}:53"
        assert director.udp(target=target) == 3
        assert director.udp(f"{CLIENT}:1001", target) == 2
        for _ in range(5):
            director.wait(299)
            assert director.udp(target=target) == 3
        entry = director.connection(protocol="udp")
        assert (entry.state, round(entry.left_s)) == ("UDP", 300)
        assert director.counts(dns)[3] == (0, 1)
        director.wait(300 + LATE_S)
        assert director.udp(target=target) == 1


def test_tcp_and_udp_of_the_same_numbers_are_two_flows(director: Director) -> None:
    dns = service(protocol="udp")
    director.add_service(dns, 1)
    assert director.tcp("S") == 3
    assert director.udp() == 1
    assert {entry.protocol for entry in director.connections()} == {"tcp", "udp"}


def test_a_connection_is_listed_with_all_that_it_is(director: Director) -> None:
    director.tcp("S")
    entry = director.connection()
    assert (entry.client, entry.client_port) == (IPv4Address(CLIENT), 1000)
    assert (entry.address, entry.port) == (IPv4Address(VIP), 80)
    assert (entry.server, entry.server_port) == (IPv4Address("10.9.0.13"), 80)
    assert not entry.template
    assert not entry.removed


def test_a_client_may_send_from_port_0(director: Director) -> None:
    assert director.tcp("S", f"{CLIENT}:0") == 3
    assert director.tcp("A", f"{CLIENT}:0") == 3
    assert director.connection(f"{CLIENT}:0").state == "ESTABLISHED"
