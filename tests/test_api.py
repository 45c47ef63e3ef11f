"""API and client over a real Unix socket: what goes in at one end comes out at the other."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TypeVar

import pytest

from dr_forwarder.api import jsonable, serving
from dr_forwarder.client import Client
from dr_forwarder.config.model import Check, Config, Real, Virtual
from dr_forwarder.errors import NotRunning
from dr_forwarder.health import Health
from dr_forwarder.table import (
    Connection,
    Counters,
    Key,
    Server,
    ServerRow,
    Service,
    ServiceFlag,
    ServiceRow,
    Stats,
)

VIP, CLIENT = IPv4Address("10.9.0.100"), IPv4Address("192.0.2.7")
FIRST, SECOND = IPv4Address("10.9.0.11"), IPv4Address("10.9.0.12")

SERVICES = (
    ServiceRow(
        Service(Key("tcp", VIP, 80), "wrr", 300, IPv4Address("255.255.255.0")),
        (
            ServerRow(
                Server(SECOND, 80, 3, upper=100, lower=50),
                active=4,
                inactive=5,
                persistent=6,
                counters=Counters(7, 8, 2**63),
                mac=bytes.fromhex("02000000000c"),
                overloaded=True,
            ),
            ServerRow(Server(FIRST, 80, 0)),
        ),
        Counters(1, 2, 3),
    ),
    ServiceRow(Service(Key("udp", IPv6Address("2001:db8::1"), 53), flags=ServiceFlag.ONE_PACKET)),
)
CONNECTIONS = (
    Connection(
        "tcp", CLIENT, 50000, VIP, 80, SECOND, 80, "ESTABLISHED", 899.25, False, removed=True
    ),
    Connection("tcp", CLIENT, 0, VIP, 80, SECOND, 80, "NONE", 0.0, True, removed=False),
)
STATS = Stats(
    frames=10,
    bytes=1000,
    verdicts={"forwarded": 9, "not a VIP": 1},
    created=2,
    expired=1,
    connections=1,
    services=2,
    servers=2,
    ring_dropped=3,
)
WEB = Virtual(
    "tcp",
    VIP,
    80,
    real=(Real(FIRST, 8080), Real(SECOND, 80)),
    check=Check(service="http", request="/test.html"),
)
CONFIG = Config("test.cf", (WEB,))


@dataclass
class FakeDirector:
    """What the API looks at."""

    table: tuple[ServiceRow, ...] = SERVICES
    config: Config = CONFIG
    ready: bool = True

    def services(self) -> tuple[ServiceRow, ...]:
        return self.table

    def connections(self) -> tuple[Connection, ...]:
        return CONNECTIONS

    def stats(self) -> Stats:
        return STATS

    def timeouts(self) -> tuple[int, int, int]:
        return 900, 120, 300

    def health(self, virtual: Virtual, real: Real) -> Health:
        assert virtual is WEB
        return Health(up=True, reason="HTTP 200 OK") if real.port == 80 else Health()


Answer = TypeVar("Answer")


def while_serving(directory: Path, ask: Callable[[], Answer], director: object = None) -> Answer:
    """What ``ask`` returns, called in a thread of its own."""

    async def scenario() -> Answer:
        async with serving(director or FakeDirector(), directory):  # type: ignore[arg-type]
            return await asyncio.to_thread(ask)

    return asyncio.run(scenario())


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """As somebody who may not do everything."""
    if os.geteuid() != 0:
        yield
        return
    try:
        os.seteuid(65534)
    except OSError:
        pytest.skip("root of a user namespace cannot become somebody else")
    try:
        yield
    finally:
        os.seteuid(0)


# ---- Round trips ----


def test_the_table_comes_back_as_it_was(tmp_path: Path, client: Client) -> None:
    assert while_serving(tmp_path, client.services) == SERVICES


def test_an_empty_table_comes_back_empty(tmp_path: Path, client: Client) -> None:
    assert while_serving(tmp_path, client.services, FakeDirector(table=())) == ()


def test_connections_come_back_as_they_were(tmp_path: Path, client: Client) -> None:
    assert while_serving(tmp_path, client.connections) == CONNECTIONS


def test_the_counters_come_back_as_they_were(tmp_path: Path, client: Client) -> None:
    assert while_serving(tmp_path, client.stats) == STATS


def test_the_timeouts_come_back_as_a_tuple(tmp_path: Path, client: Client) -> None:
    assert while_serving(tmp_path, client.timeouts) == (900, 120, 300)


def test_health_names_service_server_and_reason(tmp_path: Path, client: Client) -> None:
    """The server is named with the port that is checked."""
    unknown = {"up": None, "failures": 0, "reason": "not checked yet"}
    assert while_serving(tmp_path, lambda: client.get("health")) == [
        {"virtual": "10.9.0.100:80", "server": "10.9.0.11:8080", **unknown},
        {
            "virtual": "10.9.0.100:80",
            "server": "10.9.0.12:80",
            "up": True,
            "failures": 0,
            "reason": "HTTP 200 OK",
        },
    ]


def test_each_call_asks_anew(tmp_path: Path, client: Client) -> None:
    director = FakeDirector()

    def ask() -> list[int]:
        counts = [len(client.services())]
        director.table = SERVICES[:1]
        return [*counts, len(client.services())]

    assert while_serving(tmp_path, ask, director) == [2, 1]


# ---- JSON ----

VALUES = [
    pytest.param(VIP, "10.9.0.100", id="an address"),
    pytest.param(IPv6Address("::1"), "::1", id="an IPv6 address"),
    pytest.param(bytes.fromhex("00005e00013c"), "00:00:5e:00:01:3c", id="a MAC address"),
    pytest.param((VIP, (1, None)), ["10.9.0.100", [1, None]], id="tuples in tuples"),
    pytest.param({FIRST: True}, {"10.9.0.11": True}, id="addresses as keys"),
    pytest.param(Counters(1, 2, 3), {"connections": 1, "packets": 2, "bytes": 3}, id="data"),
    pytest.param(None, None, id="nothing"),
    pytest.param("text", "text", id="text"),
    pytest.param(0.5, 0.5, id="seconds"),
]


@pytest.mark.parametrize(("value", "expected"), VALUES)
def test_data_as_json(value: object, expected: object) -> None:
    assert jsonable(value) == expected
    assert json.loads(json.dumps(jsonable(value))) == expected


def test_a_whole_configuration_can_be_json() -> None:
    config = replace(CONFIG, settings=replace(CONFIG.settings, state_dir=Path("/run/x")))
    again = json.loads(json.dumps(jsonable(config)))
    assert again["virtuals"][0]["check"]["type"] == "negotiate"
    assert again["virtuals"][0]["alert"]["status"] == ["all"]
    assert again["settings"]["mac"] == "auto"
    assert again["settings"]["state_dir"] == "/run/x"


# ---- The socket ----


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_the_owner_may_open_the_socket_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    def look() -> int:
        return stat.S_IMODE((tmp_path / "control").stat().st_mode)

    before = os.umask(umask)
    try:
        assert while_serving(tmp_path, look) == 0o600
        assert os.umask(umask) == umask
    finally:
        os.umask(before)


def test_the_socket_goes_with_the_director(tmp_path: Path, client: Client) -> None:
    while_serving(tmp_path, client.stats)
    assert not (tmp_path / "control").exists()


def test_a_socket_that_was_left_behind_is_replaced(tmp_path: Path, client: Client) -> None:
    leave_a_socket(tmp_path)
    assert while_serving(tmp_path, client.stats) == STATS


def leave_a_socket(directory: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(directory / "control"))


# ---- When nobody answers ----


def test_without_a_director_the_directory_is_named(tmp_path: Path, client: Client) -> None:
    with pytest.raises(NotRunning) as raised:
        client.services()
    assert str(raised.value).startswith(f"no director is running in {tmp_path} (")
    assert "No such file or directory" in str(raised.value)


def test_a_director_that_died_is_not_running(tmp_path: Path, client: Client) -> None:
    leave_a_socket(tmp_path)
    with pytest.raises(NotRunning, match=r"no director is running .* refused"):
        client.services()


def test_whoever_may_not_ask_is_told_who_may(tmp_path: Path, client: Client) -> None:
    def ask() -> str:
        (tmp_path / "control").chmod(0)
        with unprivileged(), pytest.raises(NotRunning) as raised:
            client.services()
        return str(raised.value)

    expected = f"{tmp_path}/control: permission denied; run as the director's user"
    assert while_serving(tmp_path, ask) == expected


@pytest.mark.parametrize("what", ["nothing", "services/1", "", "../v2/services"])
def test_what_there_is_not_is_said_to_be_so(tmp_path: Path, client: Client, what: str) -> None:
    def ask() -> None:
        with pytest.raises(NotRunning, match=f"^the director answers 404 Not Found to {what}$"):
            client.get(what)

    while_serving(tmp_path, ask)


def test_a_director_in_trouble_is_an_answer_too(tmp_path: Path, client: Client) -> None:
    class Broken(FakeDirector):
        def services(self) -> tuple[ServiceRow, ...]:
            raise RuntimeError

    def ask() -> None:
        with pytest.raises(NotRunning, match=r"the director answers 500 .* to services"):
            client.services()
        assert client.stats() == STATS

    while_serving(tmp_path, ask, Broken())


@pytest.mark.parametrize(
    "answer",
    [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[]"],
    ids=["hangs up", "no HTTP", "half an answer"],
)
def test_what_is_no_director_is_not_taken_for_one(
    tmp_path: Path, client: Client, answer: bytes
) -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async def scenario() -> None:
        async with await asyncio.start_unix_server(other, str(tmp_path / "control")):
            with pytest.raises(NotRunning, match="no director is running"):
                await asyncio.to_thread(client.services)

    asyncio.run(scenario())


def test_a_director_that_is_starting_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="503"):
        while_serving(tmp_path, Client(tmp_path).services, FakeDirector(ready=False))
