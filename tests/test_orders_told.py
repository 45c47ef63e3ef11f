"""Drain, disable and enable as they are asked for: over the socket, by the client, by command."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from ordering import DNS, FIRST, NOW_S, OTHER, SECOND, TLS, VIP, WEB, Orders, config
from test_api import FakeDirector, while_serving

from dr_forwarder.cli import drain, main, naming
from dr_forwarder.client import Client
from dr_forwarder.config.model import Real, Virtual
from dr_forwarder.errors import Refused
from dr_forwarder.exchange import exchange
from dr_forwarder.health import Health
from dr_forwarder.orders import Member, Order, OrderRow, State
from dr_forwarder.table import Drain, Key, ServiceRow


class Director(FakeDirector):
    """What the socket and the commands see of a director whose orders are real."""

    def __init__(self, path: Path | None = None) -> None:
        super().__init__(config=config())
        self.orders = Orders(path)
        self.draining = self.orders.draining

    def services(self) -> tuple[ServiceRow, ...]:
        return self.orders.engine.services()

    def health(self, virtual: Virtual, real: Real) -> Health:
        return Health(up=True, reason="connected")


@pytest.fixture
def director() -> Director:
    return Director()


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


# ---- The client ----


def test_what_the_client_asks_for_is_done_and_told(
    tmp_path: Path, client: Client, director: Director
) -> None:
    def ask() -> tuple[OrderRow, ...]:
        assert client.drain(FIRST, WEB, deadline_s=90, then=Drain.DROP) == ((WEB, FIRST),)
        assert client.disable(SECOND) == ((WEB, SECOND), (TLS, SECOND))
        assert client.disable(OTHER, DNS, then=Drain.REHASH) == ((DNS, OTHER),)
        assert client.enable(SECOND, TLS) == ((TLS, SECOND),)
        return client.orders()

    rows = while_serving(tmp_path, ask, director)
    assert rows == director.draining.rows()
    assert [(row.order.member, row.state, row.left_s, row.order.then) for row in rows] == [
        ((WEB, FIRST), State.DRAINED, 90, Drain.DROP),
        ((WEB, SECOND), State.DISABLED, 0, Drain.RESET),
        ((DNS, OTHER), State.DISABLED, 0, Drain.REHASH),
    ]
    assert director.orders.servers()[443, SECOND] == (1, Drain.NONE)


def test_the_table_says_what_is_ordered(tmp_path: Path, client: Client, director: Director) -> None:
    def ask() -> dict[IPv4Address | IPv6Address, tuple[int, Drain]]:
        client.drain(FIRST, WEB)
        (row,) = (row for row in client.services() if row.service.key == WEB)
        return {
            each.server.address: (each.server.weight, each.server.drain) for each in row.servers
        }

    servers = while_serving(tmp_path, ask, director)
    assert servers == {FIRST: (0, Drain.KEEP), SECOND: (1, Drain.NONE)}


WRONG = [
    ({}, "order", "one of drain, disable, enable"),
    ({"order": "stop", "server": "10.9.0.11"}, "order", "one of"),
    ({"order": "drain"}, "server", "IPv4 or IPv6"),
    ({"order": "drain", "server": "vm2"}, "server", "IPv4 or IPv6"),
    ({"order": "drain", "server": "10.9.0.11", "then": "keep"}, "then", "drop, reset, rehash"),
    ({"order": "drain", "server": "10.9.0.11", "then": []}, "then", "drop, reset, rehash"),
    ({"order": "drain", "server": "10.9.0.11", "deadline_s": -1}, "deadline_s", "whole number"),
    ({"order": "disable", "server": "10.9.0.11", "deadline_s": 5}, "deadline_s", "drain only"),
    ({"order": "drain", "server": "10.9.0.11", "service": "web"}, "service", "object"),
    ({"order": "drain", "server": "10.9.0.11", "when": 1}, "when", "not known"),
]


@pytest.mark.parametrize(("said", "field", "reason"), WRONG)
def test_a_wrong_order_is_told_its_field(
    tmp_path: Path, director: Director, said: object, field: str, reason: str
) -> None:
    def ask() -> tuple[int, dict[str, str]]:
        path, body = str(tmp_path / "control"), json.dumps(said).encode()
        answer = exchange(path, "POST", "/v1/orders", body, limit_s=5)
        return answer.status, json.loads(answer.body)

    status, answer = while_serving(tmp_path, ask, director)
    assert (status, answer["field"]) == (400, field)
    assert reason in answer["error"]
    assert director.draining.rows() == ()


def test_an_order_about_nobody_is_refused(
    tmp_path: Path, client: Client, director: Director
) -> None:
    def ask() -> list[str]:
        told = []
        for service in (DNS, None):
            with pytest.raises(Refused) as refused:
                client.drain(IPv4Address("10.9.0.99"), service)
            assert (refused.value.status, refused.value.field) == (404, "server")
            told.append(str(refused.value))
        return told

    assert while_serving(tmp_path, ask, director) == [
        "server: udp 10.9.0.100:53 has no server 10.9.0.99",
        "server: no service has a server 10.9.0.99",
    ]


def test_an_order_that_cannot_be_kept_is_refused(tmp_path: Path, client: Client) -> None:
    director = Director(tmp_path / "nowhere" / "orders.json")

    def ask() -> str:
        with pytest.raises(Refused) as refused:
            client.drain(FIRST)
        return str(refused.value)

    told = while_serving(tmp_path, ask, director)
    assert told == "the order cannot be kept: No such file or directory"
    assert director.orders.servers()[80, FIRST] == (1, Drain.NONE)


# ---- The commands ----

Command = Callable[..., tuple[object, str, str]]


@pytest.fixture
def command(
    tmp_path: Path,
    director: Director,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """The program beside that director: exit status, what it printed, and its complaint."""

    def called(*words: str) -> tuple[object, str, str]:
        argv = ["dr-forwarder", *words, "--state-dir", str(tmp_path)]
        monkeypatch.setattr(sys, "argv", argv)

        def ask() -> object:
            with pytest.raises(SystemExit) as ended:
                main()
            return ended.value.code

        return while_serving(tmp_path, ask, director), *capsys.readouterr()

    return called


def test_a_server_is_drained_and_enabled_by_command(command: Command, director: Director) -> None:
    drained = "tcp 10.9.0.100:80 -> 10.9.0.11: drained\n"
    assert command("drain", "10.9.0.100:80", "10.9.0.11:80") == (0, drained, "")
    assert director.orders.servers()[80, FIRST] == (0, Drain.KEEP)
    (row,) = director.draining.rows()
    assert (row.left_s, row.order.then) == (600, Drain.RESET)
    enabled = "tcp 10.9.0.100:80 -> 10.9.0.11: enabled\n"
    assert command("enable", "tcp 10.9.0.100:80", "10.9.0.11") == (0, enabled, "")
    assert director.orders.servers()[80, FIRST] == (1, Drain.NONE)


def test_all_services_of_a_server_can_be_meant(command: Command, director: Director) -> None:
    disabled = "".join(f"tcp 10.9.0.100:{port} -> 10.9.0.12: disabled\n" for port in (80, 443))
    assert command("disable", "--all", "10.9.0.12", "--then", "drop") == (0, disabled, "")
    assert director.orders.servers()[443, SECOND] == (0, Drain.DROP)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("30s", 30), ("10m", 600), ("2h", 7200), ("1d", 86400)]
)
def test_deadlines_have_units(
    command: Command, director: Director, text: str, seconds: int
) -> None:
    command("drain", "--no-wait", "10.9.0.100:80", "10.9.0.11", "--deadline", text)
    (row,) = director.draining.rows()
    assert row.left_s == seconds


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["drain", "10.9.0.100:80"], 2, "say SERVICE and SERVER, or --all and SERVER"),
        (["drain", "--all", "a", "b"], 2, "say SERVER with --all"),
        (["drain", "10.9.0.100:80", "10.9.0.11", "--deadline", "soon"], 2, "90s, 10m, 2h, 1d"),
        (["drain", "10.9.0.100:81", "10.9.0.11"], 1, "there are: tcp 10.9.0.100:80"),
        (["drain", "10.9.0.100", "10.9.0.11"], 1, "may be any of: tcp 10.9.0.100:80"),
        (["drain", "10.9.0.100:80", "80"], 1, "'80' is no server"),
        (["drain", "10.9.0.100:80", "10.9.0.99"], 1, "has no server 10.9.0.99"),
    ],
)
def test_what_is_wrong_is_said(
    command: Command, director: Director, words: list[str], status: int, told: str
) -> None:
    ended = command(*words)
    assert ended[0] == status
    assert told in ended[2]
    assert director.draining.rows() == ()


def test_list_says_what_is_ordered_beside_what_the_checks_say(
    command: Command, director: Director
) -> None:
    director.draining.drain([(WEB, FIRST)], deadline_s=0)
    director.draining.drain([(DNS, OTHER)], deadline_s=60)
    assert command("list", "--health")[1] == (
        "10.9.0.100:80 -> 10.9.0.11:80 up: connected; disabled\n"
        "10.9.0.100:80 -> 10.9.0.12:80 up: connected\n"
        "10.9.0.100:443 -> 10.9.0.11:443 up: connected\n"
        "10.9.0.100:443 -> 10.9.0.12:443 up: connected\n"
        "10.9.0.100:53 -> 10.9.0.13 unknown: not checked here; drained\n"
    )
    rows = json.loads(command("list", "--health", "--json")[1])
    assert [row["order"] and row["order"]["state"] for row in rows] == [
        *("disabled", None, None, None),
        "drained",
    ]
    table = command("list", "-n")[1].splitlines()
    assert "  -> 10.9.0.11:80                 Route   0      0          0         " in table


# ---- Waiting ----


def row(left: int, *, key: Key = WEB, left_s: float = 30) -> OrderRow:
    order = Order(key, FIRST, NOW_S, NOW_S + 60)
    state = State.DRAINING if left and left_s else State.DRAINED
    return OrderRow(order, state, left, 0, left_s)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def followed(
    story: Sequence[Sequence[OrderRow]], members: Sequence[Member], out: io.StringIO
) -> tuple[bool, list[float]]:
    slept: list[float] = []
    looks = iter(story)
    done = drain.follow(lambda: next(looks), members, out, sleep=slept.append)
    assert next(looks, None) is None
    return done, slept


def test_each_change_is_a_line_until_nothing_is_left() -> None:
    out = io.StringIO()
    story = [[row(3)], [row(3)], [row(1)], [row(0)]]
    assert followed(story, [(WEB, FIRST)], out) == (True, [1.0] * 3)
    assert out.getvalue().splitlines() == [
        "tcp 10.9.0.100:80 -> 10.9.0.11: draining, 3 connections left, reset in 30 s",
        "tcp 10.9.0.100:80 -> 10.9.0.11: draining, 1 connection left, reset in 30 s",
        "tcp 10.9.0.100:80 -> 10.9.0.11: drained",
    ]


def test_the_deadline_ends_the_waiting_too() -> None:
    out = io.StringIO()
    assert followed([[row(2)], [row(2, left_s=0)]], [(WEB, FIRST)], out)[0]
    assert out.getvalue().endswith("drained, 2 connections left\n")


def test_all_are_waited_for_and_others_are_not() -> None:
    out = io.StringIO()
    both = [(WEB, FIRST), (TLS, FIRST)]
    story = [[row(0), row(1, key=TLS), row(9, key=DNS)], [row(0), row(0, key=TLS)]]
    assert followed(story, both, out)[0]
    assert "10.9.0.100:53" not in out.getvalue()


def test_who_waits_is_told_when_somebody_takes_the_order_back() -> None:
    out = io.StringIO()
    assert not followed([[row(3)], []], [(WEB, FIRST)], out)[0]
    assert out.getvalue().endswith("Taken back meanwhile.\n")


def test_on_a_terminal_the_lines_stay_in_their_place() -> None:
    out = Terminal()
    assert followed([[row(3)], [row(3, left_s=29)], [row(0)]], [(WEB, FIRST)], out)[0]
    assert out.getvalue().count("\x1b[1A\x1b[J") == 2
    assert "reset in 29 s" in out.getvalue()


def test_an_interrupt_leaves_the_order_in_place(
    command: Command, director: Director, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(drain, "follow", interrupted)
    status, out, _ = command("drain", "10.9.0.100:80", "10.9.0.11")
    assert (status, "The order stands" in out) == (130, True)
    assert len(director.draining.rows()) == 1


# ---- Names ----

SIX = Key("tcp", IPv6Address("2001:db8::1"), 80)
MARK = Key("fwm", IPv4Address(7), 0)
KEYS = (WEB, TLS, DNS, SIX, MARK)


class Names:
    """What a resolver and /etc/services might say."""

    def host(self, _: object) -> None:
        return None

    def port(self, *_: object) -> None:
        return None

    def address(self, text: str) -> IPv4Address | None:
        try:
            return VIP if text == "vip" else IPv4Address(text)
        except ValueError:
            return None

    def number(self, port: str, _: str) -> int | None:
        return {"http": 80, "domain": 53}.get(port)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("10.9.0.100:80", WEB),
        ("TCP 10.9.0.100:443", TLS),
        ("tcp:vip:http", WEB),
        ("10.9.0.100:53", DNS),
        ("udp 10.9.0.100", DNS),
        ("udp/10.9.0.100:domain", DNS),
        ("[2001:db8::1]:80", SIX),
        ("2001:db8::1", SIX),
        ("7", MARK),
        ("fwm 7", MARK),
        ("FWM:7", MARK),
    ],
)
def test_a_service_is_found_as_people_write_it(text: str, key: Key) -> None:
    assert naming.service(text, KEYS, Names()) == key


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("10.9.0.100", "may be any of: tcp 10.9.0.100:80, tcp 10.9.0.100:443, udp"),
        ("udp 10.9.0.100:80", "there is no service"),
        ("fwm 8", "there is no service"),
        ("nonsense", "there are: tcp 10.9.0.100:80, "),
    ],
)
def test_a_service_that_is_not_clear_is_asked_for(text: str, told: str) -> None:
    with pytest.raises(naming.UnknownServiceError, match=told):
        naming.service(text, KEYS, Names())


def test_without_services_it_says_that_there_are_none() -> None:
    with pytest.raises(naming.UnknownServiceError, match="there are: none"):
        naming.service("1.2.3.4:80", (), Names())
