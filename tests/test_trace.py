"""Trace: records of a running core over the control socket, chosen, limited, and written."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, ip_network
from itertools import islice
from pathlib import Path
from typing import TypeVar

import pytest
from click.testing import CliRunner, Result
from director import CLIENT, VIP, Director, server_address, service, tcp, udp

from dr_forwarder.api import serving
from dr_forwarder.api.tracing import MOST_PER_S, USUAL_PER_S, bounded
from dr_forwarder.attendants.flight_recorder import KEPT_FILES, file_name, recording
from dr_forwarder.border import VERDICTS
from dr_forwarder.cli.program import program
from dr_forwarder.client import Client
from dr_forwarder.config.model import Config, Settings
from dr_forwarder.dataplane import DataplaneError
from dr_forwarder.errors import Refused
from dr_forwarder.events import Bus, HealthEvent
from dr_forwarder.messages import jsonable
from dr_forwarder.messages import record as record_of
from dr_forwarder.records import EVERYTHING, Filter, Record, Traced, from_query, query
from dr_forwarder.records import service as read
from dr_forwarder.tracing import Trace

LIMIT_S = 20.0
Answer = TypeVar("Answer")


class Watched:
    """As much of a director as is needed to watch one: a core, whose frames the test decides."""

    ready = True

    def __init__(self, director: Director) -> None:
        self.engine = director.engine
        self.watching = 0
        # What else can be asked for.
        self.services, self.connections = self.engine.services, self.engine.connections
        self.stats, self.timeouts = self.engine.stats, self.engine.timeouts

    def trace(self, asked: Filter) -> Trace:
        self.watching += 1
        return self.engine.trace(asked)

    def drops(self) -> tuple[Record, ...]:
        return self.engine.drops()


@pytest.fixture
def director() -> Iterator[Director]:
    with Director(now_ns=time.monotonic_ns()) as director:
        director.add_service(service(), 1, 1)
        yield director


def decide(director: Director, frame: bytes) -> str:
    return director.engine.forward(frame, now_ns=time.monotonic_ns()).verdict


def syn(number: int, port: int = 80) -> bytes:
    return tcp("S", f"{CLIENT}:{1000 + number}", f"{VIP}:{port}")


def while_served(directory: Path, director: Director, ask: Callable[[], Answer]) -> Answer:
    """What ``ask`` returns, in a thread, while frames come: five connections every 10 ms."""

    async def frames(served: Watched) -> None:
        number = 0
        while True:
            for _ in range(5 if served.watching else 0):
                number += 1
                decide(director, syn(number))
                decide(director, tcp("A", f"{CLIENT}:{1000 + number}", f"{VIP}:80"))
                decide(director, udp(f"{CLIENT}:{1000 + number}", f"{VIP}:53"))
            await asyncio.sleep(0.01)

    async def scenario() -> Answer:
        served = Watched(director)
        async with asyncio.timeout(LIMIT_S), serving(served, directory):  # type: ignore[arg-type]
            flood = asyncio.create_task(frames(served))
            try:
                return await asyncio.to_thread(ask)
            finally:
                flood.cancel()

    return asyncio.run(scenario())


def take(directory: Path, count: int, asked: Filter = EVERYTHING) -> list[Record]:
    stream = Client(directory).trace(asked)
    records = (each.record for each in stream if each.record is not None)
    return list(islice(records, count))


# ---- The core's ring ----


def test_nothing_is_recorded_before_somebody_watches(director: Director) -> None:
    decide(director, syn(1))
    trace = director.engine.trace(EVERYTHING)
    assert trace.read() == ()
    decide(director, syn(2))
    (record,) = trace.read()
    assert (record.client_port, record.verdict, record.by) == (1002, "forwarded", "scheduler")
    assert trace.read() == ()


def test_a_reader_that_is_too_slow_is_told_what_it_missed(director: Director) -> None:
    trace = director.engine.trace(EVERYTHING, room=8)
    for number in range(20):
        decide(director, syn(number))
    assert len(trace.read()) == 8
    assert trace.losses.overwritten == 12


def test_beyond_the_limit_a_second_frames_are_not_looked_at_and_counted(
    director: Director,
) -> None:
    trace = director.engine.trace(Filter(per_s=3))
    for number in range(10):
        director.engine.forward(syn(number), now_ns=director.now_ns)
    assert len(trace.read()) == 3
    assert trace.losses.limited == 7


def test_looks_are_limited_too_where_the_decision_has_to_be_seen_first(
    director: Director,
) -> None:
    """Nothing is given out, but each record that is made for the filter costs."""
    trace = director.engine.trace(Filter(per_s=2, verdicts=frozenset({"no_server"})))
    for number in range(120):
        director.engine.forward(syn(number), now_ns=director.now_ns)
    assert trace.read() == ()
    assert trace.losses.limited == 20
    director.engine.forward(syn(0), now_ns=director.now_ns + 10**9)
    trace.read()
    assert trace.losses.limited == 20


def test_four_may_watch_at_once_and_no_more(director: Director) -> None:
    traces = [director.engine.trace(EVERYTHING) for _ in range(4)]
    with pytest.raises(DataplaneError):
        director.engine.trace(EVERYTHING)
    traces[0].close()
    director.engine.trace(EVERYTHING).close()


def test_a_trace_outlives_its_engine_without_harm() -> None:
    with Director() as director:
        trace = director.engine.trace(EVERYTHING)
    assert trace.closed
    assert trace.read() == ()
    trace.close()


def test_the_last_dropped_frames_of_each_verdict_are_kept(director: Director) -> None:
    for number in range(20):
        assert decide(director, syn(number, 81)) == "no_service"
    assert decide(director, udp(f"{CLIENT}:1", "10.9.0.77:53")) == "not_a_vip"
    dropped = director.engine.drops()
    ports = [record.client_port for record in dropped if record.verdict == "no_service"]
    assert ports == list(range(1004, 1020))
    assert dropped[-1].verdict == "not_a_vip"
    assert dropped[-1].head == udp(f"{CLIENT}:1", "10.9.0.77:53")
    assert [record.at_ns for record in dropped] == sorted(record.at_ns for record in dropped)


# ---- Filters ----

FILTERS = (
    EVERYTHING,
    Filter(client=ip_network("10.1.0.0/16"), verdicts=frozenset({"forwarded", "no_server"})),
    Filter(protocol="udp", address=IPv4Address(VIP), port=53, first_only=True),
    Filter(address=IPv4Address(VIP), server=IPv4Address(server_address(1)), every=7, per_s=9),
)


@pytest.mark.parametrize("asked", FILTERS)
def test_a_filter_survives_the_way_to_the_director(asked: Filter) -> None:
    assert from_query(query(asked), known=VERDICTS) == asked


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.9.0.100", (None, VIP, 0)),
        ("10.9.0.100:80", (None, VIP, 80)),
        ("udp:10.9.0.100:53", ("udp", VIP, 53)),
        ("tcp:10.9.0.100", ("tcp", VIP, 0)),
        ("fd00::1", (None, "fd00::1", 0)),
        ("[fd00::1]", (None, "fd00::1", 0)),
        ("udp:[fd00::1]:53", ("udp", "fd00::1", 53)),
    ],
)
def test_services_are_written_as_people_write_them(
    text: str, expected: tuple[str | None, str, int]
) -> None:
    protocol, address, port = read(text)
    assert (protocol, str(address), port) == expected


def test_there_is_always_a_limit_a_second() -> None:
    assert bounded(EVERYTHING).per_s == USUAL_PER_S
    assert bounded(Filter(per_s=5)).per_s == 5
    assert bounded(Filter(per_s=10**9)).per_s == MOST_PER_S


# ---- Over the socket ----


def test_a_record_survives_the_way_from_the_director(director: Director) -> None:
    trace = director.engine.trace(EVERYTHING)
    for frame in (syn(1), tcp("A", f"{CLIENT}:1001", f"{VIP}:80"), syn(2, 81), b"\xff" * 9):
        decide(director, frame)
    records = trace.read()
    assert [record_of(json.loads(json.dumps(jsonable(each)))) for each in records] == [*records]
    assert len(records) == 4


def test_records_come_as_they_are_made(tmp_path: Path, director: Director) -> None:
    records = while_served(tmp_path, director, lambda: take(tmp_path, 30))
    assert [each.verdict for each in records[:3]] == ["forwarded", "forwarded", "no_service"]
    assert abs(records[0].at_ns - time.time_ns()) < 60 * 10**9


def test_only_what_was_asked_for_comes(tmp_path: Path, director: Director) -> None:
    asked = Filter(first_only=True, server=IPv4Address(server_address(1)))
    records = while_served(tmp_path, director, lambda: take(tmp_path, 5, asked))
    assert {(each.by, str(each.server)) for each in records} == {("scheduler", server_address(1))}


def test_whoever_watches_is_told_what_is_missing(tmp_path: Path, director: Director) -> None:
    def ask() -> Traced:
        stream = Client(tmp_path).trace(Filter(per_s=1))
        return next(each for each in stream if each.losses and each.losses.limited)

    told = while_served(tmp_path, director, ask)
    assert told.losses is not None
    assert told.losses.limited > 0


def test_a_wrong_filter_is_refused_with_its_field(tmp_path: Path, director: Director) -> None:
    def ask() -> None:
        with pytest.raises(Refused, match="verdict: 'lost' is none"):
            take(tmp_path, 1, Filter(verdicts=frozenset({"lost"})))

    while_served(tmp_path, director, ask)


def test_a_fifth_who_wants_to_watch_is_refused(tmp_path: Path, director: Director) -> None:
    def ask() -> None:
        streams = [Client(tmp_path).trace(EVERYTHING) for _ in range(4)]
        for stream in streams:
            next(stream)
        with pytest.raises(Refused, match="four watch already"):
            next(Client(tmp_path).trace(EVERYTHING))
        for stream in streams:
            stream.close()  # type: ignore[attr-defined]

    while_served(tmp_path, director, ask)


def test_one_who_leaves_is_noticed_and_makes_room(tmp_path: Path, director: Director) -> None:
    """More than may watch at once, one after the other; the places of those who left come free."""

    def ask() -> None:
        end_s = time.monotonic() + LIMIT_S
        watched = 0
        while watched < 6:
            assert time.monotonic() < end_s
            try:
                watched += len(take(tmp_path, 1))
            except Refused:
                time.sleep(0.05)

    while_served(tmp_path, director, ask)


# ---- The command ----


def traced(directory: Path, *options: str) -> Result:
    return CliRunner().invoke(program, ["trace", "--state-dir", str(directory), *options])


def test_the_command_shows_a_line_for_each(tmp_path: Path, director: Director) -> None:
    result = while_served(tmp_path, director, lambda: traced(tmp_path, "--count", "3"))
    assert result.exit_code == 0, result.output
    first, second, third = result.stdout.splitlines()
    assert "forwarded" in first
    assert "A new connection: rr chose" in first
    assert "Its connection is with" in second
    assert "no virtual service on that port" in third


def test_the_command_writes_json_lines(tmp_path: Path, director: Director) -> None:
    options = ("--json", "--first", "--count", "2", "--service", f"{VIP}:80")
    result = while_served(tmp_path, director, lambda: traced(tmp_path, *options))
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["by"] for record in records] == ["scheduler", "scheduler"]


def test_the_command_draws_and_writes_a_page(tmp_path: Path, director: Director) -> None:
    page = tmp_path / "page.html"
    options = ("--explain", "--first", "--count", "1", "--html", str(page))
    result = while_served(tmp_path, director, lambda: traced(tmp_path, *options))
    assert result.exit_code == 0, result.output
    assert "the same SYN" in result.output
    assert "the same SYN" in page.read_text()


def shown_by_tshark(path: Path, *fields: str) -> list[list[str]]:
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("tshark is not installed")
    asked = [part for field in fields for part in ("-e", field)]
    done = subprocess.run(
        [tshark, "-r", path, "-T", "fields", *asked],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [line.split("\t") for line in done.stdout.splitlines()]


def test_the_command_writes_a_capture_with_reasons(tmp_path: Path, director: Director) -> None:
    out = tmp_path / "out.pcapng"
    options = ("--count", "3", "--write", str(out))
    result = while_served(tmp_path, director, lambda: traced(tmp_path, *options))
    assert result.output == f"Watching, until Ctrl-C.\n3 frames in {out}\n"
    frames = shown_by_tshark(out, "ip.dst", "frame.comment")
    assert [address for address, _ in frames] == [VIP] * 3
    assert frames[0][1].startswith("forwarded: A new connection")
    assert frames[2][1].startswith("no_service: ")


def test_the_command_writes_the_flight_recorder(tmp_path: Path, director: Director) -> None:
    out = tmp_path / "drops.pcapng"
    for number in range(3):
        decide(director, syn(number, 81))
    decide(director, udp(f"{CLIENT}:1", "10.9.0.77:53"))
    options = ("--dropped", "--write", str(out))
    result = while_served(tmp_path, director, lambda: traced(tmp_path, *options))
    assert result.output == f"4 frames in {out}\n"
    comments = [comment for (comment,) in shown_by_tshark(out, "frame.comment")]
    assert [each.partition(":")[0] for each in comments] == ["no_service"] * 3 + ["not_a_vip"]
    listed = while_served(
        tmp_path, director, lambda: traced(tmp_path, "--dropped", "--verdict", "not_a_vip")
    )
    assert len(listed.output.splitlines()) == 1


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    result = traced(tmp_path, "--write", str(tmp_path / "no" / "where"))
    assert "where: No such file or directory" in str(result.exception)


def test_without_a_director_it_says_so(tmp_path: Path) -> None:
    result = traced(tmp_path)
    assert "no director is running" in str(result.exception)


# ---- The flight recorder ----


class Flying(Watched):
    """A director with a bus and a configuration, for the attendant."""

    def __init__(self, director: Director, directory: Path | None) -> None:
        super().__init__(director)
        self.at_s = 1_700_000_000.0
        self.events = Bus(lambda: self.at_s)
        self.config = Config("a.cf", settings=Settings(flight_recorder_dir=directory))

    def goes(self, *, up: bool) -> None:
        self.events.emit(HealthEvent(IPv4Address(server_address(1)), 80, (), up, "no answer"))


def test_the_last_dropped_frames_are_written_when_a_server_goes_down(
    tmp_path: Path, director: Director
) -> None:
    decide(director, syn(1, 81))
    flying = Flying(director, tmp_path / "recorder")
    with recording(flying):  # type: ignore[arg-type]
        flying.goes(up=False)
        flying.at_s += 5
        flying.goes(up=False)  # with the first
        flying.at_s += 5
        decide(director, syn(2, 81))
        flying.goes(up=True)
        flying.goes(up=False)
    first, second = sorted((tmp_path / "recorder").iterdir())
    assert first.name == "2023-11-14T22-13-20Z_10.9.0.11-80_down.pcapng"
    (frame,) = shown_by_tshark(first, "tcp.srcport", "frame.comment")
    assert frame[0] == "1001"
    assert frame[1].startswith("no_service: Dropped:")
    assert len(shown_by_tshark(second, "tcp.srcport")) == 2


def test_the_flight_recorder_keeps_the_last_files(tmp_path: Path, director: Director) -> None:
    decide(director, syn(1, 81))
    flying = Flying(director, tmp_path)
    with recording(flying):  # type: ignore[arg-type]
        for _ in range(KEPT_FILES + 3):
            flying.goes(up=False)
            flying.at_s += 10
    assert len([*tmp_path.iterdir()]) == KEPT_FILES


def test_without_a_directory_or_a_dropped_frame_nothing_is_written(
    tmp_path: Path, director: Director
) -> None:
    flying = Flying(director, tmp_path)
    with recording(flying):  # type: ignore[arg-type]
        flying.goes(up=False)
        decide(director, syn(1, 81))
        flying.config = Config("a.cf")
        flying.goes(up=False)
    assert not [*tmp_path.iterdir()]


def test_a_directory_that_cannot_be_written_is_said_and_harms_nobody(
    tmp_path: Path, director: Director, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    decide(director, syn(1, 81))
    flying = Flying(director, tmp_path / "file" / "below")
    with recording(flying):  # type: ignore[arg-type]
        flying.goes(up=False)
    assert "flight_recorder_dir" in caplog.text


def test_the_name_of_a_file_has_no_signs_that_a_system_refuses() -> None:
    assert file_name(0, "[fd00::1]:80") == "1970-01-01T00-00-00Z_fd00--1-80_down.pcapng"
