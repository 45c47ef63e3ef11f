"""Who may ask, and what one client can do to others: nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import privileges
import pytest
from test_api import CONNECTIONS, STATS, FakeDirector

from dr_forwarder import exchange
from dr_forwarder.api import door, serving
from dr_forwarder.api.door import Limits
from dr_forwarder.client import Client
from dr_forwarder.events import Bus
from dr_forwarder.messages import jsonable
from dr_forwarder.table import Connection

LIMIT_S = 10.0
SHORT = Limits(clients=4, body_bytes=1000, head_s=0.3, body_s=0.3, idle_s=0.3, stalled_s=0.3)


class Endless(FakeDirector):
    """Its connection table never ends."""

    read = 0

    def each_connection(self) -> Iterator[Connection]:
        while True:
            self.read += 1
            yield CONNECTIONS[0]


class Eventful(FakeDirector):
    """Nothing happens to it."""

    def __init__(self) -> None:
        super().__init__()
        self.events = Bus(lambda: 0.0)


def served(
    directory: Path, ask: Callable[[], Any], limits: Limits = SHORT, director: object = None
) -> Any:
    async def scenario() -> Any:
        one = director or FakeDirector()
        async with serving(one, directory, limits=limits):  # type: ignore[arg-type]
            return await asyncio.to_thread(ask)

    return asyncio.run(scenario())


@contextlib.contextmanager
def connected(directory: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(LIMIT_S)
        client.connect(str(directory / "control"))
        yield client


def said(client: socket.socket) -> bytes:
    """All that comes until the other end hangs up."""
    whole = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := client.recv(65536):
            whole += chunk
    return whole


HEAD = b"GET /v1/stats HTTP/1.1\r\nHost: localhost\r\n\r\n"


# ---- Who ----


@pytest.mark.parametrize(
    ("uid", "status"),
    [(0, 200), (os.geteuid(), 200), (54321, 403)],
    ids=["root", "the director's", "another"],
)
def test_only_the_directors_user_and_root_may_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, status: int
) -> None:
    monkeypatch.setattr(door, "peer_uid", lambda _: uid)
    path = str(tmp_path / "control")
    answer = served(tmp_path, lambda: exchange.exchange(path, "GET", "/v1/stats", limit_s=LIMIT_S))
    assert answer.status == status
    if status == 403:
        assert json.loads(answer.body)["error"] == "only the director's user and root may ask"


@pytest.mark.skipif(not privileges.may_become_others(), reason="only root can ask as somebody else")
def test_another_user_is_known_even_where_the_file_lets_it_in(tmp_path: Path) -> None:
    def ask() -> bytes:
        (tmp_path / "control").chmod(0o666)
        tmp_path.chmod(0o755)
        with connected(tmp_path) as mine:
            assert door.peer_uid(mine) == os.geteuid()
        return as_somebody_else(tmp_path)

    assert b" 403 Forbidden" in served(tmp_path, ask)


def as_somebody_else(directory: Path) -> bytes:
    """What a process of the user nobody is answered on the socket, which it is in reach of."""
    here, there = os.pipe()
    home = os.open(directory, os.O_RDONLY)
    child = os.fork()
    if child == 0:
        try:  # nothing may leave the child: it would go on with the tests
            os.fchdir(home)
            os.setresuid(*[privileges.NOBODY] * 3)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect("control")
                os.write(there, client.recv(1000))
        finally:
            os._exit(0)
    os.close(there)
    os.close(home)
    os.waitpid(child, 0)
    with os.fdopen(here, "rb") as answer:
        return answer.read()


# ---- How many ----


EVENTS = HEAD.replace(b"stats", b"events")


def following(client: socket.socket) -> bytes:
    """Asks for events without end, and gives the beginning of the answer."""
    client.sendall(EVENTS)
    return client.recv(15)


def test_one_client_too_many_is_told_so_and_a_place_that_is_left_is_free(tmp_path: Path) -> None:
    limits = Limits(clients=4, followers=4, kept=0)

    def ask() -> None:
        with contextlib.ExitStack() as inside:
            for _ in range(4):
                assert following(inside.enter_context(connected(tmp_path))) == b"HTTP/1.1 200 OK"
            with connected(tmp_path) as fifth:
                assert b"503 Service Unavailable" in said(fifth)
        until(lambda: Client(tmp_path).stats() == STATS)

    served(tmp_path, ask, limits, Eventful())


@pytest.mark.parametrize("begun", [b"", b"GET /v1/st", HEAD], ids=["silent", "half", "idle"])
def test_whoever_asks_nothing_gives_way_the_longest_silent_first(
    tmp_path: Path, begun: bytes
) -> None:
    limits = Limits(clients=4, kept=0)

    def ask() -> None:
        with contextlib.ExitStack() as inside:
            silent = [inside.enter_context(connected(tmp_path)) for _ in range(4)]
            for client in silent:
                client.sendall(begun)
                if begun == HEAD:
                    assert client.recv(15) == b"HTTP/1.1 200 OK"
            assert Client(tmp_path).stats() == STATS
            until(lambda: left(silent[0]))
            assert not left(silent[3])

    served(tmp_path, ask, limits)


def test_those_who_follow_leave_places_for_short_questions(tmp_path: Path) -> None:
    limits = Limits(clients=8, followers=3, kept=0)

    def ask() -> None:
        with contextlib.ExitStack() as inside:
            for number in range(6):
                begun = following(inside.enter_context(connected(tmp_path)))
                assert begun.split()[1] == (b"200" if number < 3 else b"503")
            for _ in range(10):
                assert Client(tmp_path).stats() == STATS

    served(tmp_path, ask, limits, Eventful())


def test_root_has_places_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(clients=3, followers=3, kept=1)
    uids = [os.geteuid() or 1000] * 4 + [0]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(door, "peer_uid", lambda _: uids.pop(0) and 1000)

    def ask() -> None:
        with contextlib.ExitStack() as inside:
            for _ in range(3):
                assert following(inside.enter_context(connected(tmp_path))) == b"HTTP/1.1 200 OK"
            assert b" 503 " in said(inside.enter_context(connected(tmp_path)))
            assert following(inside.enter_context(connected(tmp_path))) == b"HTTP/1.1 200 OK"

    served(tmp_path, ask, limits, Eventful())


def until(condition: Callable[[], bool]) -> None:
    """Waits for it, and asks again after a refusal."""
    pause = threading.Event()
    for _ in range(200):
        with contextlib.suppress(Exception):
            if condition():
                return
        pause.wait(LIMIT_S / 200)
    assert condition()


# ---- How long, how much ----

STALLS = [
    pytest.param(b"", id="says nothing"),
    pytest.param(b"GET /v1/stats HTTP/1.1\r\nHost:", id="half a head"),
    pytest.param(HEAD, id="asks once, and keeps the connection"),
    pytest.param(HEAD + HEAD[:20], id="half a second head"),
]


@pytest.mark.parametrize("begun", STALLS)
def test_a_client_that_says_no_more_is_sent_away(tmp_path: Path, begun: bytes) -> None:
    def ask() -> None:
        with connected(tmp_path) as client:
            client.sendall(begun)
            assert Client(tmp_path).stats() == STATS  # meanwhile
            assert said(client).count(b"200 OK") == begun.count(HEAD)

    served(tmp_path, ask)


def test_half_a_body_is_waited_for_a_while_only(tmp_path: Path) -> None:
    def ask() -> None:
        with connected(tmp_path) as client:
            client.sendall(
                b"POST /v1/changes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
            )
            assert Client(tmp_path).stats() == STATS
            assert client.recv(1000).startswith(b"HTTP/1.1 408 ")

    served(tmp_path, ask)


def test_a_body_that_is_too_long_is_refused(tmp_path: Path) -> None:
    director = FakeDirector()

    def ask() -> int:
        path, body = str(tmp_path / "control"), b" " * 2000
        return exchange.exchange(path, "POST", "/v1/changes", body, limit_s=LIMIT_S).status

    assert served(tmp_path, ask, director=director) == 413
    assert director.asked == []


GARBAGE = [
    pytest.param(b"\0" * 100 + b"\r\n\r\n", 400, id="zeros"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, id="TLS"),
    pytest.param(b"GET / HTTP/9.9\r\n\r\n", 400, id="a version there is not"),
    pytest.param(b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n\r\n", 400, id="a long line"),
    pytest.param(
        b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: y\r\n" % i for i in range(500)) + b"\r\n",
        400,
        id="many fields",
    ),
    pytest.param(
        b"POST /v1/changes HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, id="length"
    ),
    pytest.param(
        b"POST /v1/changes HTTP/1.1\r\nHost: x\r\nContent-Length: 400\r\n\r\n" + b"[" * 400,
        400,
        id="deep JSON",
    ),
]


@pytest.mark.parametrize(("garbage", "status"), GARBAGE)
def test_garbage_is_refused_and_harms_nobody(tmp_path: Path, garbage: bytes, status: int) -> None:
    def ask() -> None:
        with connected(tmp_path) as client:
            client.sendall(garbage)
            assert client.recv(1000).split()[1] == str(status).encode()
        assert Client(tmp_path).stats() == STATS

    served(tmp_path, ask)


def test_a_client_that_does_not_read_is_sent_away_and_nothing_piles_up(tmp_path: Path) -> None:
    director = Endless()

    def ask() -> int:
        with connected(tmp_path) as client:
            client.sendall(HEAD.replace(b"stats", b"connections"))
            assert Client(tmp_path).stats() == STATS
            until(lambda: director.read > 0 and left(client))
            return director.read

    # What fits the two ends' buffers, not the endless table.
    assert served(tmp_path, ask, director=director) < 20_000


def left(client: socket.socket) -> bool:
    """Whether the other end has hung up, without reading what it has said."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.sendall(b"\r\n")
        return False
    return True


