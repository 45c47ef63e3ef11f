"""Firewall marks: several addresses and ports as one service."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network

import pytest
from director import CLIENT, CLIENT6, VIP, VIP6, Director, mark_service, server_address, service

from dr_forwarder.config.model import Mark
from dr_forwarder.table import Operation, ServiceFlag

SEVEN = mark_service(7)
SEVEN6 = mark_service(7, version=6)
WEB = service()
VIP_ONLY = IPv4Network(VIP)


def with_marks(director: Director, *marks: Mark) -> None:
    director.engine.set_marks(marks)


def test_a_mark_makes_one_service_of_several_ports() -> None:
    with Director() as director:
        director.add_service(SEVEN, 1, 1)
        with_marks(director, Mark(7, VIP_ONLY, "tcp", 80, 80), Mark(7, VIP_ONLY, "tcp", 443, 443))
        targets = [f"{VIP}:{port}" for port in (80, 443, 80, 443)]
        got = [director.tcp("S", f"{CLIENT}:{n}", to) for n, to in enumerate(targets, 1000)]
        assert got == [2, 1, 2, 1]
        assert director.row(SEVEN).counters.connections == 4
        assert director.tcp("S", f"{CLIENT}:1", f"{VIP}:81") == "no_service"


def test_its_connections_have_the_ports_that_they_have() -> None:
    with Director() as director:
        director.add_service(SEVEN, 1)
        with_marks(director, Mark(7, VIP_ONLY))
        director.tcp("S", f"{CLIENT}:1000", f"{VIP}:8080")
        entry = director.connection()
        assert (entry.address, entry.port, entry.protocol) == (IPv4Address(VIP), 8080, "tcp")
        assert (entry.server, entry.server_port) == (IPv4Address(server_address(1)), 8080)


def test_a_mark_goes_before_the_services_on_the_address() -> None:
    with Director() as director:
        director.add_service(WEB, 1)
        director.add_service(service(f"{VIP}:0", persistent_s=300), 1, 1)
        director.add_service(SEVEN, 1, 1, 1)
        assert director.tcp("S", f"{CLIENT}:1000") == 1
        with_marks(director, Mark(7, VIP_ONLY, "tcp", 80, 80))
        assert director.tcp("S", f"{CLIENT}:1001") == 3
        assert director.tcp("A", f"{CLIENT}:1000") == 1  # what has a connection keeps it
        assert director.tcp("S", f"{CLIENT}:1002", f"{VIP}:81") == 2
        with_marks(director)
        assert director.tcp("S", f"{CLIENT}:1003") == 1


def test_a_mark_without_a_service_changes_nothing() -> None:
    with Director() as director:
        director.add_service(WEB, 1)
        with_marks(director, Mark(9, VIP_ONLY))
        assert director.tcp("S") == 1
        assert director.tcp("S", target=f"{VIP}:81") == "no_service"


def test_a_mark_whose_service_has_no_server_is_refused() -> None:
    with Director() as director:
        director.add_service(WEB, 1)
        director.add_service(SEVEN)
        with_marks(director, Mark(7, VIP_ONLY))
        assert director.tcp("S") == "no_server"


def test_the_first_mark_that_fits_counts_even_without_a_service() -> None:
    with Director() as director:
        director.add_service(SEVEN, 1)
        with_marks(director, Mark(9, VIP_ONLY, "tcp", 80, 80), Mark(7, VIP_ONLY))
        assert director.tcp("S") == "no_service"
        assert director.tcp("S", target=f"{VIP}:81") == 1


FITS = [
    ("10.9.0.100/32", None, 0, 65535, "tcp", f"{VIP}:80", True),
    ("10.9.0.100/32", None, 0, 65535, "udp", f"{VIP}:80", True),
    ("10.9.0.100/32", "tcp", 0, 65535, "udp", f"{VIP}:80", False),
    ("10.9.0.100/32", "udp", 0, 65535, "udp", f"{VIP}:80", True),
    ("10.9.0.100/32", "sctp", 0, 65535, "sctp", f"{VIP}:80", True),
    ("10.9.0.101/32", None, 0, 65535, "tcp", f"{VIP}:80", False),
    ("10.9.0.100/31", None, 0, 65535, "tcp", "10.9.0.101:80", True),
    ("10.9.0.100/31", None, 0, 65535, "tcp", "10.9.0.102:80", False),
    ("10.9.0.0/17", None, 0, 65535, "tcp", "10.9.127.255:80", True),
    ("10.9.0.0/17", None, 0, 65535, "tcp", "10.9.128.0:80", False),
    ("10.9.0.100/32", "tcp", 80, 90, "tcp", f"{VIP}:79", False),
    ("10.9.0.100/32", "tcp", 80, 90, "tcp", f"{VIP}:80", True),
    ("10.9.0.100/32", "tcp", 80, 90, "tcp", f"{VIP}:90", True),
    ("10.9.0.100/32", "tcp", 80, 90, "tcp", f"{VIP}:91", False),
    ("fd00:9::100/128", None, 0, 65535, "tcp", f"[{VIP6}]:80", True),
    ("fd00:9::/63", None, 0, 65535, "tcp", "[fd00:9:0:1::1]:80", True),
    ("fd00:9::/63", None, 0, 65535, "tcp", "[fd00:9:0:2::1]:80", False),
    ("0.0.0.0/0", None, 0, 65535, "tcp", f"[{VIP6}]:80", False),
]


@pytest.mark.parametrize(("network", "only", "first", "last", "protocol", "target", "fits"), FITS)
def test_a_mark_fits_by_network_protocol_and_ports(
    network: str, only: str | None, first: int, last: int, protocol: str, target: str, fits: bool
) -> None:
    with Director() as director:
        director.add_service(SEVEN, 1)
        director.add_service(SEVEN6, 1)
        with_marks(director, Mark(7, ip_network(network), only, first, last))
        source = f"[{CLIENT6}]:1000" if "[" in target else f"{CLIENT}:1000"
        got = {
            "tcp": lambda: director.tcp("S", source, target),
            "udp": lambda: director.udp(source, target),
            "sctp": lambda: director.sctp(b"\1", source, target),
        }[protocol]()
        assert (got == 1) == fits


@pytest.mark.parametrize(
    ("network", "source", "target"),
    [
        ("0.0.0.0/0", f"{CLIENT}:1000", "192.0.2.1:80"),
        ("10.0.0.0/8", f"{CLIENT}:1000", f"{VIP}:80"),
        ("::/0", f"[{CLIENT6}]:1000", "[2001:db8::1]:80"),
    ],
)
def test_a_client_may_be_within_a_marked_network(network: str, source: str, target: str) -> None:
    with Director() as director:
        director.add_service(SEVEN, 1)
        director.add_service(SEVEN6, 1)
        with_marks(director, Mark(7, ip_network(network)))
        assert director.tcp("S", source, target) == 1


def test_the_two_families_of_a_mark_are_two_services() -> None:
    with Director() as director:
        director.add_service(SEVEN, 1)
        director.add_service(SEVEN6, 1, 1)
        with_marks(director, Mark(7, VIP_ONLY), Mark(7, IPv6Network(VIP6)))
        assert director.tcp("S") == 1
        assert director.tcp("S", f"[{CLIENT6}]:1000", f"[{VIP6}]:80") == 2
        assert str(SEVEN.key) == str(SEVEN6.key) == "fwm 7"


@pytest.mark.parametrize("number", [1, 7, 255, 65536, 2**32 - 1])
def test_any_number_is_a_mark(number: int) -> None:
    marked = mark_service(number)
    with Director() as director:
        director.add_service(marked, 1)
        with_marks(director, Mark(number, VIP_ONLY))
        assert director.tcp("S") == 1
        assert director.row(marked).service == marked


# ---- Persistence ----


def test_a_template_of_a_mark_is_named_after_it() -> None:
    loyal = mark_service(7, persistent_s=300)
    with Director() as director:
        director.add_service(loyal, 1, 1)
        with_marks(director, Mark(7, IPv4Network("10.9.0.100/31")))
        assert director.tcp("S", f"{CLIENT}:1000", f"{VIP}:80") == 2
        (template,) = director.templates()
        assert (template.protocol, template.state) == ("fwm", "NONE")
        assert f"{template.client}:{template.client_port}" == f"{CLIENT}:0"
        assert f"{template.address}:{template.port}" == "0.0.0.7:0"
        assert template.server == IPv4Address(server_address(2))


def test_a_client_stays_with_its_server_over_addresses_ports_and_protocols() -> None:
    loyal = mark_service(7, persistent_s=300)
    with Director() as director:
        director.add_service(loyal, 1, 1, 1)
        with_marks(director, Mark(7, IPv4Network("10.9.0.100/31")))
        for target in (f"{VIP}:80", f"{VIP}:443", "10.9.0.101:80"):
            assert director.tcp("S", f"{CLIENT}:1000", target) == 3
        assert director.udp(f"{CLIENT}:1000", f"{VIP}:53") == 3
        assert director.tcp("S", "10.1.0.2:1000") == 2
        assert len(director.templates()) == 2
        assert director.server_row(loyal, 3).persistent == 1


def test_two_marks_remember_apart() -> None:
    seven, eight = mark_service(7, persistent_s=300), mark_service(8, persistent_s=300)
    with Director() as director:
        director.add_service(seven, 1, 1)
        director.add_service(eight, 1)
        with_marks(director, Mark(7, VIP_ONLY, "tcp", 80, 80), Mark(8, VIP_ONLY, "tcp", 81, 81))
        assert director.tcp("S", target=f"{VIP}:80") == 2
        assert director.tcp("S", target=f"{VIP}:81") == 1
        assert [str(entry.address) for entry in director.templates()] == ["0.0.0.7", "0.0.0.8"]


def test_an_ipv6_template_is_named_after_it_too() -> None:
    loyal = mark_service(7, persistent_s=300, version=6)
    with Director() as director:
        director.add_service(loyal, 1)
        with_marks(director, Mark(7, IPv6Network(VIP6)))
        assert director.tcp("S", f"[{CLIENT6}]:1000", f"[{VIP6}]:80") == 1
        (template,) = director.templates()
        assert (str(template.address), template.port) == ("::7", 0)


# ---- One packet ----


def test_one_packet_scheduling_of_a_mark_is_for_datagrams() -> None:
    one = replace(SEVEN, flags=ServiceFlag.ONE_PACKET)
    with Director() as director:
        director.add_service(one, 1, 1)
        with_marks(director, Mark(7, VIP_ONLY))
        assert [director.udp() for _ in range(4)] == [2, 1, 2, 1]
        assert director.connections() == []
        assert director.tcp("S") == 2
        assert [entry.protocol for entry in director.connections()] == ["tcp"]
        assert director.row(one).counters.connections == 5


# ---- The VIPs of a mark ----


def test_a_marked_address_is_a_vip() -> None:
    with Director() as director:
        director.add_service(SEVEN, 1)
        assert director.tcp("S") == "not_a_vip"
        with_marks(director, Mark(7, VIP_ONLY, "tcp", 80, 80))
        assert director.tcp("S", target=f"{VIP}:81") == "no_service"
        assert director.tcp("S", target="10.9.0.101:80") == "not_a_vip"
        with_marks(director)
        assert director.tcp("S") == "not_a_vip"


def test_the_name_of_a_mark_is_no_vip() -> None:
    with Director() as director:
        director.add_service(SEVEN, 1)
        assert director.tcp("S", target="0.0.0.7:80") == "not_a_vip"


def test_a_marks_service_is_edited_and_deleted_like_any_other() -> None:
    with Director() as director:
        director.add_service(SEVEN, 1, 1)
        with_marks(director, Mark(7, VIP_ONLY))
        assert director.change(Operation.ADD_SERVICE, SEVEN) != 0
        edited = mark_service(7, scheduler="wlc", persistent_s=60)
        assert director.change(Operation.EDIT_SERVICE, edited) == 0
        assert director.row(SEVEN).service == edited
        assert director.tcp("S") == 2
        assert director.change(Operation.DELETE_SERVICE, SEVEN) == 0
        assert director.tcp("A") == "server_removed"
        assert director.tcp("S", f"{CLIENT}:1001") == "no_service"
