"""What is said about a client: sentences from the tables, nothing asked of the core."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest

from dr_forwarder.flows import MOST_CONNECTIONS, Client, concerns, explain
from dr_forwarder.table import Connection, Drain, Key, Server, ServerRow, Service, ServiceRow

VIP, CLIENT = IPv4Address("10.10.10.60"), IPv4Address("10.10.10.10")
VM2, VM3 = IPv4Address("10.10.10.62"), IPv4Address("10.10.10.63")
MAC = bytes.fromhex("020000000062")


def server(address: IPv4Address, weight: int = 1, **more: object) -> ServerRow:
    return replace(ServerRow(Server(address, 80, weight), mac=MAC), **more)  # type: ignore[arg-type]


def connection(port: int = 40000, **more: object) -> Connection:
    plain = Connection("tcp", CLIENT, port, VIP, 80, VM2, 80, "ESTABLISHED", 899.9, False, False)
    return replace(plain, **more)  # type: ignore[arg-type]


TEMPLATE = connection(0, client=IPv4Address("10.10.10.0"), state="NONE", left_s=60, template=True)
WEB = ServiceRow(Service(Key("tcp", VIP, 80), "wrr"), (server(VM3), server(VM2)))
STICKY = replace(
    WEB, service=replace(WEB.service, persistent_s=300, mask=IPv4Address("255.255.255.0"))
)
NEW = "A new connection to tcp 10.10.10.60:80"
NONE = "10.10.10.10 has no connection now."
BOTH = (f"{NEW} is given by wrr to one of: 10.10.10.63:80 (weight 1), 10.10.10.62:80 (weight 1).",)


CASES = [
    pytest.param(Client(CLIENT), [WEB], [], (NONE, *BOTH), id="a client that is not known"),
    pytest.param(
        Client(CLIENT),
        [],
        [connection()],
        (
            "TCP 10.10.10.10:40000 to 10.10.10.60:80 is in the table (ESTABLISHED): its frames go"
            " to 10.10.10.62:80, and it is forgotten in 14:59 unless another comes.",
        ),
        id="a connection",
    ),
    pytest.param(
        Client(CLIENT),
        [],
        [connection(removed=True)],
        (
            "TCP 10.10.10.10:40000 to 10.10.10.60:80 belongs to 10.10.10.62:80, which has been"
            " taken out of the service: its frames are dropped.",
        ),
        id="a connection of a server that is gone",
    ),
    pytest.param(
        Client(CLIENT, 40001),
        [],
        [connection()],
        ("10.10.10.10:40001 has no connection now.",),
        id="another port of the client",
    ),
    pytest.param(
        Client(CLIENT),
        [STICKY],
        [TEMPLATE],
        (
            NONE,
            f"{NEW} goes to 10.10.10.62:80: persistence keeps clients of 10.10.10.0 there for"
            " another 1:00.",
        ),
        id="a template of the client's network",
    ),
    pytest.param(
        Client(IPv4Address("10.10.11.10")),
        [STICKY],
        [TEMPLATE],
        ("10.10.11.10 has no connection now.", *BOTH),
        id="a template of another network",
    ),
    pytest.param(
        Client(IPv6Address("::1")),
        [STICKY],
        [TEMPLATE],
        ("::1 has no connection now.", *BOTH),
        id="a template of the other family",
    ),
]


@pytest.mark.parametrize(("client", "services", "connections", "said"), CASES)
def test_what_is_said(
    client: Client,
    services: list[ServiceRow],
    connections: list[Connection],
    said: tuple[str, ...],
) -> None:
    assert explain(client, services, connections) == said


OBSTACLES = [
    pytest.param(server(VM2, 0), "its weight is 0", id="weight 0"),
    pytest.param(
        replace(server(VM2, overloaded=True), server=Server(VM2, 80, 1, upper=10)),
        "it is at its upper threshold of 10 connections",
        id="overloaded",
    ),
    pytest.param(
        replace(server(VM2), server=Server(VM2, 80, 0, drain=Drain.KEEP)),
        "an operator has taken it out",
        id="drained",
    ),
    pytest.param(server(VM2, mac=None), "its MAC address is not known", id="no MAC"),
]


@pytest.mark.parametrize(("row", "obstacle"), OBSTACLES)
def test_a_server_that_takes_none_is_named_with_the_reason(row: ServerRow, obstacle: str) -> None:
    said = explain(
        Client(CLIENT),
        [replace(WEB, servers=(row,))],
        [],
        reason_of=lambda key, address: f"{address} for the test" if key.port == 80 else None,
    )
    assert said[1:] == (
        f"{NEW} is refused (ICMP port unreachable): no real server can take it.",
        f"10.10.10.62:80 takes none: {obstacle} (10.10.10.62 for the test).",
    )


ENDS = [
    (Drain.KEEP, "is in the table (ESTABLISHED): its frames go to 10.10.10.62:80, and"),
    (Drain.DROP, "belongs to 10.10.10.62:80, which is drained: its frames are dropped."),
    (Drain.RESET, "belongs to 10.10.10.62:80, which is drained: its next frame ends it, and the"),
    (Drain.REHASH, "belongs to 10.10.10.62:80, which is drained: with its next frame it goes to"),
]


@pytest.mark.parametrize(("drain", "said"), ENDS)
def test_a_connection_to_a_drained_server_ends_as_was_ordered(drain: Drain, said: str) -> None:
    row = replace(server(VM2), server=Server(VM2, 80, 0, drain=drain))
    lines = explain(Client(CLIENT), [replace(WEB, servers=(row,))], [connection()])
    assert lines[0].startswith(f"TCP 10.10.10.10:40000 to 10.10.10.60:80 {said}")


def test_many_connections_are_counted() -> None:
    said = explain(Client(CLIENT), [], [connection(port) for port in range(MOST_CONNECTIONS + 3)])
    assert len(said) == MOST_CONNECTIONS + 1
    assert said[-1] == "And 3 more connections."


@pytest.mark.parametrize("text", ["10.10.10.10", " 10.10.10.10:40000 ", "::1", "[::1]:40000"])
def test_a_client_is_read_as_it_is_written(text: str) -> None:
    assert Client.of(text).name == text.strip()


@pytest.mark.parametrize("text", ["", "here", "10.10.10.10:x", "10.10.10.10:70000", ":80"])
def test_what_is_no_client_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not like 10\.0\.0\.9, or 10\.0\.0\.9:40000"):
        Client.of(text)


def test_of_all_connections_only_own_ones_and_templates_matter() -> None:
    other = connection(client=IPv4Address("10.10.10.11"))
    assert [concerns(Client(CLIENT), each) for each in (connection(), TEMPLATE, other)] == [
        True,
        True,
        False,
    ]