def test_a_client_that_goes_away_in_the_middle_is_forgotten(tmp_path: Path) -> None:
    director = Endless()

    def ask() -> None:
        for _ in range(10):  # more than may be inside at a time
            with connected(tmp_path) as client:
                client.sendall(HEAD.replace(b"stats", b"connections"))
                assert client.recv(15) == b"HTTP/1.1 200 OK"
            until(lambda: Client(tmp_path).stats() == STATS)

    served(tmp_path, ask, director=director)


def test_a_million_connections_hold_up_nobody_and_are_never_all_in_memory(tmp_path: Path) -> None:
    """Shortened to 50,000: what counts is that others are answered between, and the slices."""
    director = FakeDirector()
    director.each_connection = lambda: (CONNECTIONS[i % 2] for i in range(50_000))  # type: ignore[method-assign]

    def ask() -> int:
        asked, before = 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        count = 0
        for count, _ in enumerate(Client(tmp_path).each_connection(), 1):
            if count % 5000 == 0:
                asked += Client(tmp_path).stats() == STATS
        grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown_kb < 20_000, "one in memory takes 700 bytes, all 35 MB"
        assert asked == 10
        return count

    assert served(tmp_path, ask, Limits(), director) == 50_000


def test_a_stream_that_is_cut_off_is_no_whole_answer(tmp_path: Path) -> None:
    class Failing(FakeDirector):
        def each_connection(self) -> Iterator[Connection]:
            yield from CONNECTIONS
            raise RuntimeError("the table is gone")

    def ask() -> None:
        with pytest.raises(exchange.BadAnswerError, match="half an answer"):
            list(exchange.lines(str(tmp_path / "control"), "/v1/connections", limit_s=LIMIT_S))
        assert Client(tmp_path).stats() == STATS

    served(tmp_path, ask, director=Failing())


# ---- From the client's side ----


def test_a_client_waits_while_the_sockets_queue_is_full(tmp_path: Path) -> None:
    """The kernel says so at once, and it is no sign of nobody there."""
    body = json.dumps(jsonable(STATS)).encode()

    def answer() -> None:
        listening.accept()[0].close()
        asking, _ = listening.accept()
        with asking:
            asking.recv(65536)
            asking.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "control"))
        listening.listen(0)
        with connected(tmp_path):
            answering = threading.Timer(0.2, answer)
            answering.start()
            assert Client(tmp_path).stats() == STATS
            answering.join()


def test_a_queue_that_stays_full_is_not_waited_for_without_end(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening, contextlib.ExitStack() as others:
        path = str(tmp_path / "control")
        listening.bind(path)
        listening.listen(0)
        others.enter_context(connected(tmp_path))
        with pytest.raises(OSError, match="temporarily unavailable"):
            exchange.exchange(path, "GET", "/v1/stats", limit_s=0.05)
