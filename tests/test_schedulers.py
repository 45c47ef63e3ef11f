"""Schedulers against an oracle: a second implementation, in Python, that shares no line with ours.

It follows the description of kernel IPVS: the newest server is first in the list, the first of
equals wins, an active connection weighs as much as 256 inactive ones.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import reduce
from math import gcd
from typing import Any

import pytest
from director import CLIENT, Director, service
from hypothesis import given, settings
from hypothesis import strategies as st

SCHEDULERS = ("rr", "wrr", "lc", "wlc")

# ---- The oracle ----


@dataclass(eq=False)
class Real:
    number: int
    weight: int
    upper: int = 0
    lower: int = 0
    active: int = 0
    inactive: int = 0
    overload: bool = False

    @property
    def load(self) -> int:
        return self.active * 256 + self.inactive

    @property
    def eligible(self) -> bool:
        return not self.overload and self.weight > 0


class RoundRobin:
    def __init__(self, servers: list[Real]) -> None:
        self.servers = servers
        self.last: Real | None = None

    def added(self) -> None: ...

    def edited(self) -> None: ...

    def deleted(self, server: Real, at: int) -> None:
        if self.last is server:
            self.last = self.servers[at - 1] if at else None

    def pick(self) -> Real | None:
        start = self.servers.index(self.last) + 1 if self.last else 0
        for server in self.servers[start:] + self.servers[:start]:
            if server.eligible:
                self.last = server
                return server
        return None


class WeightedRoundRobin:
    def __init__(self, servers: list[Real]) -> None:
        self.servers = servers
        self.at = -1  # the list's head
        self._measure()
        self.current = self.top

    def _measure(self) -> None:
        weights = [server.weight for server in self.servers if server.weight]
        self.step = reduce(gcd, weights) if weights else 1
        self.top = max(weights) - (self.step - 1) if weights else 0

    def added(self) -> None:
        self._measure()
        self.at = -1
        if self.current > self.top or self.current == 0:
            self.current = self.top
        elif self.step > 1:
            self.current = self.current // self.step * self.step + 1

    edited = added

    def deleted(self, server: Real, at: int) -> None:
        self.added()

    def pick(self) -> Real | None:
        if not self.top:
            return None
        began, stop, last_pass, restarted = self.at, None, False, False
        while True:
            for at in range(self.at + 1, len(self.servers)):
                server = self.servers[at]
                if not server.overload and server.weight >= self.current:
                    self.at = at
                    return server
                if at == stop:
                    self.at = at
                    return None
            self.at = -1
            self.current -= self.step
            if self.current <= 0:
                self.current = self.top
                if last_pass or began == -1:
                    return None
                restarted = True
            last_pass = self.current <= self.step
            if last_pass and restarted and began != -1:
                stop = began


class LeastConnections(RoundRobin):
    def pick(self) -> Real | None:
        eligible = [server for server in self.servers if server.eligible]
        return min(eligible, key=lambda server: server.load, default=None)


class WeightedLeastConnections(RoundRobin):
    def pick(self) -> Real | None:
        best: Real | None = None
        for server in self.servers:
            if not server.eligible:
                continue
            if best is None or best.load * server.weight > server.load * best.weight:
                best = server
        return best


ORACLES = {
    "rr": RoundRobin,
    "wrr": WeightedRoundRobin,
    "lc": LeastConnections,
    "wlc": WeightedLeastConnections,
}


@dataclass(eq=False)
class Flow:
    server: Real
    ends_s: float
    active: bool = True


@dataclass
class Oracle:
    """A service's servers, the removed ones too, and the connections that they count."""

    scheduler: str
    now_s: float = 0
    servers: list[Real] = field(default_factory=list)
    removed: list[Real] = field(default_factory=list)
    flows: dict[int, Flow] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.picker = ORACLES[self.scheduler](self.servers)

    def listed(self, number: int) -> Real | None:
        return next((server for server in self.servers if server.number == number), None)

    @staticmethod
    def configure(server: Real, weight: int, upper: int, lower: int) -> None:
        if upper == 0 or upper > server.upper:
            server.overload = False
        server.weight, server.upper, server.lower = weight, upper, lower

    def add(self, number: int, weight: int, upper: int, lower: int) -> None:
        if self.listed(number):
            return
        back = [server for server in self.removed if server.number == number]
        server = back[0] if back else Real(number, weight)
        self.removed = [server for server in self.removed if server.number != number]
        self.configure(server, weight, upper, lower)
        self.servers.insert(0, server)
        self.picker.added()

    def edit(self, number: int, weight: int, upper: int, lower: int) -> None:
        if server := self.listed(number):
            self.configure(server, weight, upper, lower)
            self.picker.edited()

    def delete(self, number: int) -> None:
        if server := self.listed(number):
            at = self.servers.index(server)
            self.servers.remove(server)
            self.removed.append(server)
            self.picker.deleted(server, at)

    def open(self, flow: int) -> int | str:
        server = self.picker.pick()
        if server is None:
            return "no_server"
        server.active += 1
        if server.upper and server.active + server.inactive >= server.upper:
            server.overload = True
        self.flows[flow] = Flow(server, self.now_s + 60)
        return server.number

    def establish(self, flow: int) -> None:
        self.go_on(flow, active=True, timeout_s=900)

    def reset(self, flow: int) -> None:
        self.go_on(flow, active=False, timeout_s=10)

    def go_on(self, flow: int, *, active: bool, timeout_s: int) -> None:
        entry = self.flows.get(flow)
        if entry is None or entry.server in self.removed:
            return
        entry.server.active += active - entry.active
        entry.server.inactive -= active - entry.active
        entry.active, entry.ends_s = active, self.now_s + timeout_s

    def wait(self, seconds: int) -> None:
        self.now_s += seconds
        over = [flow for flow, entry in self.flows.items() if entry.ends_s < self.now_s]
        for flow in over:
            entry = self.flows.pop(flow)
            server = entry.server
            server.active -= entry.active
            server.inactive -= not entry.active
            count = server.active + server.inactive
            limit = server.lower or server.upper * 3 / 4
            if count < limit or not (server.upper or server.lower):
                server.overload = False

    def counts(self) -> dict[int, tuple[int, int]]:
        return {server.number: (server.active, server.inactive) for server in self.servers}


