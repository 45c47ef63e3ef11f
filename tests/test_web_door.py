"""The page and the metrics among strangers: how many may ask, how long, and what it costs."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import resource
import select
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from test_web import Fake, ask, connection

from dr_forwarder.api import acceptor
from dr_forwarder.api.acceptor import Acceptor
from dr_forwarder.api.door import Limits
from dr_forwarder.errors import SetupError
from dr_forwarder.listen import LOOPBACK, Listen
from dr_forwarder.table import Connection, ServiceRow
from dr_forwarder.watch import Watch
from dr_forwarder.web import page
from dr_forwarder.web.server import site
from dr_forwarder.web.sharing import KEPT_S, Shared

LIMIT_S = 20.0
SHORT = Limits(
    clients=4, kept=0, body_bytes=1000, head_s=0.3, body_s=0.3, idle_s=0.3, stalled_s=0.3
)
HEAD = b"GET /page/look HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Watched(Fake):
    """With what the site listens to."""

    @property
    def watch(self) -> Watch:
        return Watch(self.events)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def served(
    scenario: Callable[[int], Any], *, director: Fake | None = None, limits: Limits = SHORT
) -> Any:
    """What the scenario, in a thread, says of the site on this port."""
    port = free_port()

    async def run() -> Any:
        one: Any = director or Watched()
        async with site(one, Listen(LOOPBACK, port), limits=limits):
            return await asyncio.to_thread(scenario, port)

    return asyncio.run(run())


@contextlib.contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as client:
        yield client


def said(client: socket.socket) -> bytes:
    whole = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := client.recv(65536):
            whole += chunk
    return whole


def status(port: int, path: str = "/page/look") -> int:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
    with contextlib.closing(client):
        client.request("GET", path)
        return client.getresponse().status


# ---- How many, how long ----

STALLS = [
    pytest.param(b"", id="says nothing"),
    pytest.param(b"GET / HTTP/1.1\r\nHost:", id="half a head"),
    pytest.param(HEAD, id="asks once, and keeps the connection"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
]


@pytest.mark.parametrize("begun", STALLS)
def test_a_client_that_says_no_more_is_sent_away(begun: bytes) -> None:
    def scenario(port: int) -> None:
        with connected(port) as client:
            client.sendall(begun)
            assert status(port) == 200  # meanwhile
            assert said(client).count(b"200 OK") == begun.count(HEAD)

    served(scenario)


@pytest.mark.parametrize("begun", STALLS)
def test_silent_clients_keep_nobody_out(begun: bytes) -> None:
    """More than may be inside at a time: the newest have the places."""

    def scenario(port: int) -> None:
        with contextlib.ExitStack() as inside:
            for _ in range(40):
                inside.enter_context(connected(port)).sendall(begun)
            assert [status(port) for _ in range(5)] == [200] * 5

    served(scenario, limits=Limits(clients=8, kept=0))


def test_half_an_order_is_waited_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "LOOKING", SHORT)
    director = Watched()
    settings = director.config.settings
    object.__setattr__(settings, "listen_writable", True)
    order = b"POST /page/orders HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"

    def scenario(port: int) -> bytes:
        with connected(port) as client:
            client.sendall(order + b"Content-Length: 100\r\n\r\n{")
            return client.recv(20)

    assert served(scenario, director=director).split()[1] == b"408"


def test_a_taken_address_is_an_error_with_the_cure() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()

        async def run() -> None:
            async with site(Watched(), Listen(LOOPBACK, other.getsockname()[1])):  # type: ignore[arg-type]
                pass

        with pytest.raises(SetupError, match="address already in use; choose another: --listen"):
            asyncio.run(run())


# ---- Descriptors ----


@contextlib.contextmanager
def no_descriptors_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as newest:
        lowest_free = newest.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Greeting(asyncio.Protocol):
    """Says one word."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"in")
        transport.close()


@contextlib.contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen(16)
        made.setblocking(False)
        yield made


async def word_of(client: socket.socket) -> bytes:
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 10), LIMIT_S)


def test_without_descriptors_clients_wait_which_is_said_once_and_costs_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(acceptor, "_PAUSE_S", 0.01)
    monkeypatch.setattr(acceptor, "RESERVE", 0)
    tries = []
    enough = asyncio.Event()
    pause = Acceptor._pause

    def noted(its: Acceptor, reason: str) -> None:
        pause(its, reason)
        tries.append(reason)
        if len(tries) == 10:
            enough.set()

    monkeypatch.setattr(Acceptor, "_pause", noted)

    async def scenario(made: socket.socket, client: socket.socket) -> None:
        with no_descriptors_left():
            accepting = Acceptor(made, Greeting)
            await asyncio.wait_for(enough.wait(), LIMIT_S)
        assert await word_of(client) == b"in"
        accepting.close()

    with listening() as made, socket.create_connection(made.getsockname()) as client:
        client.setblocking(False)
        asyncio.run(scenario(made, client))
    assert [each.getMessage().partition(": ")[2] for each in caplog.records] == [
        "too many open files"
    ]


