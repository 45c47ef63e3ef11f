"""IPv6: the same director, other addresses."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address

import pytest
from director import (
    CLIENT6,
    SECOND_NS,
    VIP,
    VIP6,
    VIRTUAL_MAC,
    Director,
    ipv6,
    server_address6,
    service,
    tcp,
    udp,
)
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from dr_forwarder.dataplane import Engine

WEB = service(f"[{VIP6}]:80")
DNS = service(f"[{VIP6}]:53", protocol="udp")
SOURCE = f"[{CLIENT6}]:1000"
TARGET = f"[{VIP6}]:80"
TICK_S = 2**24 / SECOND_NS
PATHS = {
    "SYN_RECV": ("S", 60),
    "ESTABLISHED": ("S A", 900),
    "FIN_WAIT": ("S A FA", 120),
    "TIME_WAIT": ("S FA", 120),
    "CLOSE": ("S A R", 10),
}


@pytest.fixture
def director() -> Iterator[Director]:
    with Director() as director:
        director.add_service(WEB, 1, 1, 1)
        director.add_service(DNS, 1, 1)
        yield director


def syn(director: Director, client: str = CLIENT6, port: int = 1000) -> str | int:
    return director.tcp("S", f"[{client}]:{port}", TARGET)


def test_the_quick_builder_builds_what_scapy_builds() -> None:
    head = Ether(dst=VIRTUAL_MAC.hex(":"), src="02:00:00:00:00:01") / IPv6(src=CLIENT6, dst=VIP6)
    segment = TCP(sport=1000, dport=80, seq=1, ack=1, flags="PA", chksum=0)
    assert tcp("PA", SOURCE, TARGET, b"data") == bytes(head / segment / b"data")
    datagram = UDP(sport=1000, dport=53, chksum=0)
    assert udp(SOURCE, f"[{VIP6}]:53", b"data") == bytes(head / datagram / b"data")


def test_a_flow_goes_to_one_server_and_is_listed(director: Director) -> None:
    for flags in ("S", "A", "PA", "FA"):
        assert director.tcp(flags, SOURCE, TARGET) == 3
    entry = director.connection(SOURCE)
    assert (entry.client, entry.client_port) == (IPv6Address(CLIENT6), 1000)
    assert (entry.address, entry.port) == (IPv6Address(VIP6), 80)
    assert (entry.server, entry.server_port) == (IPv6Address(server_address6(3)), 80)
    counters = director.server_row(WEB, 3).counters
    assert (counters.connections, counters.packets, counters.bytes) == (1, 4, 240)


@pytest.mark.parametrize(("state", "path", "seconds"), [(s, *rest) for s, rest in PATHS.items()])
def test_states_and_timeouts_are_the_same(
    director: Director, state: str, path: str, seconds: int
) -> None:
    for flags in path.split():
        assert director.tcp(flags, SOURCE, TARGET) == 3
    entry = director.connection(SOURCE)
    assert entry.state == state
    assert entry.left_s == pytest.approx(seconds, abs=2 * TICK_S)


def test_only_the_mac_addresses_change(director: Director) -> None:
    frame = tcp("S", SOURCE, TARGET, b"data") + b"padding"
    decision = director.forward(frame)
    assert decision.frame == bytes.fromhex("02000000000d") + VIRTUAL_MAC + frame[12:]


def test_with_decrement_ttl_the_hop_limit_changes_too(director: Director) -> None:
    director.tune(decrement_ttl=1)
    frame = tcp("S", SOURCE, TARGET, ttl=64)
    assert director.forward(frame).frame[12:] == tcp("S", SOURCE, TARGET, ttl=63)[12:]


def test_both_families_on_one_director_do_not_meet(director: Director) -> None:
    web4 = service()
    director.add_service(web4, 1, 1)
    assert director.tcp("S") == 2
    assert syn(director) == 3
    assert director.counts(WEB)[3] == (1, 0)
    assert director.counts(web4)[2] == (1, 0)
    assert {entry.client.version for entry in director.connections()} == {4, 6}


def mapped(address: str) -> str:
    return f"::ffff:{address}"


@pytest.mark.parametrize("source", [CLIENT6, mapped("10.1.0.1")])
def test_an_ipv4_mapped_address_on_the_wire_is_no_ipv4_address(
    director: Director, source: str
) -> None:
    director.add_service(service(), 1, 1)
    frame = tcp("S", f"[{source}]:1000", f"[{mapped(VIP)}]:80")
    assert not director.forward(frame).sent
    assert director.connections() == []


# ---- Persistence ----

MASKS = [
    ("ffff:ffff:ffff:ffff::", "fd00:1::ffff", "fd00:1:0:1::1"),
    ("ffff:ffff::", "fd00:1:9:9::9", "fd00:2::1"),
    ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", CLIENT6, "fd00:1::2"),
    ("ffff:ffff:ffff:fffe::", "fd00:1:0:1::1", "fd00:1:0:2::1"),
]


@pytest.mark.parametrize(("mask", "together", "apart"), MASKS)
def test_a_prefix_is_remembered_together(mask: str, together: str, apart: str) -> None:
    loyal = service(TARGET, persistent_s=300, mask=mask)
    with Director() as director:
        director.add_service(loyal, 1, 1, 1)
        assert syn(director) == 3
        assert syn(director, together, 2000) == 3
        assert syn(director, apart, 3000) == 2
        networks = {entry.client for entry in director.templates()}
        assert IPv6Address(int(IPv6Address(CLIENT6)) & int(IPv6Address(mask))) in networks
        assert len(networks) == 2
        assert {(entry.address, entry.port) for entry in director.templates()} == {
            (IPv6Address(VIP6), 80)
        }
        assert director.row(loyal).service == loyal


def test_a_client_stays_with_its_server() -> None:
    loyal = service(TARGET, persistent_s=300)
    with Director() as director:
        director.add_service(loyal, 1, 1)
        assert [syn(director, port=port) for port in range(1000, 1004)] == [2, 2, 2, 2]
        director.tcp("A", SOURCE, TARGET)
        assert [entry.state for entry in director.templates()] == ["ASSURED"]


# ---- Extension headers ----


def options(next_header: int, *, length: int = 8) -> bytes:
    return bytes([next_header, length // 8 - 1, 1, length - 4]) + bytes(length - 4)


@pytest.mark.parametrize("kind", [0, 43, 60])
@pytest.mark.parametrize("length", [8, 16, 64, 256])
def test_a_flow_is_the_same_behind_extension_headers(
    director: Director, kind: int, length: int
) -> None:
    segment = tcp("S", SOURCE, TARGET)[54:]
    assert director.send(ipv6(kind, CLIENT6, VIP6, options(6, length=length) + segment)) == 3
    assert director.tcp("A", SOURCE, TARGET) == 3
    assert director.connection(SOURCE).state == "ESTABLISHED"
    assert director.server_row(WEB, 3).counters.bytes == 60 + length + 60


@pytest.mark.parametrize(("count", "verdict"), [(8, 3), (9, "malformed")])
def test_eight_of_them_are_stepped_over(director: Director, count: int, verdict: str | int) -> None:
    chain = options(60) * (count - 1) + options(6)
    frame = ipv6(60, CLIENT6, VIP6, chain + tcp("S", SOURCE, TARGET)[54:])
    assert director.send(frame) == verdict


@pytest.mark.parametrize("kind", [50, 59, 135, 4, 41, 47, 255, 1])
def test_what_cannot_be_read_is_another_protocol(director: Director, kind: int) -> None:
    assert director.send(ipv6(kind, CLIENT6, VIP6, bytes(40))) == "other_protocol"


# ---- What else is in the core ----


@pytest.mark.parametrize("scheduler", ["rr", "wrr", "lc", "wlc", "sed", "nq", "sh", "dh", "mh"])
def test_every_scheduler_takes_ipv6(scheduler: str) -> None:
    web = service(TARGET, scheduler=scheduler)
    with Director() as director:
        director.add_service(web, 1, 2, 3)
        got = {syn(director, f"fd00:1::{n:x}") for n in range(1, 40)}
        assert got <= {1, 2, 3}
        assert len(got) == (1 if scheduler == "dh" else 3)


def test_a_quiet_ipv6_service_stays_ipv6_over_a_restart(director: Director) -> None:
    assert isinstance(director.engine, Engine)
    rows = [row.service for row in director.engine.services()]
    assert rows == [WEB, DNS]
    assert {row.service.mask.version for row in director.engine.services()} == {6}
