"""The page and the metrics by HTTP: what is answered, to whom, and with which headers."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from dr_forwarder.config.model import Config, Real, Settings, Virtual
from dr_forwarder.events import Bus, Started
from dr_forwarder.exposition import Metrics
from dr_forwarder.health import Health
from dr_forwarder.link_state import LinkState
from dr_forwarder.orders import OrderRow
from dr_forwarder.table import Connection, Key, Server, ServerRow, Service, ServiceRow, Stats
from dr_forwarder.web.guard import HEADERS
from dr_forwarder.web.page import FILES, MOST_FOUND
from dr_forwarder.web.search import Search
from dr_forwarder.web.server import application

VIP, VM2, CLIENT = (IPv4Address(f"10.10.10.{last}") for last in (60, 62, 10))
WEB = Virtual("tcp", VIP, 80, (Real(VM2, 80),))
ROW = ServiceRow(Service(Key("tcp", VIP, 80)), (ServerRow(Server(VM2, 80), mac=bytes(6)),))
PATHS = ["/metrics", "/page/look", "/page/events", "/page/connections", "/page/explain?client=::1"]


def connection(port: int) -> Connection:
    return Connection("tcp", CLIENT, port, VIP, 80, VM2, 80, "ESTABLISHED", 60, False, False)


UP = LinkState("eth0", "up")


@dataclass
class FakeDraining:
    """Remembers what it was told."""

    told: list[tuple[Any, ...]] = field(default_factory=list)
    refuses: bool = False

    def rows(self) -> tuple[OrderRow, ...]:
        return ()

    def members(self, service: Key, server: IPv4Address) -> tuple[Any, ...]:
        return ((service, server),) if server == VM2 else ()

    def drain(self, members: Any, *, deadline_s: float) -> None:
        if self.refuses:
            raise OSError(errno.ENOSPC, "no")
        self.told.append(("drain", members, deadline_s))

    def enable(self, members: Any) -> None:
        self.told.append(("enable", members))


@dataclass
class Fake:
    """What the page asks of a director."""

    ready: bool = True
    standby: bool = False
    link: LinkState = UP
    checks_not_carried_out: int = 0
    event_loop_stalls: int = 0
    vips_on_host: int = 0
    config: Config = field(
        default_factory=lambda: Config("a.cf", (WEB,), settings=Settings(listen_names=("lb1",)))
    )
    events: Bus = field(default_factory=lambda: Bus(lambda: 1000.0))
    count: int = 3
    draining: FakeDraining = field(default_factory=FakeDraining)

    def services(self) -> tuple[ServiceRow, ...]:
        return (ROW,)

    def stats(self) -> Stats:
        return Stats(2, 120, {"forwarded": 2}, self.count, 0, self.count, 1, 1, 0)

    def health(self, virtual: Virtual, real: Real) -> Health:
        return Health(up=False, reason="<script>alert(1)</script>")

    def each_connection(self) -> Iterator[Connection]:
        return (connection(port) for port in range(1, self.count + 1))


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str
    json: Any


def ask(
    path: str,
    *,
    director: Fake | None = None,
    method: str = "GET",
    body: str | None = None,
    **headers: str,
) -> Answer:
    async def run() -> Answer:
        app = application(director or Fake(), Metrics())  # type: ignore[arg-type]
        async with TestClient(TestServer(app, host="127.0.0.1")) as client:
            answer: ClientResponse = await client.request(method, path, headers=headers, data=body)
            said = await answer.text()
            whole = answer.content_type == "application/json"
            return Answer(
                answer.status, dict(answer.headers), said, await answer.json() if whole else None
            )

    return asyncio.run(run())


@pytest.mark.parametrize("name", FILES)
def test_the_page_is_made_of_files_of_its_own(name: str) -> None:
    answer = ask(f"/{name}")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith(FILES[name][1])
    assert "://" not in answer.text.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("path", ["/", "/none", "/page/explain?client=x", "/metrics", "/page/look"])
def test_every_answer_has_the_headers_refusals_too(path: str) -> None:
    answer = ask(path)
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS


def test_what_is_said_of_servers_is_data_and_never_html() -> None:
    answer = ask("/page/look")
    assert answer.headers["Content-Type"].startswith("application/json")
    (server,) = answer.json["chosen"]["servers"]
    assert (server["state"], server["reason"]) == ("down", "<script>alert(1)</script>")


# ---- Who may ask ----

HOSTS = [
    *[(host, 200) for host in ("127.0.0.1:9700", "[::1]:9700", "localhost", "LB1:80")],
    (os.uname().nodename, 200),
    *[(host, 403) for host in ("evil.example", "127.0.0.1.evil.example:9700", "lb1.evil.example")],
]


@pytest.mark.parametrize(("host", "status"), HOSTS)
def test_a_name_that_is_not_ours_is_refused(host: str, status: int) -> None:
    """DNS rebinding: the browser believes that we are evil.example."""
    assert ask("/page/look", Host=host).status == status
    assert ask("/metrics", Host=host).status == 200


@pytest.mark.parametrize("path", PATHS)
def test_a_page_of_another_origin_is_refused(path: str) -> None:
    assert ask(path, Host="127.0.0.1", Origin="http://evil.example").status == 403
    assert ask(path, Host="127.0.0.1", Origin="null").status == 403
    assert ask(path, Host="127.0.0.1", Origin="http://127.0.0.1").status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", [*PATHS, "/"])
def test_nothing_can_be_changed(path: str, method: str) -> None:
    assert ask(path, method=method).status == 403
    same = {"Host": "127.0.0.1", "Origin": "http://127.0.0.1"}
    assert ask(path, method=method, **same).status == 405
    assert ask("/page/orders", method=method, **same).status == 404


@pytest.mark.parametrize("path", ["/", *PATHS])
def test_a_director_that_is_starting_says_so(path: str) -> None:
    answer = ask(path, director=Fake(ready=False))
    assert (answer.status, answer.text) == (503, "The director is starting.\n")


# ---- Orders ----

SERVICE = {"protocol": "tcp", "address": "10.10.10.60", "port": 80}


def writable() -> Fake:
    config = Config("a.cf", (WEB,), settings=Settings(listen_writable=True))
    return Fake(config=config)


def order(director: Fake, said: object, **headers: str) -> Answer:
    body = said if isinstance(said, str) else json.dumps(said)
    headers = headers or {"Host": "127.0.0.1", "Origin": "http://127.0.0.1"}
    return ask("/page/orders", director=director, method="POST", body=body, **headers)


@pytest.mark.parametrize(
    ("verb", "done"),
    [("drain", ("drain", 600)), ("disable", ("drain", 0)), ("enable", ("enable",))],
)
def test_the_page_itself_may_give_orders_where_it_was_allowed(
    verb: str, done: tuple[Any, ...]
) -> None:
    director = writable()
    said = {"order": verb, "service": SERVICE, "server": "10.10.10.62"}
    assert order(director, said).status == 200
    assert ask("/page/look", director=director).json["writable"] is True
    ((name, members, *more),) = director.draining.told
    assert (name, *more) == done
    assert members == ((Key("tcp", VIP, 80), VM2),)


REFUSED = [
    pytest.param({"Host": "127.0.0.1", "Origin": "http://evil.example"}, id="another origin"),
    pytest.param({"Host": "evil.example", "Origin": "http://evil.example"}, id="another name"),
    pytest.param({"Host": "127.0.0.1", "Origin": "null"}, id="an origin that is kept secret"),
    pytest.param({"Host": "127.0.0.1"}, id="no origin"),
    pytest.param({"Host": "127.0.0.1:1", "Origin": "http://127.0.0.1:2"}, id="another port"),
]


@pytest.mark.parametrize("headers", REFUSED)
def test_an_order_of_anybody_else_is_refused(headers: dict[str, str]) -> None:
    director = writable()
    said = {"order": "disable", "service": SERVICE, "server": "10.10.10.62"}
    assert order(director, said, **headers).status == 403
    assert director.draining.told == []


WRONG = [
    pytest.param("{", "the body: is no JSON", id="no JSON"),
    pytest.param([], "must be an order (drain, disable, enable)", id="no object"),
    pytest.param(
        {"order": "kill", "service": SERVICE, "server": "10.10.10.62"},
        "must be an order (drain, disable, enable), a service and a server",
        id="no order",
    ),
    pytest.param(
        {"order": "drain", "service": SERVICE, "server": "10.10.10.99"},
        "tcp 10.10.10.60:80 has no server 10.10.10.99",
        id="no server",
    ),
    pytest.param(
        {"order": "drain", "service": SERVICE, "server": "vm2"},
        "'vm2' does not appear to be an IPv4 or IPv6 address",
        id="no address",
    ),
]


@pytest.mark.parametrize(("said", "reason"), WRONG)
def test_an_order_that_means_nothing_is_told(said: object, reason: str) -> None:
    director = writable()
    answer = order(director, said)
    assert (answer.status, director.draining.told) == (400, [])
    assert answer.text.startswith(reason)


def test_an_order_that_cannot_be_kept_is_told() -> None:
    director = writable()
    director.draining.refuses = True
    answer = order(director, {"order": "drain", "service": SERVICE, "server": "10.10.10.62"})
    assert (answer.status, answer.text) == (
        500,
        "The order cannot be kept: no space left on device",
    )


# ---- What is answered ----


def test_events_are_told_from_a_number_on() -> None:
    director = Fake()
    director.events.emit(Started(1))
    director.events.emit(Started(2))
    said = ask("/page/events?after=1", director=director).json
    assert said["last"] == 2
    assert [each["text"] for each in said["events"]] == ["Running: 2 virtual servers"]
    assert ask("/page/events?after=-1").status == 400


def test_a_search_counts_all_and_tells_the_first() -> None:
    said = ask("/page/connections?find=:80", director=Fake(count=MOST_FOUND + 5)).json
    assert (said["count"], len(said["connections"])) == (MOST_FOUND + 5, MOST_FOUND)
    said = ask("/page/connections?find=10.10.10.10:2").json
    assert [each["client_port"] for each in said["connections"]] == [2]
    assert ask("/page/connections?find=10.10.10").status == 400


def test_a_client_is_explained() -> None:
    said = ask("/page/explain?client=10.10.10.10:2").json["sentences"]
    assert said[0].startswith("TCP 10.10.10.10:2 to 10.10.10.60:80 is in the table")
    assert said[1].startswith("A new connection to tcp 10.10.10.60:80 is given by wlc to one of")
    refused = ask("/page/explain?client=nobody")
    assert (refused.status, refused.text) == (
        400,
        "'nobody' is not like 10.0.0.9, or 10.0.0.9:40000",
    )


# ---- Searches ----

ONE = replace(connection(40000), state="FIN_WAIT")
SEARCHES = [
    ("", True),
    ("10.10.10.10", True),
    ("10.10.10.10:40000", True),
    ("10.10.10.10:40001", False),
    ("10.10.10.62", True),
    (":80", True),
    (":8080", False),
    ("10.10.0.0/16 :80", True),
    ("10.11.0.0/16", False),
    ("fin_wait", True),
    ("established", False),
    ("10.10.10.10 10.10.10.62:80 FIN", True),
    ("::/0", False),
    ("[::1]:80", False),
]


@pytest.mark.parametrize(("text", "found"), SEARCHES)
def test_a_search_is_for_ends_and_states(text: str, found: bool) -> None:
    assert Search.of(text).finds(ONE) is found


@pytest.mark.parametrize("text", ["10.10.10", "1.2.3.4:x", "1.2.3.4:99999", "a-b", "10.0.0.0/33"])
def test_what_cannot_be_searched_for_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is not an address with or without port"):
        Search.of(text)