def test_the_last_descriptors_are_kept_for_checks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr(acceptor, "RESERVE", soft)

    async def scenario(made: socket.socket, client: socket.socket) -> bytes:
        accepting = Acceptor(made, Greeting)
        try:
            return await word_of(client)
        finally:
            accepting.close()

    with listening() as made, socket.create_connection(made.getsockname()) as client:
        client.setblocking(False)
        assert asyncio.run(scenario(made, client)) == b""
    assert "the last open files are kept for checks" in caplog.text


# ---- What it costs ----


class Counted(Watched):
    """Counts how often it is looked at, and searched."""

    looked = 0
    searched = 0
    endless = False

    def services(self) -> tuple[ServiceRow, ...]:
        self.looked += 1
        return super().services()

    def each_connection(self) -> Iterator[Connection]:
        while True:
            self.searched += 1
            yield connection(1)


@pytest.mark.parametrize("path", ["/metrics", "/page/look", "/page/look?service=none"])
def test_many_who_look_within_a_second_cost_one_look(path: str, monkeypatch: Any) -> None:
    monkeypatch.setattr("dr_forwarder.web.sharing.KEPT_S", 1000.0)
    director = Counted()

    def scenario(port: int) -> list[int]:
        return [status(port, path) for _ in range(10)]

    assert served(scenario, director=director, limits=Limits()) == [200] * 10
    assert director.looked == 1


def test_an_answer_is_shared_for_a_second_and_made_once_at_a_time() -> None:
    now_s = 0.0
    made = []

    async def make() -> int:
        made.append(1)
        await asyncio.sleep(0)
        return len(made)

    async def scenario() -> list[int]:
        nonlocal now_s
        shared: Shared[int] = Shared(clock=lambda: now_s)
        together = await asyncio.gather(*(shared.get("a", make) for _ in range(5)))
        now_s = KEPT_S - 0.1
        kept = await shared.get("a", make)
        now_s = KEPT_S
        return [*together, kept, await shared.get("a", make)]

    assert asyncio.run(scenario()) == [1] * 6 + [2]


def test_a_search_whose_asker_has_left_is_not_carried_out() -> None:
    director = Counted()

    def scenario(port: int) -> int:
        with connected(port) as client:
            client.sendall(b"GET /page/connections HTTP/1.1\r\nHost: localhost\r\n\r\n")
            until(lambda: director.searched > 0)
        before, pause = -1, threading.Event()
        while before != director.searched:
            before = director.searched
            pause.wait(0.05)
        return status(port)

    assert served(scenario, director=director, limits=Limits()) == 200


def until(condition: Callable[[], object]) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if condition():
            return
        pause.wait(LIMIT_S / 1000)
    assert condition()


def test_at_most_a_few_searches_wait_for_their_turn() -> None:
    director = Counted()

    def scenario(port: int) -> None:
        search = b"GET /page/connections HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with contextlib.ExitStack() as inside:
            clients = [inside.enter_context(connected(port)) for _ in range(10)]
            for client in clients:
                client.sendall(search)
            refused = 10 - 1 - page.MOST_WAITING
            # Which of them come last is nobody's choice; the others' searches do not end.
            answered: set[socket.socket] = set()
            while len(answered) < refused:
                ready, _, _ = select.select([*{*clients} - answered], [], [], LIMIT_S)
                assert ready, f"{len(answered)} of {refused} were refused"
                answered.update(ready)
            assert len(answered) == refused
            assert {client.recv(12) for client in answered} == {b"HTTP/1.1 503"}
            assert status(port) == 200

    served(scenario, director=director, limits=Limits())


LONG = "9" * 5000
ODD = [
    f"/page/events?after={LONG}",
    f"/page/connections?find=:{LONG}",
    f"/page/connections?find=10.0.0.0/{LONG}",
    f"/page/explain?client={LONG}",
    f"/page/explain?client=10.0.0.1:{LONG}",
]


@pytest.mark.parametrize("path", ODD)
def test_a_number_of_5000_digits_is_the_askers_mistake(path: str) -> None:
    assert ask(path).status == 400


@pytest.mark.parametrize("body", ["[" * 50_000, f'{{"order": {LONG}}}', "\udcff", ""])
def test_an_order_that_is_no_order_is_the_askers_mistake(body: str) -> None:
    director = Fake()
    object.__setattr__(director.config.settings, "listen_writable", True)
    raw: Any = body.encode("utf-8", "surrogateescape")
    same = {"Host": "127.0.0.1", "Origin": "http://127.0.0.1"}
    assert ask("/page/orders", director=director, method="POST", body=raw, **same).status == 400


# ---- Pages of other sites ----


@pytest.mark.parametrize("path", ["/metrics", "/page/look", "/page.js"])
def test_what_a_page_of_another_site_asks_for_is_refused(path: str) -> None:
    asked = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert ask(path, **asked).status == 403
    assert ask(path, **{**asked, "Sec-Fetch-Site": "same-origin"}).status == 200


def test_a_link_to_the_page_may_stand_anywhere() -> None:
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert ask("/", **followed).status == 200
    assert ask("/page/look", **followed).status == 403
