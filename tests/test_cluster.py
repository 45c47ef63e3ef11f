"""What those who look are told of servers: one state each, and why."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest

from dr_forwarder.cluster import Checked, Look, State, lines, total
from dr_forwarder.events import Happening, HealthEvent, Phase, Reloaded, Started
from dr_forwarder.table import Counters, Key, Server, ServerRow, Service, ServiceRow, Stats
from dr_forwarder.web import answers

VIP, VM2, VM3 = (IPv4Address(f"10.10.10.{last}") for last in (60, 62, 63))
KEY = Key("tcp", VIP, 80)
MAC = bytes(6)
STATS = Stats(10, 600, {"forwarded": 7, "no_mac": 3, "own_frame": 0}, 4, 1, 2, 1, 2, 0)
ROWS = (
    ServerRow(Server(VM3, 80, 1), active=5, rates=Counters(2, 9, 900), mac=MAC),
    ServerRow(Server(VM2, 80, 3), active=1, rates=Counters(4, 3, 300), mac=MAC),
)


def look(*rows: ServerRow, health: tuple[Checked, ...] = ()) -> Look:
    return Look(1.0, (ServiceRow(Service(KEY, "wrr"), rows or ROWS),), STATS, health)


def check(server: str, up: bool | None, reason: str) -> Checked:
    return Checked("10.10.10.60:80", server, up, reason, "tcp")


STATES = [
    pytest.param(ROWS[0], None, State.UP, "", id="in the table, not checked"),
    pytest.param(ROWS[0], (True, "HTTP 200 OK"), State.UP, "HTTP 200 OK", id="up"),
    pytest.param(ROWS[0], (False, "refused"), State.DOWN, "refused", id="down, still in it"),
    pytest.param(
        replace(ROWS[0], server=Server(VM3, 80, 0)),
        (True, "HTTP 200 OK"),
        State.QUIET,
        "weight 0; HTTP 200 OK",
        id="weight 0",
    ),
    pytest.param(
        replace(ROWS[0], mac=None),
        None,
        State.DOWN,
        "its MAC address is not known: does it answer ARP?",
        id="no MAC",
    ),
    pytest.param(
        replace(ROWS[0], overloaded=True, server=Server(VM3, 80, 1, upper=5)),
        None,
        State.QUIET,
        "full: 5 connections",
        id="at its threshold",
    ),
]


@pytest.mark.parametrize(("row", "said", "state", "reason"), STATES)
def test_a_server_has_one_state_and_its_reason(
    row: ServerRow, said: tuple[bool, str] | None, state: State, reason: str
) -> None:
    health = () if said is None else (check("10.10.10.63:8080", *said),)
    (line,) = lines(look(row, health=health))
    assert (line.state, line.reason) == (state, reason)


def test_a_server_that_is_down_and_out_of_the_table_is_shown() -> None:
    found = lines(look(health=(check("10.10.10.64:80", False, "connection refused"),)))
    last = found[-1]
    assert (last.server, last.state, last.weight) == ("10.10.10.64:80", State.DOWN, None)
    assert total(found) == "2 up, 1 down"


def test_tcp_and_udp_of_one_address_have_their_own_health() -> None:
    """A name server has both, and one may be down."""
    both = tuple(
        ServiceRow(Service(Key(protocol, VIP, 53)), (ServerRow(Server(VM2, 53), mac=MAC),))
        for protocol in ("tcp", "udp")
    )
    health = (
        Checked("10.10.10.60:53", "10.10.10.62:53", True, "answers", "udp"),
        Checked("10.10.10.60:53", "10.10.10.62:53", False, "refused", "tcp"),
    )
    found = {str(line.service): line.reason for line in lines(Look(1.0, both, STATS, health))}
    assert found == {"tcp 10.10.10.60:53": "refused", "udp 10.10.10.60:53": "answers"}


ORDERS = [
    pytest.param(True, "draining, 3 connections left, reset in 540 s", id="up"),
    pytest.param(False, "draining, 3 connections left, reset in 540 s; refused", id="down"),
]


@pytest.mark.parametrize(("up", "reason"), ORDERS)
def test_an_order_counts_more_than_a_check(up: bool, reason: str) -> None:
    order = "draining, 3 connections left, reset in 540 s"
    checked = replace(check("10.10.10.63:80", up, "refused"), order=order)
    found = lines(look(replace(ROWS[0], server=Server(VM3, 80, 0)), health=(checked,)))
    assert [(line.state, line.reason, line.ordered) for line in found] == [
        (State.QUIET, reason, True)
    ]


@pytest.mark.parametrize("server", ["10.10.10.64", "10.10.10.64:80"])
def test_an_order_about_a_server_outside_the_table_is_shown(server: str) -> None:
    checked = replace(check(server, None, "not checked here"), order="drained")
    last = lines(look(health=(checked,)))[-1]
    assert (last.service, last.state, last.ordered) == (KEY, State.UNKNOWN, True)
    assert last.reason == "drained; not checked here"


def test_servers_are_sorted_by_number() -> None:
    servers = [IPv4Address(f"10.10.10.{last}") for last in (100, 20, 3)]
    rows = [ServerRow(Server(address, 80), mac=MAC) for address in servers]
    ends = [line.server.split(".")[-1] for line in lines(look(*rows))]
    assert ends == ["3:80", "20:80", "100:80"]


# ---- As the page has it ----


def test_the_page_is_told_of_all_services_and_the_servers_of_one() -> None:
    other = ServiceRow(Service(Key("udp", VIP, 53)))
    down = check("10.10.10.64:80", False, "refused")
    two = replace(look(health=(down,)), services=(*look().services, other))
    said = answers.look(two, None)
    assert [each["name"] for each in said["services"]] == [
        "tcp 10.10.10.60:80",
        "udp 10.10.10.60:53",
    ]
    assert said["states"] == {"up": 2, "quiet": 0, "down": 1, "unknown": 0}
    assert [each["server"] for each in said["chosen"]["servers"]] == [
        "10.10.10.62:80",
        "10.10.10.63:80",
        "10.10.10.64:80",
    ]
    assert answers.look(two, "udp 10.10.10.60:53")["chosen"]["servers"] == []
    assert answers.look(two, "gone")["chosen"]["name"] == "tcp 10.10.10.60:80"


def test_an_empty_table_is_told_as_such() -> None:
    said = answers.look(replace(look(), services=()), None)
    assert (said["services"], said["chosen"]) == ([], None)


def test_one_mark_of_both_families_is_two_services() -> None:
    marks = [
        ServiceRow(Service(Key("fwm", address, 0)), (ServerRow(Server(server, 0), mac=MAC),))
        for address, server in (
            (IPv4Address(7), VM2),
            (IPv6Address(7), IPv6Address("fd77::62")),
        )
    ]
    both = replace(look(), services=tuple(marks))
    for name, server in (("fwm 7", "10.10.10.62:0"), ("fwm 7 (IPv6)", "[fd77::62]:0")):
        chosen = answers.look(both, name)["chosen"]
        assert (chosen["name"], [each["server"] for each in chosen["servers"]]) == (name, [server])


def test_of_very_many_servers_those_that_are_down_are_told_first() -> None:
    many = [
        ServerRow(Server(IPv4Address(f"10.10.{n // 200}.{n % 200 + 1}"), 80), mac=MAC)
        for n in range(answers.MOST_SERVERS + 50)
    ]
    many[-1] = replace(many[-1], mac=None)
    chosen = answers.look(look(*many), None)["chosen"]
    assert len(chosen["servers"]) == answers.MOST_SERVERS
    assert chosen["more"] == 50
    assert "down" in {each["state"] for each in chosen["servers"]}


def test_events_are_those_after_the_last_seen_that_have_words() -> None:
    happened = [
        Happening(number, 100.0 + number, Phase.RUNNING, event)
        for number, event in enumerate(
            (Started(1), HealthEvent(VM3, 80, (KEY,), up=False, reason="refused"), Reloaded("a")), 1
        )
    ]

    def words(each: Happening) -> str | None:
        return None if isinstance(each.event, Reloaded) else each.kind

    said: dict[str, Any] = answers.events(happened, words, after=1)
    assert said["last"] == 3
    assert [(each["number"], each["text"]) for each in said["events"]] == [(2, "health_down")]
    assert answers.events([], words, after=9) == {"last": 0, "events": []}
