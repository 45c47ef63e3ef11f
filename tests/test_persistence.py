"""Persistence: templates, whom they cover, when they end, and what does not touch them."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from director import CLIENT, LATE_S, VIP, Director, other_port, server_address, service

from dr_forwarder.table import Connection, Operation

WEB = service(persistent_s=300)


def shown(entry: Connection) -> str:
    """As ``ipvsadm -Lnc`` writes it, without the time."""
    return (
        f"{entry.state} {entry.client}:{entry.client_port} {entry.address}:{entry.port} "
        f"{entry.server}:{entry.server_port}"
    )


def left(entry: Connection) -> int:
    return round(entry.left_s)


# ---- Whom a template covers ----


def test_a_client_stays_with_its_server() -> None:
    with Director() as director:
        director.add_service(WEB, 1, 1, 1)
        for client, expected in (("10.1.0.1", 3), ("10.1.0.2", 2), ("10.1.0.3", 1)):
            for port in range(1000, 1005):
                assert director.tcp("S", f"{client}:{port}") == expected
        assert [shown(entry) for entry in director.templates()] == [
            "NONE 10.1.0.1:0 10.9.0.100:80 10.9.0.13:80",
            "NONE 10.1.0.2:0 10.9.0.100:80 10.9.0.12:80",
            "NONE 10.1.0.3:0 10.9.0.100:80 10.9.0.11:80",
        ]
        row = director.server_row(WEB, 3)
        assert (row.active, row.inactive, row.persistent) == (5, 0, 1)
        assert row.counters.connections == 5


@pytest.mark.parametrize(
    ("mask", "together", "apart"),
    [
        ("255.255.255.0", "10.1.0.254", "10.1.1.1"),
        ("255.255.0.0", "10.1.200.1", "10.2.0.1"),
        ("255.255.255.255", "10.1.0.1", "10.1.0.2"),
        ("0.0.0.255", "99.9.9.1", "10.1.0.2"),
    ],
)
def test_a_mask_covers_a_network(mask: str, together: str, apart: str) -> None:
    web = service(persistent_s=300, mask=mask)
    with Director() as director:
        director.add_service(web, 1, 1, 1)
        assert director.tcp("S", "10.1.0.1:1000") == 3
        assert director.tcp("S", f"{together}:2000") == 3
        assert director.tcp("S", f"{apart}:3000") == 2
        networks = {entry.client for entry in director.templates()}
        assert IPv4Address(int(IPv4Address("10.1.0.1")) & int(IPv4Address(mask))) in networks
        assert len(networks) == 2


def test_two_services_remember_apart() -> None:
    tls = other_port(WEB, 443)
    with Director() as director:
        director.add_service(WEB, 1, 1, 1)
        director.add_service(tls, 1, 1, 1)
        assert director.tcp("S", f"{CLIENT}:1000") == 3
        assert director.tcp("S", "10.1.0.2:1000", f"{VIP}:443") == 3
        assert director.tcp("S", f"{CLIENT}:1000", f"{VIP}:443") == 2
        assert len(director.templates()) == 3


def test_tcp_and_udp_remember_apart() -> None:
    datagrams = service(protocol="udp", persistent_s=300)
    with Director() as director:
        director.add_service(WEB, 1, 1, 1)
        director.add_service(datagrams, 1, 1, 1)
        assert director.udp("10.1.0.2:1000") == 3
        assert director.tcp("S") == 3
        assert director.udp() == 2
        assert director.udp(f"{CLIENT}:1001") == 2


def test_a_service_on_all_ports_keeps_a_client_together_on_all_of_them() -> None:
    everything = service(f"{VIP}:0", persistent_s=300)
    with Director() as director:
        director.add_service(everything, 1, 1, 1)
        for port in (80, 443, 8080):
            assert director.tcp("S", f"{CLIENT}:{port}", f"{VIP}:{port}") == 3
        assert director.tcp("S", "10.1.0.2:80", f"{VIP}:80") == 2
        assert shown(director.templates()[0]) == "NONE 10.1.0.1:0 10.9.0.100:0 10.9.0.13:0"


def test_a_connection_of_a_service_on_all_ports_is_listed_with_its_own_port() -> None:
    everything = service(f"{VIP}:0", persistent_s=300)
    with Director() as director:
        director.add_service(everything, 1)
        director.tcp("S", f"{CLIENT}:1000", f"{VIP}:8080")
        entry = director.connection()
        assert shown(entry) == "SYN_RECV 10.1.0.1:1000 10.9.0.100:8080 10.9.0.11:8080"


def test_an_exact_port_goes_before_all_ports() -> None:
    everything = service(f"{VIP}:0", persistent_s=300)
    with Director() as director:
        director.add_service(everything, 1)
        director.add_service(service(), 1, 1)
        assert director.tcp("S", f"{CLIENT}:1000", f"{VIP}:80") == 2
        assert director.tcp("S", f"{CLIENT}:1000", f"{VIP}:81") == 1


def test_ftp_is_remembered_on_all_ports() -> None:
    ftp = service(f"{VIP}:21", persistent_s=300)
    with Director() as director:
        director.add_service(ftp, 1, 1)
        assert director.tcp("S", f"{CLIENT}:1000", f"{VIP}:21") == 2
        assert [entry.port for entry in director.templates()] == [0]


def test_passive_ftp_data_follows_its_control_connection() -> None:
    ftp = service(f"{VIP}:21", persistent_s=300)
    with Director() as director:
        director.add_service(ftp, 1, 1)
        assert director.tcp("S", f"{CLIENT}:1000", f"{VIP}:21") == 2
        assert director.tcp("S", f"{CLIENT}:1001", f"{VIP}:40000") == 2


# ---- Port 0: the flow that looks like a template's key ----


def test_a_client_that_sends_from_port_0_is_not_taken_for_its_template() -> None:
    with Director() as director:
        director.add_service(WEB, 1, 1)
        assert director.tcp("S", f"{CLIENT}:1000") == 2
        assert director.tcp("S", f"{CLIENT}:0") == 2
        assert director.tcp("FA", f"{CLIENT}:0") == 2
        assert [shown(entry).split()[0] for entry in director.templates()] == ["NONE"]
        assert [left(entry) for entry in director.templates()] == [300]
        assert director.counts(WEB)[2] == (1, 1)


def test_a_connection_from_port_0_is_never_a_template_of_others() -> None:
    with Director() as director:
        director.add_service(WEB, 1, 1)
        assert director.tcp("S", f"{CLIENT}:0") == 2
        assert director.tcp("S", f"{CLIENT}:1000") == 2
        director.tcp("A", f"{CLIENT}:1000")
        assert [shown(entry).split()[0] for entry in director.templates()] == ["ASSURED"]
        director.wait(900 + LATE_S)
        director.tick()
        director.wait(300)
        director.tick()
        assert director.connections() == []
        assert director.counts(WEB)[2] == (0, 0)


# ---- When it ends ----


def test_each_new_connection_restarts_the_timer_and_a_packet_does_not() -> None:
    with Director() as director:
        director.add_service(WEB, 1)
        director.tcp("S")
        director.tcp("A")
        director.wait(100)
        director.tcp("PA")
        assert left(director.templates()[0]) == 200
        director.wait(100)
        director.tcp("S", f"{CLIENT}:1001")
        assert left(director.templates()[0]) == 300


def test_a_template_without_connections_ends_with_its_timer() -> None:
    brief = service(persistent_s=100)
    with Director() as director:
        director.add_service(brief, 1, 1)
        assert director.tcp("S") == 2
        director.wait(100 - 1)
        director.tick()
        assert [entry.template for entry in director.connections()] == [True]
        director.wait(1 + LATE_S)
        director.tick()
        assert director.connections() == []
        assert director.server_row(brief, 2).persistent == 0
        assert director.tcp("S", f"{CLIENT}:1001") == 1


def test_a_template_with_connections_lives_on_by_the_minute_for_good() -> None:
    """And from then on a new connection gives it 60 s, not what the service says."""
    brief = service(persistent_s=10)
    with Director() as director:
        director.add_service(brief, 1, 1)
        assert director.tcp("S") == 2
        director.tcp("A")
        director.wait(10 + LATE_S)
        director.tick()
        assert left(director.templates()[0]) == 60
        director.wait(30)
        assert director.tcp("S", f"{CLIENT}:1001") == 2
        assert left(director.templates()[0]) == 60
        for _ in range(3):
            director.wait(60 + LATE_S)
            director.tick()
            assert left(director.templates()[0]) == 60


def test_a_template_ends_within_a_minute_of_its_last_connection() -> None:
    brief = service(persistent_s=1)
    with Director() as director:
        director.add_service(brief, 1)
        director.tcp("S")
        director.wait(1 + LATE_S)
        director.tick()
        director.wait(59 + LATE_S)
        director.tick()
        assert [entry.template for entry in director.connections()] == [True]
        director.wait(60)
        director.tick()
        assert director.connections() == []


def test_a_template_is_assured_when_a_connection_is_established() -> None:
    with Director() as director:
        director.add_service(WEB, 1)
        director.tcp("S")
        assert director.templates()[0].state == "NONE"
        director.tcp("R")
        assert director.templates()[0].state == "NONE"
        director.tcp("A")
        assert director.templates()[0].state == "ASSURED"
        director.tcp("FA")
        assert director.templates()[0].state == "ASSURED"


def test_datagrams_never_assure_a_template() -> None:
    datagrams = service(protocol="udp", persistent_s=300)
    with Director() as director:
        director.add_service(datagrams, 1)
        for _ in range(3):
            director.udp()
        assert [entry.state for entry in director.templates()] == ["NONE"]


def test_a_reused_flow_under_persistence_keeps_its_connection() -> None:
    with Director() as director:
        director.add_service(WEB, 1, 1)
        for flags in ("S", "A", "R", "S"):
            assert director.tcp(flags) == 2
        assert director.engine.stats().created == 2


# ---- What does and does not touch it ----


def test_another_timeout_is_for_new_templates() -> None:
    with Director() as director:
        director.add_service(WEB, 1)
        director.tcp("S")
        edited = service(persistent_s=50)
        assert director.change(Operation.EDIT_SERVICE, edited) == 0
        director.tcp("S", f"{CLIENT}:1001")
        director.tcp("S", "10.1.0.2:1000")
        assert [left(entry) for entry in director.templates()] == [300, 50]


def test_another_mask_makes_other_templates() -> None:
    with Director() as director:
        director.add_service(WEB, 1, 1)
        assert director.tcp("S") == 2
        edited = service(persistent_s=300, mask="255.255.255.0")
        director.change(Operation.EDIT_SERVICE, edited)
        assert director.tcp("S", f"{CLIENT}:1001") == 1
        assert [str(entry.client) for entry in director.templates()] == ["10.1.0.0", CLIENT]


def test_without_persistence_templates_are_left_to_end() -> None:
    with Director() as director:
        director.add_service(WEB, 1, 1)
        assert director.tcp("S") == 2
        director.change(Operation.EDIT_SERVICE, service())
        assert director.tcp("S", f"{CLIENT}:1001") == 1
        assert director.tcp("S", f"{CLIENT}:1002") == 2
        assert len(director.templates()) == 1
        director.wait(300 + LATE_S)
        director.tick()
        assert director.templates() == []


def test_weight_0_keeps_a_templates_clients() -> None:
    with Director() as director:
        director.add_service(WEB, 1, 1)
        assert director.tcp("S") == 2
        director.edit(WEB, 2, weight=0)
        assert director.tcp("S", f"{CLIENT}:1001") == 2
        assert director.tcp("S", "10.1.0.2:1000") == 1


def test_a_full_server_keeps_a_templates_clients() -> None:
    with Director() as director:
        director.add_service(WEB, 1)
        director.add(WEB, 2, upper=1)
        assert director.tcp("S") == 2
        assert director.tcp("S", "10.1.0.2:1000") == 1
        assert director.tcp("S", f"{CLIENT}:1001") == 2
        assert director.counts(WEB)[2] == (2, 0)


def test_a_removed_servers_clients_get_another_and_the_old_template_fades() -> None:
    with Director() as director:
        director.add_service(WEB, 1, 1)
        assert director.tcp("S") == 2
        director.wait(50)
        director.delete(WEB, 2)
        assert director.tcp("A") == "server_removed"
        assert director.tcp("S", f"{CLIENT}:1001") == 1
        old, new = sorted(director.templates(), key=lambda entry: -entry.port)
        assert (old.port, old.removed, left(old)) == (65535, True, 250)
        assert (new.port, new.removed, left(new)) == (80, False, 300)
        assert str(new.server) == server_address(1)
        assert director.tcp("S", f"{CLIENT}:1002") == 1


def test_a_server_that_comes_back_in_time_has_its_clients_again() -> None:
    with Director() as director:
        director.add_service(WEB, 1, 1)
        assert director.tcp("S") == 2
        director.delete(WEB, 2)
        director.add(WEB, 2)
        assert director.tcp("S", f"{CLIENT}:1001") == 2
        assert director.server_row(WEB, 2).persistent == 1


def test_without_any_server_a_client_is_refused_and_its_template_fades() -> None:
    with Director() as director:
        director.add_service(WEB, 1)
        director.tcp("S")
        director.delete(WEB, 1)
        assert director.tcp("S", f"{CLIENT}:1001") == "no_server"
        assert [entry.port for entry in director.templates()] == [65535]


def test_room_for_the_template_but_not_for_its_connection_is_no_room() -> None:
    with Director(connections=3) as director:
        director.tune(unproved_share=0)
        director.add_service(WEB, 1)
        assert director.tcp("S") == 1
        assert director.tcp("S", "10.1.0.2:1000") == "table_full"
        assert director.tcp("S", "10.1.0.3:1000") == "table_full"
        assert director.server_row(WEB, 1).persistent == 2
        assert director.counts(WEB)[1] == (1, 0)
