"""Rates: kernel IPVS's estimator, in virtual time, against the vectors of its arithmetic."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from director import CLIENT, SECOND_NS, Director, service
from hypothesis import given
from hypothesis import strategies as st

from dr_forwarder.table import Change, Counters, Operation

DNS = service("10.9.0.100:53", protocol="udp")
OTHER = service("10.9.0.100:54", protocol="udp")
PERIOD_S = 2


@pytest.fixture
def director() -> Iterator[Director]:
    with Director() as director:
        director.add_service(DNS, 1)
        yield director


def rates(director: Director) -> Counters:
    """After whatever is due now."""
    director.tick()
    return director.row(DNS).rates


def talk(director: Director, count: int, *, first: int = 0) -> None:
    """So many connections of one packet each."""
    for i in range(count):
        director.udp(f"{CLIENT}:{1024 + (first + i) % 60000}", "10.9.0.100:53")


class Oracle:
    """The estimator as kernel IPVS's documentation of numbers has it, in Python's integers."""

    def __init__(self) -> None:
        self.counts = self.bytes = 0

    def tick(self, count: int, bytes_: int) -> tuple[int, int]:
        self.counts += ((count << 9) - self.counts) >> 2
        self.bytes += ((bytes_ << 4) - self.bytes) >> 2
        return (self.counts + 511) >> 10, (self.bytes + 15) >> 5


def test_a_steady_load_is_approached_by_quarters(director: Director) -> None:
    seen = []
    for turn in range(12):
        talk(director, 100, first=100 * turn)
        director.wait(PERIOD_S)
        seen.append(rates(director).connections)
    assert seen == [12, 22, 29, 34, 38, 41, 43, 45, 46, 47, 48, 48]


def test_a_burst_fades(director: Director) -> None:
    talk(director, 100)
    seen = []
    for _ in range(13):
        director.wait(PERIOD_S)
        seen.append(rates(director).connections)
    assert seen == [12, 9, 7, 5, 4, 3, 2, 2, 1, 1, 1, 1, 0]


def test_one_connection_never_shows(director: Director) -> None:
    talk(director, 1)
    director.wait(PERIOD_S)
    assert rates(director).connections == 0
    assert director.row(DNS).counters.connections == 1


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8))
def test_service_server_and_total_are_as_the_oracle_says(loads: list[int]) -> None:
    with Director() as director:
        director.add_service(DNS, 1)
        oracle, before = Oracle(), Counters()
        for load in loads:
            talk(director, load)
            director.wait(PERIOD_S)
            now = director.row(DNS).counters
            packets, bytes_ = oracle.tick(load, now.bytes - before.bytes)
            before = now
            rates(director)
            row = director.row(DNS)
            for shown in (row.rates, row.servers[0].rates, director.stats().rates):
                assert (shown.packets, shown.bytes) == (packets, bytes_)
        assert director.stats().counters == director.row(DNS).counters


def test_missed_looks_are_made_up_for(director: Director) -> None:
    """The same after one long sleep as after many short ones."""
    talk(director, 100)
    director.wait(5 * PERIOD_S)
    assert rates(director).connections == 4


def test_each_is_looked_at_two_seconds_after_it_came(director: Director) -> None:
    director.wait(1)
    director.add_service(OTHER, 1)
    for target in ("53", "54"):
        for port in range(100):
            director.udp(f"{CLIENT}:{1024 + port}", f"10.9.0.100:{target}")
    director.wait(1)
    assert rates(director).connections == 12
    assert director.row(OTHER).rates.connections == 0
    director.wait(1)
    director.tick()
    assert director.row(OTHER).rates.connections == 12


def test_rates_begin_anew_with_the_counters(director: Director) -> None:
    talk(director, 100)
    director.wait(PERIOD_S)
    assert rates(director).connections == 12
    director.apply(Change(Operation.ZERO_ALL, None))
    assert director.row(DNS).rates == director.stats().rates == Counters()
    director.wait(PERIOD_S)
    assert rates(director) == director.stats().counters == Counters()


def test_the_total_keeps_what_a_deleted_service_counted(director: Director) -> None:
    talk(director, 10)
    director.apply(Change(Operation.DELETE_SERVICE, DNS))
    assert director.stats().counters.connections == 10


def test_rates_can_be_frozen_and_go_on_with_what_came_meanwhile(director: Director) -> None:
    talk(director, 100)
    director.wait(PERIOD_S)
    assert rates(director).connections == 12
    director.tune(run_estimation=0)
    talk(director, 100, first=100)
    director.wait(50 * PERIOD_S)
    assert rates(director).connections == 12
    director.tune(run_estimation=1)
    director.wait(PERIOD_S)
    assert rates(director).connections == 22


def test_a_century_of_silence_is_no_long_calculation(director: Director) -> None:
    talk(director, 100)
    director.now_ns += 100 * 365 * 86400 * SECOND_NS
    assert rates(director) == Counters()


def test_many_are_looked_at_in_pieces() -> None:
    """More slots than one batch looks at: all are due, and all get their turn."""
    with Director(services=512, servers=8192) as director:
        engine = director.engine
        engine.open_memory()
        services = [service(f"10.9.0.100:{1 + n}", protocol="udp") for n in range(500)]
        for each in services:
            director.add_service(each, *[1] * 12)
        for each in services[::50]:
            for port in range(100):
                director.udp(f"{CLIENT}:{1024 + port}", f"10.9.0.100:{each.key.port}")
        director.wait(PERIOD_S)
        batches = 0
        while any(director.row(each).rates.connections != 12 for each in services[::50]):
            engine.step(now_ns=director.now_ns)
            batches += 1
            assert batches < 10
        engine.step(now_ns=director.now_ns)
        assert all(row.rates.connections == 1 for row in director.row(services[0]).servers)