# ---- The core against it ----

numbers = st.integers(1, 5)
weights = st.integers(0, 5) | st.sampled_from([6, 9, 100, 65_535])


@st.composite
def configurations(draw: Any) -> tuple[int, int, int]:
    upper = draw(st.sampled_from([0, 0, 0, 1, 2, 4, 8]))
    return draw(weights), upper, draw(st.integers(0, upper))


@st.composite
def steps(draw: Any) -> tuple[Any, ...]:
    kind = draw(
        st.sampled_from(["open", "open", "open", "close", "close", "wait", "add", "edit", "delete"])
    )
    match kind:
        case "open":
            return kind, draw(st.integers(1, 8))
        case "close":
            return kind, draw(st.integers(0, 30))
        case "wait":
            # Multiples of 7 never fall where a timer may or may not have fired yet.
            return kind, draw(st.sampled_from([7, 14, 63, 126, 903]))
        case "delete":
            return kind, draw(numbers)
    return kind, draw(numbers), *draw(configurations())


def follow(director: Director, oracle: Oracle, story: list[tuple[Any, ...]]) -> None:
    web = service(scheduler=oracle.scheduler)
    opened = 0
    for step in story:
        match step:
            case "open", count:
                for _ in range(count):
                    opened += 1
                    source = f"{CLIENT}:{1000 + opened}"
                    assert director.tcp("S", source) == oracle.open(opened), step
            case "close", flow:
                for flags in ("A", "R"):
                    director.tcp(flags, f"{CLIENT}:{1000 + flow}")
                oracle.establish(flow)
                oracle.reset(flow)
            case "wait", seconds:
                director.wait(seconds)
                director.tick()
                oracle.wait(seconds)
            case "delete", number:
                director.delete(web, number)
                oracle.delete(number)
            case kind, number, weight, upper, lower:
                config = {"weight": weight, "upper": upper, "lower": lower}
                {"add": director.add, "edit": director.edit}[kind](web, number, **config)
                {"add": oracle.add, "edit": oracle.edit}[kind](number, **config)
        assert director.counts(web) == oracle.counts(), step


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@settings(max_examples=200, deadline=None)
@given(first=st.lists(configurations(), max_size=5), story=st.lists(steps(), max_size=40))
def test_the_core_picks_what_the_oracle_picks(
    scheduler: str, first: list[tuple[int, int, int]], story: list[tuple[Any, ...]]
) -> None:
    with Director() as director:
        director.add_service(service(scheduler=scheduler))
        adds = [("add", number, *config) for number, config in enumerate(first, start=1)]
        follow(director, Oracle(scheduler), [*adds, *story])


