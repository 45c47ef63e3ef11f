"""API and client over a real Unix socket: what goes in at one end comes out at the other."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import re
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar

import pytest
from ordering import Orders

from dr_forwarder import exchange
from dr_forwarder.api import serving
from dr_forwarder.client import Client
from dr_forwarder.config.model import Check, Config, ConfigError, Real, Virtual
from dr_forwarder.draining import Draining
from dr_forwarder.errors import NotRunning, Refused
from dr_forwarder.health import Health
from dr_forwarder.messages import jsonable
from dr_forwarder.table import (
    HOST_MASK,
    Applied,
    Change,
    Connection,
    Counters,
    Key,
    Operation,
    Server,
    ServerRow,
    Service,
    ServiceFlag,
    ServiceRow,
    Stats,
    SyncDaemon,
    WorkerStats,
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
    ServiceRow(
        Service(
            Key("udp", IPv6Address("2001:db8::1"), 53),
            mask=IPv6Address("ffff::"),
            flags=ServiceFlag.ONE_PACKET,
        )
    ),
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
    workers=(WorkerStats(6, 5, 3, 1), WorkerStats(4, 4, 0, 2)),
)
DAEMONS = (
    SyncDaemon("master", "eth0", 5).resolved(),
    SyncDaemon("backup", "eth1", group=IPv6Address("ff02::81"), ttl=3).resolved(),
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
    seconds: tuple[int, int, int] = (900, 120, 300)
    asked: list[tuple[tuple[Change, ...], bool]] = field(default_factory=list)
    sync: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(daemons=lambda: DAEMONS))
    draining: Draining = field(default_factory=lambda: Orders().draining)

    def services(self) -> tuple[ServiceRow, ...]:
        return self.table

    def connections(self) -> tuple[Connection, ...]:
        return CONNECTIONS

    def each_connection(self) -> Iterator[Connection]:
        return iter(CONNECTIONS)

    def stats(self) -> Stats:
        return STATS

    def timeouts(self) -> tuple[int, int, int]:
        return self.seconds

    async def apply(self, changes: Sequence[Change], *, stop: bool = False) -> Applied:
        self.asked.append((tuple(changes), stop))
        results = tuple(errno.EEXIST if change.server else 0 for change in changes)
        return Applied(results, ("no way there",))

    async def set_timeouts(self, **seconds: int) -> None:
        kept = zip(seconds.values(), self.seconds, strict=True)
        self.seconds = tuple(new or old for new, old in kept)  # type: ignore[assignment]

    def health(self, virtual: Virtual, real: Real) -> Health:
        assert virtual is WEB
        return Health(up=True, reason="HTTP 200 OK") if real.port == 80 else Health()


Answer = TypeVar("Answer")


def while_serving(directory: Path, ask: Callable[[], Answer], director: object = None) -> Answer:
    """What ``ask`` returns, called in a thread of its own."""

    async def reload() -> Config:
        raise ConfigError("unknown directive", file="test.cf", line=7)

    async def scenario() -> Answer:
        served = director or FakeDirector()
        async with serving(served, directory, reload=reload):  # type: ignore[arg-type]
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


def test_the_daemons_come_back_as_they_were(tmp_path: Path, client: Client) -> None:
    assert while_serving(tmp_path, client.daemons) == DAEMONS


def test_health_names_service_server_and_reason(tmp_path: Path, client: Client) -> None:
    """The server is named with the port that is checked."""
    unknown = {"up": None, "failures": 0, "successes": 0, "reason": "not checked yet"}
    unknown |= {"hindrance": None, "order": None}
    assert while_serving(tmp_path, lambda: client.get("health")) == [
        {"protocol": "tcp", "virtual": "10.9.0.100:80", "server": "10.9.0.11:8080", **unknown},
        {
            "protocol": "tcp",
            "virtual": "10.9.0.100:80",
            "server": "10.9.0.12:80",
            "up": True,
            "failures": 0,
            "successes": 0,
            "reason": "HTTP 200 OK",
            "hindrance": None,
            "order": None,
        },
    ]


def test_each_call_asks_anew(tmp_path: Path, client: Client) -> None:
    director = FakeDirector()

    def ask() -> list[int]:
        counts = [len(client.services())]
        director.table = SERVICES[:1]
        return [*counts, len(client.services())]

    assert while_serving(tmp_path, ask, director) == [2, 1]


# ---- Changes ----


def named(key: Key) -> Service:
    """A service of which only the name counts."""
    whole = HOST_MASK if key.address.version == 4 else IPv6Address((1 << 128) - 1)
    return Service(key, mask=whole)


CHANGES = (
    *(
        Change(operation, named(SERVICES[0].service.key), row.server)
        for row in SERVICES[0].servers
        for operation in (Operation.ADD_SERVER, Operation.EDIT_SERVER, Operation.DELETE_SERVER)
    ),
    *(Change(Operation.ADD_SERVICE, row.service) for row in SERVICES),
    Change(Operation.EDIT_SERVICE, Service(Key("fwm", IPv6Address(7), 0), mask=IPv6Address("f::"))),
    Change(Operation.DELETE_SERVICE, named(Key("sctp", VIP, 9))),
    Change(Operation.ZERO_SERVICE, named(Key("udp", IPv6Address("::1"), 9))),
    Change(Operation.ZERO_ALL, None),
    Change(Operation.CLEAR, None),
)


@pytest.mark.parametrize("stop", [False, True])
def test_changes_arrive_as_they_were_with_a_result_for_each(
    tmp_path: Path, client: Client, stop: bool
) -> None:
    director = FakeDirector()
    results = while_serving(tmp_path, lambda: client.apply(CHANGES, stop=stop), director)
    assert director.asked == [(CHANGES, stop)]
    assert results == tuple(errno.EEXIST if change.server else 0 for change in CHANGES)


def test_what_cannot_be_served_is_told(tmp_path: Path, client: Client) -> None:
    told = while_serving(tmp_path, lambda: client.apply_and_tell(CHANGES[:1]))
    assert told == Applied((errno.EEXIST,), ("no way there",))


def test_the_counters_of_one_or_all_are_set_to_zero(tmp_path: Path, client: Client) -> None:
    director = FakeDirector()
    key = SERVICES[0].service.key
    while_serving(tmp_path, lambda: (client.zero(), client.zero(key)), director)
    (all_of_them, _), (one, _) = director.asked
    assert [change.operation for change in all_of_them] == [Operation.ZERO_ALL]
    assert [(change.operation, change.service) for change in one] == [
        (Operation.ZERO_SERVICE, Service(key))
    ]


def test_timeouts_are_set_and_zero_keeps_one(tmp_path: Path, client: Client) -> None:
    def ask() -> tuple[int, int, int]:
        client.set_timeouts(60, 0, 20)
        return client.timeouts()

    assert while_serving(tmp_path, ask) == (60, 120, 20)


SERVER = {"address": "10.9.0.11"}
SERVICE = {"key": {"protocol": "tcp", "address": "10.9.0.100", "port": 80}}
WRONG = [
    pytest.param([], "the body", "object", id="no object"),
    pytest.param({"change": []}, "change", "known are changes, stop", id="another name"),
    pytest.param({"changes": {}}, "changes", "list", id="no list"),
    pytest.param({"changes": [], "stop": 1}, "stop", "true or false", id="stop"),
    pytest.param({"changes": [7]}, "changes[0]", "object", id="a number as a change"),
    pytest.param(
        {"changes": [{"operation": "set_mac"}]},
        "changes[0].operation",
        "must be one of add_service, ",
        id="operation",
    ),
    pytest.param(
        {"changes": [{"operation": "clear"}, {"operation": "add_service"}]},
        "changes[1].service",
        "object",
        id="no service",
    ),
]
WRONG_SERVICES = [
    pytest.param({"key": {}}, "key.protocol", id="no protocol"),
    pytest.param({"key": SERVICE["key"] | {"protocol": "icmp"}}, "key.protocol", id="icmp"),
    pytest.param({"key": SERVICE["key"] | {"address": "10.9.0"}}, "key.address", id="address"),
    pytest.param({"key": SERVICE["key"] | {"address": 7}}, "key.address", id="a number"),
    pytest.param({"key": SERVICE["key"] | {"port": 65536}}, "key.port", id="port"),
    pytest.param({"key": SERVICE["key"] | {"port": True}}, "key.port", id="true is no number"),
    pytest.param(SERVICE | {"persistent_s": 0}, "persistent_s", id="persistence"),
    pytest.param(SERVICE | {"flags": 1}, "flags", id="a flag that says persistence"),
    pytest.param(SERVICE | {"mask": "ffff::"}, "mask", id="an IPv6 mask"),
    pytest.param(SERVICE | {"scheduler": 1}, "scheduler", id="scheduler"),
    pytest.param(SERVICE | {"sched": "rr"}, "sched", id="another name"),
]
WRONG_SERVERS = [
    pytest.param({}, "address", id="no address"),
    pytest.param({"address": "::1"}, "address", id="another family"),
    pytest.param(SERVER | {"weight": -1}, "weight", id="weight"),
    pytest.param(SERVER | {"weight": 1 << 31}, "weight", id="a large weight"),
    pytest.param(SERVER | {"weight": 1.0}, "weight", id="half weights"),
    pytest.param(SERVER | {"upper": "9"}, "upper", id="text"),
    pytest.param(SERVER | {"mac": None}, "mac", id="another name"),
]


def refusal(tmp_path: Path, client: Client, said: object) -> Refused:
    """What the client raises for this body, which reaches no director."""
    director = FakeDirector()

    def ask() -> Refused:
        with pytest.raises(Refused) as raised:
            client._ask("POST", "changes", said)
        return raised.value

    refused = while_serving(tmp_path, ask, director)
    assert director.asked == []
    assert refused.status == 400
    return refused


@pytest.mark.parametrize(("said", "field", "reason"), WRONG)
def test_a_wrong_request_is_told_its_field(
    tmp_path: Path, client: Client, said: object, field: str, reason: str
) -> None:
    refused = refusal(tmp_path, client, said)
    assert refused.field == field
    assert reason in str(refused)


@pytest.mark.parametrize(("service", "field"), WRONG_SERVICES)
def test_a_wrong_service_is_told_its_field(
    tmp_path: Path, client: Client, service: object, field: str
) -> None:
    said = {"changes": [{"operation": "add_service", "service": service}]}
    assert refusal(tmp_path, client, said).field == f"changes[0].service.{field}"


@pytest.mark.parametrize(("server", "field"), WRONG_SERVERS)
def test_a_wrong_server_is_told_its_field(
    tmp_path: Path, client: Client, server: object, field: str
) -> None:
    said = {"changes": [{"operation": "add_server", "service": SERVICE, "server": server}]}
    assert refusal(tmp_path, client, said).field == f"changes[0].server.{field}"


def test_a_file_that_cannot_be_used_is_told_with_its_line(tmp_path: Path, client: Client) -> None:
    def ask() -> Refused:
        with pytest.raises(Refused, match=r"^test.cf:7: error: unknown directive$") as raised:
            client.reload()
        return raised.value

    assert while_serving(tmp_path, ask).status == 422


def test_a_configuration_is_told_without_its_secrets(tmp_path: Path, client: Client) -> None:
    check = replace(WEB.check, login="me", password="pass", secret="secret")
    director = FakeDirector(config=replace(CONFIG, virtuals=(replace(WEB, check=check),)))
    (virtual,) = while_serving(tmp_path, lambda: client.get("config"), director)["virtuals"]
    assert virtual["check"]["login"] == "me"
    assert virtual["check"]["password"] == virtual["check"]["secret"] == "********"


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    def ask() -> exchange.Answer:
        path = str(tmp_path / "control")
        return exchange.exchange(path, "POST", "/v1/changes", b"{", limit_s=5)

    answer = while_serving(tmp_path, ask)
    assert answer.status == 400
    assert json.loads(answer.body)["field"] == "the body"


def test_a_quick_command_may_import_the_client() -> None:
    slow = {"aiohttp", "asyncio", "click", "email", "http", "logging", "pathlib", "pyroute2", "ssl"}
    program = "import sys, dr_forwarder.client; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-S", "-c", program],
        capture_output=True,
        check=True,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    assert not slow & set(ran.stdout.split())


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
        with pytest.raises(Refused, match=rf"^there is no call GET /v1/{re.escape(what)}$"):
            client.get(what)

    while_serving(tmp_path, ask)


def test_a_director_in_trouble_is_an_answer_too(tmp_path: Path, client: Client) -> None:
    class Broken(FakeDirector):
        def services(self) -> tuple[ServiceRow, ...]:
            raise RuntimeError

    def ask() -> None:
        with pytest.raises(Refused, match=r"the director answers 500 .* to services"):
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
    with pytest.raises(NotRunning, match="the director is starting"):
        while_serving(tmp_path, Client(tmp_path).services, FakeDirector(ready=False))
