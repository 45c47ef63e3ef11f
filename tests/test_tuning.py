"""Tuning: what is a sysctl in kernel IPVS, each option both ways."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from director import (
    CLIENT,
    CLIENT6,
    LATE_S,
    SECOND_NS,
    VIP,
    VIP6,
    Director,
    checksum,
    fragment,
    service,
    tcp,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_forwarder.table import Operation, ServiceFlag

WEB = service()
LOYAL = service(persistent_s=300)
TICK_S = 2**24 / SECOND_NS
ENDS = f"{CLIENT}:1000", f"{VIP}:80"


@pytest.fixture
def director() -> Iterator[Director]:
    with Director() as director:
        director.add_service(WEB, 1, 1, 1)
        yield director


def walk(director: Director, path: str) -> None:
    for flags in path.split():
        assert director.tcp(flags) == 3


# ---- conn_reuse_mode ----

REUSED = {
    # In mode 2 the first bit is not needed: any mode but 0 takes what is over.
    0: set(),
    1: {"TIME_WAIT", "CLOSE"},
    2: {"TIME_WAIT", "CLOSE", "FIN_WAIT"},
    3: {"TIME_WAIT", "CLOSE", "FIN_WAIT"},
}
PATHS = {
    "SYN_RECV": "S",
    "ESTABLISHED": "S A",
    "FIN_WAIT": "S A FA",
    "TIME_WAIT": "S FA",
    "CLOSE": "S A R",
}


@pytest.mark.parametrize("mode", REUSED)
@pytest.mark.parametrize("state", PATHS)
def test_conn_reuse_mode_says_where_a_syn_begins_anew(
    director: Director, mode: int, state: str
) -> None:
    director.tune(conn_reuse_mode=mode)
    walk(director, PATHS[state])
    assert director.connection().state == state
    assert director.tcp("S") == (2 if state in REUSED[mode] else 3)
    assert len(director.connections()) == 1


@pytest.mark.parametrize("mode", REUSED)
@pytest.mark.parametrize("state", PATHS)
def test_under_persistence_none_begins_anew(mode: int, state: str) -> None:
    with Director() as director:
        director.add_service(LOYAL, 1, 1, 1)
        director.tune(conn_reuse_mode=mode)
        walk(director, PATHS[state])
        assert director.tcp("S") == 3
        assert director.stats().created == 2


# ---- expire_nodest_conn ----


def test_a_removed_servers_connections_end_from_the_next_tick_on(director: Director) -> None:
    director.tune(expire_nodest_conn=1)
    for port in range(1000, 1009):
        director.tcp("S", f"{CLIENT}:{port}")
    director.delete(WEB, 3)
    director.tick()
    assert len(director.connections()) == 9
    director.wait(TICK_S)
    director.tick()
    assert len(director.connections()) == 6
    assert director.stats().expired == 3
    assert director.counts(WEB) == {2: (3, 0), 1: (3, 0)}


def test_without_it_they_stay(director: Director) -> None:
    director.tcp("S")
    director.delete(WEB, 3)
    director.wait(1)
    director.tick()
    assert [entry.removed for entry in director.connections()] == [True]


def test_a_server_that_is_added_again_at_once_keeps_them(director: Director) -> None:
    director.tune(expire_nodest_conn=1)
    walk(director, "S A")
    director.delete(WEB, 3)
    director.add(WEB, 3)
    director.wait(1)
    assert director.tcp("PA") == 3


def test_a_service_that_is_deleted_takes_its_connections_along(director: Director) -> None:
    director.tune(expire_nodest_conn=1)
    walk(director, "S A")
    director.change(Operation.DELETE_SERVICE, WEB)
    director.wait(1)
    director.tick()
    assert director.connections() == []


@pytest.mark.parametrize(
    ("flags", "got"), list({"S": 2, "A": "no_connection", "R": "no_connection"}.items())
)
def test_even_in_the_same_tick_a_packet_finds_another_way(
    director: Director, flags: str, got: str | int
) -> None:
    director.tune(expire_nodest_conn=1)
    walk(director, "S A")
    director.delete(WEB, 3)
    assert director.tcp(flags) == got


@pytest.mark.parametrize("state", PATHS)
def test_a_syn_leaves_a_server_with_weight_0_in_any_state(director: Director, state: str) -> None:
    director.tune(expire_nodest_conn=1)
    walk(director, PATHS[state])
    director.edit(WEB, 3, weight=0)
    assert director.tcp("A") == 3
    assert director.tcp("S") == 2
    assert len(director.connections()) == 1


@pytest.mark.parametrize(("assured", "templates"), [(False, 0), (True, 1)])
def test_a_template_goes_with_its_connections_unless_it_was_assured(
    assured: bool, templates: int
) -> None:
    with Director() as director:
        director.add_service(LOYAL, 1, 1, 1)
        director.tune(expire_nodest_conn=1)
        walk(director, "S A" if assured else "S")
        director.delete(LOYAL, 3)
        director.wait(1)
        director.tick()
        assert [entry.template for entry in director.connections()] == [True] * templates


def test_datagrams_find_another_server_too() -> None:
    dns = service(protocol="udp")
    with Director() as director:
        director.add_service(dns, 1, 1)
        director.tune(expire_nodest_conn=1)
        assert director.udp() == 2
        director.delete(dns, 2)
        assert director.udp() == 1
        assert len(director.connections()) == 1


# ---- expire_quiescent_template ----


@pytest.mark.parametrize(("value", "got"), [(0, 2), (1, 1)])
def test_persistence_may_end_with_weight_0(value: int, got: int) -> None:
    with Director() as director:
        director.add_service(LOYAL, 1, 1)
        director.tune(expire_quiescent_template=value)
        assert director.tcp("S") == 2
        director.edit(LOYAL, 2, weight=0)
        assert director.tcp("S", f"{CLIENT}:1001") == got
        assert director.tcp("A") == 2
        assert sorted(entry.port for entry in director.templates()) == (
            [80, 65535] if value else [80]
        )


# ---- sloppy_tcp ----

SLOPPY = {"A": "ESTABLISHED", "PA": "ESTABLISHED", "FA": "CLOSE", "F": "CLOSE", "": "CLOSE"}


@pytest.mark.parametrize(("flags", "state"), SLOPPY.items())
def test_a_connection_may_begin_in_midstream(director: Director, flags: str, state: str) -> None:
    assert director.tcp(flags) == "no_connection"
    director.tune(sloppy_tcp=1)
    assert director.tcp(flags) == 3
    assert director.connection().state == state


@pytest.mark.parametrize("flags", ["R", "RA", "SR", "FR"])
def test_but_never_with_a_reset(director: Director, flags: str) -> None:
    director.tune(sloppy_tcp=1)
    assert director.tcp(flags) == "no_connection"


# ---- secure_tcp ----


@pytest.mark.parametrize(
    ("mode", "state", "seconds"),
    [(0, "SYN_RECV", 60), (1, "SYN_RECV", 60), (2, "SYN_RECV", 60), (3, "SYNACK", 120)],
)
def test_under_attack_a_syn_leads_to_another_state(
    director: Director, mode: int, state: str, seconds: int
) -> None:
    director.tune(secure_tcp=mode)
    walk(director, "S")
    entry = director.connection()
    assert entry.state == state
    assert entry.left_s == pytest.approx(seconds, abs=2 * TICK_S)
    assert director.counts(WEB)[3] == (1, 0)
    director.tcp("R")
    assert director.connection().state == ("CLOSE" if mode == 3 else "SYN_RECV")


def test_what_follows_the_syn_establishes_it_all_the_same(director: Director) -> None:
    director.tune(secure_tcp=3)
    walk(director, "S A")
    assert director.connection().state == "ESTABLISHED"


# ---- decrement_ttl ----


@settings(max_examples=200, deadline=None)
@given(ttl=st.integers(2, 255), client=st.integers(1, 2**24), payload=st.binary(max_size=9))
def test_the_time_to_live_counts_down_and_the_sum_stays_right(
    ttl: int, client: int, payload: bytes
) -> None:
    source = f"10.{client >> 16 & 255}.{client >> 8 & 255}.{client & 255}:1000"
    with Director() as director:
        director.add_service(WEB, 1)
        director.tune(decrement_ttl=1)
        sent = director.forward(tcp("S", source, ENDS[1], payload, ttl=ttl)).frame
        assert sent[12:24] == tcp("S", source, ENDS[1], payload, ttl=ttl - 1)[12:24]
        assert checksum(sent[14:34]) == 0


def test_without_it_nothing_above_ethernet_changes(director: Director) -> None:
    for ttl in (0, 1, 2, 255):
        frame = tcp("S", *ENDS, ttl=ttl)
        assert director.forward(frame).frame[12:] == frame[12:]


def with_sum(wanted: int) -> bytes:
    """A SYN whose IP header has just this checksum."""
    for client in range(2**16):
        frame = tcp("S", f"10.1.{client >> 8}.{client & 255}:1000", ENDS[1])
        if frame[24:26] == wanted.to_bytes(2):
            return frame
    raise AssertionError(hex(wanted))


@pytest.mark.parametrize("before", [0x0000, 0x00FF, 0xFE00, 0xFEFE, 0xFF00, 0xFFFE])
def test_the_sum_is_right_at_the_edges(director: Director, before: int) -> None:
    director.tune(decrement_ttl=1)
    sent = director.forward(with_sum(before)).frame
    fresh = bytearray(sent[14:34])
    fresh[10:12] = bytes(2)
    assert int.from_bytes(sent[24:26]) == checksum(bytes(fresh))


def test_the_sum_is_never_the_other_zero(director: Director) -> None:
    director.tune(decrement_ttl=1)
    assert director.forward(with_sum(0xFEFF)).frame[24:26] == bytes(2)


def test_fragments_count_down_too(director: Director) -> None:
    dns = service(f"{VIP}:53", protocol="udp")
    director.add_service(dns, 1)
    director.tune(decrement_ttl=1)
    ends = f"{CLIENT}:1000", f"{VIP}:53"
    early = fragment(*ends, offset=16)
    director.send(early)
    director.send(fragment(*ends, offset=0))
    (held,) = director.held()
    assert held[22] == early[22] - 1
    assert checksum(held[14:34]) == 0


# ---- One-packet scheduling, which is a flag of the service ----


def test_each_datagram_goes_its_own_way_and_leaves_nothing_behind() -> None:
    dns = service(protocol="udp", flags=ServiceFlag.ONE_PACKET)
    with Director() as director:
        director.add_service(dns, 1, 1, 1)
        assert [director.udp() for _ in range(6)] == [3, 2, 1, 3, 2, 1]
        assert director.connections() == []
        assert director.counts(dns) == {3: (0, 0), 2: (0, 0), 1: (0, 0)}
        counters = director.row(dns).counters
        assert (counters.connections, counters.packets) == (6, 6)


def test_with_persistence_the_template_decides() -> None:
    dns = service(protocol="udp", persistent_s=300, flags=ServiceFlag.ONE_PACKET)
    with Director() as director:
        director.add_service(dns, 1, 1)
        assert [director.udp() for _ in range(3)] == [2, 2, 2]
        assert [entry.template for entry in director.connections()] == [True]
        director.wait(300 + LATE_S)
        director.tick()
        assert director.connections() == []


def test_the_flag_means_nothing_to_tcp() -> None:
    web = service(flags=ServiceFlag.ONE_PACKET)
    with Director() as director:
        director.add_service(web, 1, 1)
        assert [director.tcp("S"), director.tcp("A")] == [2, 2]
        assert len(director.connections()) == 1


# ---- FTP ----

FTP = service(f"{VIP}:21", persistent_s=300)


@pytest.mark.parametrize("port", [20, 1024, 40000, 65535])
def test_the_ports_of_ftp_data_are_the_ftp_services(port: int) -> None:
    with Director() as director:
        director.add_service(FTP, 1, 1)
        assert director.tcp("S", f"{CLIENT}:1000", f"{VIP}:21") == 2
        assert director.tcp("S", f"{CLIENT}:1001", f"{VIP}:{port}") == 2
        assert len(director.templates()) == 1


@pytest.mark.parametrize("port", [19, 22, 80, 1023])
def test_others_are_not(port: int) -> None:
    with Director() as director:
        director.add_service(FTP, 1)
        assert director.tcp("S", target=f"{VIP}:{port}") == "no_service"
        assert director.udp(target=f"{VIP}:40000") == "no_service"


def test_without_persistence_an_ftp_service_takes_only_its_own_port() -> None:
    with Director() as director:
        director.add_service(service(f"{VIP}:21"), 1)
        assert director.tcp("S", target=f"{VIP}:21") == 1
        assert director.tcp("S", target=f"{VIP}:40000") == "no_service"


def test_an_exact_port_goes_before_ftp() -> None:
    with Director() as director:
        director.add_service(FTP, 1)
        director.add_service(service(f"{VIP}:8080"), 1, 1)
        assert director.tcp("S", target=f"{VIP}:8080") == 2


def test_ftp_over_ipv6_is_the_same() -> None:
    with Director() as director:
        director.add_service(service(f"[{VIP6}]:21", persistent_s=300), 1, 1)
        for port in (21, 40000):
            assert director.tcp("S", f"[{CLIENT6}]:1000", f"[{VIP6}]:{port}") == 2