@settings(max_examples=100, deadline=None)
@given(weights=st.lists(st.integers(0, 12), min_size=1, max_size=6), before=st.integers(0, 40))
def test_over_a_full_cycle_wrr_is_exact(weights: list[int], before: int) -> None:
    with Director() as director:
        director.add_service(service(scheduler="wrr"), *weights)
        divisor = gcd(*weights) or 1
        share = {number: w // divisor for number, w in enumerate(weights, start=1) if w}
        picks = [
            director.tcp("S", f"{CLIENT}:{1000 + i}") for i in range(before + sum(share.values()))
        ]
        assert Counter(picks[before:]) == share


# ---- Known sequences ----

VECTORS = [
    ("rr", (1, 1, 1), "3 2 1 3 2 1 3"),
    ("rr", (1, 0, 9), "3 1 3 1 3"),
    ("wrr", (4, 3, 2), "3 2 1 1 2 1 3 2 1 3 2 1 1 2 1 3 2 1"),
    ("wrr", (6, 4, 2), "3 2 1 1 2 1 3 2 1 1 2 1"),
    ("wrr", (5, 1, 1), "3 2 1 1 1 1 1 3 2 1 1 1 1 1"),
    ("wrr", (3, 1), "2 1 1 1 2 1 1 1"),
    ("wrr", (5, 3, 2), "3 2 1 1 1 2 1 3 2 1"),
    ("lc", (3, 2, 1), "3 2 1 3 2 1"),
    ("wlc", (3, 2, 1), "3 2 1 1 2 1 3 2 1 1 2 1 3 2"),
]


def picks(director: Director, count: int, first_port: int = 1000) -> str:
    got = [director.tcp("S", f"{CLIENT}:{first_port + i}") for i in range(count)]
    return " ".join(map(str, got))


@pytest.mark.parametrize(("scheduler", "weights", "expected"), VECTORS)
def test_a_known_sequence(scheduler: str, weights: tuple[int, ...], expected: str) -> None:
    with Director() as director:
        director.add_service(service(scheduler=scheduler), *weights)
        assert picks(director, len(expected.split())) == expected


def test_rr_goes_on_behind_the_last_one_when_a_server_is_added_in_front() -> None:
    web = service()
    with Director() as director:
        director.add_service(web, 1, 1, 1)
        assert picks(director, 2) == "3 2"
        director.add(web, 4)
        assert picks(director, 5, 2000) == "1 4 3 2 1"


def test_rr_steps_back_when_the_last_one_is_deleted() -> None:
    web = service()
    with Director() as director:
        director.add_service(web, 1, 1, 1)
        assert picks(director, 2) == "3 2"
        director.delete(web, 2)
        assert picks(director, 3, 2000) == "1 3 1"


def test_wrr_begins_again_at_the_head_after_an_add() -> None:
    web = service(scheduler="wrr")
    with Director() as director:
        director.add_service(web, 3, 2)
        assert picks(director, 3) == "2 1 1"
        director.add(web, 3, weight=3)
        assert picks(director, 10, 2000) == "3 1 3 2 1 3 2 1 3 1"


def test_wrr_begins_again_at_the_head_after_an_edit() -> None:
    web = service(scheduler="wrr")
    with Director() as director:
        director.add_service(web, 3, 2, 1)
        assert picks(director, 4) == "3 2 1 1"
        director.edit(web, 3, weight=3)
        assert picks(director, 10, 2000) == "3 1 3 2 1 3 2 1 3 1"


def test_wrr_begins_again_at_the_head_even_when_an_edit_changes_nothing() -> None:
    web = service(scheduler="wrr")
    with Director() as director:
        director.add_service(web, 2, 2, 2)
        assert picks(director, 1) == "3"
        director.edit(web, 3, weight=2)
        assert picks(director, 3, 2000) == "3 2 1"


def test_a_server_that_comes_back_is_the_newest_and_keeps_its_counters() -> None:
    web = service(scheduler="lc")
    with Director() as director:
        director.add_service(web, 1, 1)
        assert picks(director, 4) == "2 1 2 1"
        before = director.server_row(web, 1)
        director.delete(web, 1)
        assert picks(director, 1, 2000) == "2"
        director.add(web, 1)
        assert director.server_row(web, 1) == before
        assert director.row(web).servers[0] == before
        assert picks(director, 1, 3000) == "1"


def test_a_server_takes_its_upper_threshold_and_opens_below_the_lower_one() -> None:
    web = service()
    with Director() as director:
        director.add_service(web)
        director.add(web, 1, upper=4, lower=2)
        assert picks(director, 5) == "1 1 1 1 no_server"
        assert director.server_row(web, 1).overloaded
        for port, expected in ((1000, "no_server"), (1001, "no_server"), (1002, "1")):
            director.tcp("A", f"{CLIENT}:{port}")
            director.tcp("R", f"{CLIENT}:{port}")
            director.wait(11)
            assert picks(director, 1, 2000 + port) == expected


def test_without_a_lower_threshold_it_opens_below_three_quarters() -> None:
    web = service()
    with Director() as director:
        director.add_service(web)
        director.add(web, 1, upper=8)
        assert picks(director, 9) == "1 " * 8 + "no_server"
        for port, expected in ((1000, "no_server"), (1001, "no_server"), (1002, "1")):
            director.tcp("A", f"{CLIENT}:{port}")
            director.tcp("R", f"{CLIENT}:{port}")
            director.wait(11)
            assert picks(director, 1, 2000 + port) == expected


def test_a_full_server_keeps_serving_the_connections_it_has() -> None:
    web = service()
    with Director() as director:
        director.add_service(web)
        director.add(web, 1, upper=1)
        assert picks(director, 2) == "1 no_server"
        assert director.tcp("A", f"{CLIENT}:1000") == 1


def test_a_datagram_is_never_active() -> None:
    dns = service(protocol="udp", scheduler="lc")
    with Director() as director:
        director.add_service(dns, 1, 1)
        assert [director.udp(f"{CLIENT}:{1000 + i}") for i in range(4)] == [2, 1, 2, 1]
        assert director.counts(dns) == {2: (0, 2), 1: (0, 2)}
