"""The other schedulers against oracles in Python, over the stories of test_schedulers.py.

What differs there is who picks; connections, thresholds and the list are the same oracle's.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from ipaddress import IPv4Address
from itertools import accumulate, chain, cycle, islice
from math import gcd
from typing import Any

import pytest
from director import CLIENT, SECOND_NS, START_NS, VIP, Director, server_address, service
from hypothesis import given, settings
from hypothesis import strategies as st
from test_schedulers import Oracle, Real, configurations, steps
from test_schedulers_hash import (
    FALLBACK,
    MAGLEV_SLOTS,
    PORT,
    SKIP_KEY,
    SLOT_KEY,
    maglev_slot,
    multiplied,
    siphash13,
    source_slot,
)

from dr_forwarder.table import NO_FLAGS, Operation, Service, ServiceFlag

# ---- The oracles ----


@dataclass
class Picker:
    """What a pick depends on: the list, the newest first, and the connection to come."""

    servers: list[Real]
    flags: ServiceFlag = NO_FLAGS
    client: str = CLIENT
    port: int = 0
    now_s: int = 0

    @property
    def eligible(self) -> list[Real]:
        return [server for server in self.servers if server.eligible]

    def added(self) -> None: ...

    def edited(self) -> None: ...

    def deleted(self, server: Real, at: int) -> None: ...

    def pick(self) -> Real | None:
        raise NotImplementedError


def quotient(server: Real) -> Fraction:
    return Fraction(server.load, server.weight)


def least_loaded(servers: list[Real]) -> Real | None:
    return min(servers, key=quotient, default=None)


class ShortestDelay(Picker):
    def pick(self) -> Real | None:
        return min(self.eligible, key=lambda s: Fraction(s.active + 1, s.weight), default=None)


class NeverQueue(ShortestDelay):
    def pick(self) -> Real | None:
        idle = [server for server in self.eligible if server.active == 0]
        return idle[0] if idle else super().pick()


class FailOver(Picker):
    def pick(self) -> Real | None:
        return max(self.eligible, key=lambda server: server.weight, default=None)


class Overflow(Picker):
    def pick(self) -> Real | None:
        room = [server for server in self.eligible if server.active <= server.weight]
        return max(room, key=lambda server: server.weight, default=None)


class SourceHash(Picker):
    @property
    def hashed_port(self) -> int:
        return self.port if PORT in self.flags else 0

    def pick(self) -> Real | None:
        if not self.servers:
            return None
        turns = [server for server in self.servers for _ in range(min(max(server.weight, 1), 256))]
        slots = list(islice(cycle(turns), 256))
        slot = source_slot(self.client, self.hashed_port)
        tries = [slot]
        if FALLBACK in self.flags:
            tries += [(2 * slot + offset) % 256 for offset in range(256)]
        return next((slots[i] for i in tries if slots[i].eligible), None)


class DestinationHash(Picker):
    def pick(self) -> Real | None:
        slots = list(islice(cycle(self.servers), 256))
        if not slots:
            return None
        server = slots[multiplied(int(IPv4Address(VIP)), 8)]
        return server if server.eligible else None


@cache
def maglev_table(servers: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    """For each slot a server's number, from numbers and turns in the list's order."""
    table: dict[int, int] = {}

    def free_slots(number: int) -> Any:
        value = int(IPv4Address(server_address(number))) + 80
        first = siphash13(SLOT_KEY, value) % MAGLEV_SLOTS
        skip = siphash13(SKIP_KEY, value) % (MAGLEV_SLOTS - 1) + 1
        path = ((first + step * skip) % MAGLEV_SLOTS for step in range(MAGLEV_SLOTS))
        return (slot for slot in path if slot not in table)

    paths = {number: free_slots(number) for number, _ in servers}
    for number, turns in cycle(servers):
        for _ in range(turns):
            if len(table) == MAGLEV_SLOTS:
                return tuple(table[slot] for slot in range(MAGLEV_SLOTS))
            table[next(paths[number])] = number
    return ()


class Maglev(SourceHash):
    def __init__(self, servers: list[Real], flags: ServiceFlag) -> None:
        super().__init__(servers, flags)
        self.weights: dict[int, int] = {}  # the last that were not 0

    def added(self) -> None:
        self.weights[self.servers[0].number] = self.servers[0].weight

    def edited(self) -> None:
        for server in self.servers:
            if server.weight:
                self.weights[server.number] = server.weight

    def turns(self) -> tuple[tuple[int, int], ...]:
        weights = [(server.number, self.weights[server.number]) for server in self.servers]
        divisor = gcd(*(weight for _, weight in weights))
        if not divisor:
            return ()
        excess = max(0, (max(weight for _, weight in weights) // divisor).bit_length() - 6)
        return tuple(
            (number, max(1, (weight // divisor) >> excess)) for number, weight in weights if weight
        )

    def pick(self) -> Real | None:
        slots = maglev_table(self.turns())
        if not slots:
            return None
        by_number = {server.number: server for server in self.servers}
        port = self.hashed_port
        slot = maglev_slot(self.client, port)
        offsets = range(MAGLEV_SLOTS if FALLBACK in self.flags and self.eligible else 0)
        others = (maglev_slot(self.client, port + (i + slot) % MAGLEV_SLOTS) for i in offsets)
        picked = (by_number[slots[i]] for i in chain([slot], others))
        return next((server for server in picked if server.eligible), None)


class Twos(Picker):
    """With the core's generator: SplitMix64, seeded by the service's name."""

    def __init__(self, servers: list[Real], flags: ServiceFlag) -> None:
        super().__init__(servers, flags)
        self.state = 80 << 8 | 6
        for byte in bytes(10) + b"\xff\xff" + IPv4Address(VIP).packed:
            self.state = self.random() ^ byte

    def random(self) -> int:
        self.state = (self.state + 0x9E3779B97F4A7C15) % 2**64
        word = self.state
        word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        word = (word ^ word >> 27) * 0x94D049BB133111EB % 2**64
        return word ^ word >> 31

    def drawn(self) -> Real:
        marks = list(accumulate(server.weight for server in self.eligible))
        return self.eligible[bisect_left(marks, self.random() * (marks[-1] + 1) >> 64)]

    def pick(self) -> Real | None:
        if not self.eligible:
            return None
        one, other = self.drawn(), self.drawn()
        return other if quotient(other) < quotient(one) else one


DAY_S = 24 * 60 * 60


class Locality(Picker):
    """lblc, for the one destination that a service on one VIP has."""

    def __init__(self, servers: list[Real], flags: ServiceFlag) -> None:
        super().__init__(servers, flags)
        self.members: list[Real] = []
        self.used_s = self.changed_s = 0
        self.timer_s: int | None = None
        self.sweeps = 1

    def sweep(self) -> None:
        """The timer, minute by minute; each thirtieth time it looks for what is old."""
        if self.timer_s is None:
            self.timer_s = self.now_s
        while self.now_s >= self.timer_s + 60:
            self.timer_s += 60
            if self.sweeps % 30 == 0:
                self.sweeps = 0
                if self.timer_s - self.used_s >= DAY_S:
                    self.members = []
            self.sweeps += 1

    def usable(self, server: Real | None) -> bool:
        if server is None:
            return False
        overfull = server.active > server.weight
        return not (overfull and any(other.active * 2 < other.weight for other in self.servers))

    def known(self) -> Real | None:
        here = [server for server in self.members if server in self.servers and server.weight]
        return here[0] if here else None

    def remember(self, server: Real) -> None:
        self.members = [server]

    def pick(self) -> Real | None:
        self.sweep()
        self.used_s = self.now_s
        server = self.known()
        if self.usable(server):
            return server
        server = least_loaded(self.eligible)
        if server:
            self.remember(server)
        return server


class Replication(Locality):
    def known(self) -> Real | None:
        candidates = [s for s in self.members if s in self.servers and s.eligible]
        if len(self.members) > 1 and self.now_s - self.changed_s > DAY_S:
            heavy = [server for server in self.members if server.weight]
            if heavy:
                self.members.remove(max(heavy, key=quotient))
                self.changed_s = self.now_s
        return least_loaded(candidates)

    def remember(self, server: Real) -> None:
        if server not in self.members:
            self.members.insert(0, server)
            self.changed_s = self.now_s


PICKERS: dict[str, Any] = {
    "sed": ShortestDelay,
    "nq": NeverQueue,
    "fo": FailOver,
    "ovf": Overflow,
    "sh": SourceHash,
    "dh": DestinationHash,
    "mh": Maglev,
    "twos": Twos,
    "lblc": Locality,
    "lblcr": Replication,
}


@dataclass
class Wider(Oracle):
    flags: ServiceFlag = NO_FLAGS
    opened: int = field(default=0)

    def __post_init__(self) -> None:
        self.picker: Any = PICKERS[self.scheduler](self.servers, self.flags)

    @property
    def service(self) -> Service:
        return replace(service(scheduler=self.scheduler), flags=self.flags)


# ---- The core against them ----


def source(number: int) -> tuple[str, int]:
    """Each connection's own; a few come from one client."""
    return f"10.1.{number % 7}.{number // 3 % 200 + 1}", 1000 + number


def core_seconds(director: Director) -> int:
    """The core counts time in ticks of 2^24 ns."""
    return (director.now_ns >> 24 << 24) // SECOND_NS


def open_one(director: Director, oracle: Wider) -> int | str:
    oracle.opened += 1
    client, port = source(oracle.opened)
    oracle.picker.client, oracle.picker.port = client, port
    oracle.picker.now_s = core_seconds(director)
    got = director.tcp("S", f"{client}:{port}")
    assert got == oracle.open(oracle.opened)
    return got


def send(director: Director, flow: int, flags: str) -> None:
    client, port = source(flow)
    director.tcp(flags, f"{client}:{port}")


def follow(director: Director, oracle: Wider, story: list[tuple[Any, ...]]) -> None:
    for step in story:
        match step:
            case "open", count:
                for _ in range(count):
                    open_one(director, oracle)
            case "close", flow:
                send(director, flow, "A")
                send(director, flow, "R")
                oracle.establish(flow)
                oracle.reset(flow)
            case "wait", seconds:
                director.wait(seconds)
                director.tick()
                oracle.wait(seconds)
            case "delete", number:
                director.delete(oracle.service, number)
                oracle.delete(number)
            case kind, number, weight, upper, lower:
                config = {"weight": weight, "upper": upper, "lower": lower}
                {"add": director.add, "edit": director.edit}[kind](oracle.service, number, **config)
                {"add": oracle.add, "edit": oracle.edit}[kind](number, **config)
        assert director.counts(oracle.service) == oracle.counts(), step


def compare(oracle: Wider, first: list[Any], story: list[tuple[Any, ...]]) -> None:
    with Director() as director:
        assert director.change(Operation.ADD_SERVICE, oracle.service) == 0
        adds = [("add", number, *config) for number, config in enumerate(first, start=1)]
        follow(director, oracle, [*adds, *story])


servers = st.lists(configurations(), min_size=1, max_size=5)
stories = st.lists(steps(), min_size=5, max_size=40)
flags = st.sampled_from([NO_FLAGS, FALLBACK, PORT, FALLBACK | PORT])


@pytest.mark.parametrize("scheduler", ["sed", "nq", "fo", "ovf", "dh", "twos"])
@settings(max_examples=150, deadline=None)
@given(first=servers, story=stories)
def test_the_core_picks_what_the_oracle_picks(
    scheduler: str, first: list[Any], story: list[tuple[Any, ...]]
) -> None:
    compare(Wider(scheduler), first, story)


@settings(max_examples=150, deadline=None)
@given(first=servers, story=stories, flags=flags)
def test_sh_picks_what_the_oracle_picks(
    first: list[Any], story: list[tuple[Any, ...]], flags: ServiceFlag
) -> None:
    compare(Wider("sh", flags=flags), first, story)


@settings(max_examples=40, deadline=None)
@given(first=servers, story=st.lists(steps(), max_size=20), flags=flags)
def test_mh_picks_what_the_oracle_picks(
    first: list[Any], story: list[tuple[Any, ...]], flags: ServiceFlag
) -> None:
    compare(Wider("mh", flags=flags), first, story)


# As in steps(), multiples of 7, so that no timer is about to fire.
long_waits = st.tuples(st.just("wait"), st.sampled_from([1806, 43_204, 84_602, 86_408, 88_207]))


@pytest.mark.parametrize("scheduler", ["lblc", "lblcr"])
@settings(max_examples=200, deadline=None)
@given(first=servers, story=st.lists(steps() | steps() | steps() | long_waits, max_size=40))
def test_locality_picks_what_the_oracle_picks(
    scheduler: str, first: list[Any], story: list[tuple[Any, ...]]
) -> None:
    compare(Wider(scheduler), first, story)


@pytest.mark.parametrize("scheduler", sorted(PICKERS))
@settings(max_examples=25, deadline=None)
@given(first=servers, before=stories, after=st.lists(steps(), max_size=10))
def test_a_service_that_changes_to_it_starts_afresh(
    scheduler: str, first: list[Any], before: list[tuple[Any, ...]], after: list[tuple[Any, ...]]
) -> None:
    with Director() as director:
        old = Wider("sed")
        assert director.change(Operation.ADD_SERVICE, old.service) == 0
        adds = [("add", number, *config) for number, config in enumerate(first, start=1)]
        follow(director, old, [*adds, *before])
        new = Wider(scheduler, now_s=old.now_s, opened=old.opened)
        new.servers += old.servers
        new.removed, new.flows = old.removed, old.flows
        if isinstance(new.picker, Maglev):
            # It goes by last weights from before its time, too: let there be none.
            follow(director, old, [("edit", s.number, 3, 0, 0) for s in old.servers])
            new.picker.weights = {server.number: 3 for server in old.servers}
        assert director.change(Operation.EDIT_SERVICE, new.service) == 0
        follow(director, new, after)


# ---- Known sequences ----

VECTORS = [
    ("sed", (3, 2, 1), "1 2 1 3 2 1 1 2 1 3 2 1 1 2"),
    ("nq", (3, 2, 1), "3 2 1 1 2 1 1 2 1 3 2 1 1 2"),
    ("ovf", (3, 2, 1), "1 1 1 1 2 2 2 3 3 0 0"),
    ("fo", (3, 2, 1), "1 1 1 1 1"),
    ("fo", (1, 5, 5), "3 3 3 3"),
    ("lblc", (1, 1, 1), "3 3 2 2 1 1 1"),
    ("lblcr", (1, 1, 1), "3 3 2 2 1 1"),
]


@pytest.mark.parametrize(("scheduler", "weights", "picks"), VECTORS)
def test_it_picks_the_known_sequence(scheduler: str, weights: tuple[int, ...], picks: str) -> None:
    with Director() as director:
        director.add_service(service(scheduler=scheduler), *weights)
        got = [director.tcp("S", f"{CLIENT}:{1000 + i}") for i in range(len(picks.split()))]
    assert " ".join("0" if pick == "no_server" else str(pick) for pick in got) == picks


@pytest.mark.parametrize(("scheduler", "picked"), [("sed", 2), ("nq", 3), ("ovf", 2)])
def test_udp_is_never_active_and_so_goes_to_one_server(scheduler: str, picked: int) -> None:
    dns = service(f"{VIP}:53", protocol="udp", scheduler=scheduler)
    with Director() as director:
        director.add_service(dns, 1, 3, 2)
        got = {director.udp(f"{CLIENT}:{1000 + i}", f"{VIP}:53") for i in range(20)}
    assert got == {picked}


# ---- twos ----


def test_twos_evens_out_by_weight() -> None:
    with Director() as director:
        web = service(scheduler="twos")
        director.add_service(web, 5, 3, 2)
        got = Counter(director.tcp("S", f"{CLIENT}:{1000 + i}") for i in range(1000))
    for number, weight in ((1, 5), (2, 3), (3, 2)):
        assert abs(got[number] - weight * 100) < 30


def test_twos_on_two_services_draws_differently() -> None:
    with Director() as director:
        for port in (80, 81):
            director.add_service(service(f"{VIP}:{port}", scheduler="twos"), 1, 1, 1, 1)
        first, second = (
            [director.tcp("S", f"{CLIENT}:{1000 + i}", f"{VIP}:{port}") for i in range(50)]
            for port in (80, 81)
        )
    assert first != second


# ---- lblc and lblcr, scene by scene ----


@dataclass
class Scene:
    """A director half a second off, so that whole seconds are not on the edge of a tick."""

    director: Director
    web: Service
    port: int = 1000

    def pick(self) -> int | str:
        self.port += 1
        return self.director.tcp("S", f"{CLIENT}:{self.port}")


@pytest.fixture
def scene(request: pytest.FixtureRequest) -> Any:
    with Director(now_ns=START_NS + SECOND_NS // 2) as director:
        web = service(scheduler=request.param)
        director.add_service(web, 1, 1)
        yield Scene(director, web)


both = pytest.mark.parametrize("scene", ["lblc", "lblcr"], indirect=True)


@both
def test_a_destination_stays_with_its_server(scene: Scene) -> None:
    assert scene.pick() == 2
    scene.director.add(scene.web, 3, weight=100)
    assert scene.pick() == 2
    scene.director.wait(3600)
    assert scene.pick() == 2


@both
@pytest.mark.parametrize(("seconds", "picked"), [(88_199, 2), (88_200, 3)])
def test_a_destination_is_forgotten_a_day_later_at_the_half_hour(
    scene: Scene, seconds: int, picked: int
) -> None:
    assert scene.pick() == 2  # the timer begins here
    scene.director.wait(1)
    assert scene.pick() == 2  # too late for the sweep at 86,400 s: the next is half an hour on
    scene.director.add(scene.web, 3)
    scene.director.wait(seconds - 1)
    assert scene.pick() == picked


@both
def test_a_destination_in_use_is_not_forgotten(scene: Scene) -> None:
    assert scene.pick() == 2
    scene.director.add(scene.web, 3)
    for _ in range(5):
        scene.director.wait(80_000)
        assert scene.pick() == 2


def let_connections_end(scene: Scene) -> None:
    scene.director.wait(70)
    scene.director.tick()


@both
def test_a_removed_server_is_replaced_and_one_that_is_back_remembered(scene: Scene) -> None:
    assert scene.pick() == 2
    let_connections_end(scene)
    scene.director.delete(scene.web, 2)
    scene.director.add(scene.web, 2)
    scene.director.add(scene.web, 3)
    assert scene.pick() == 2  # nobody asked meanwhile
    let_connections_end(scene)
    scene.director.delete(scene.web, 2)
    assert scene.pick() == 3


@both
def test_a_server_of_weight_zero_is_replaced(scene: Scene) -> None:
    assert scene.pick() == 2
    let_connections_end(scene)
    scene.director.edit(scene.web, 2, weight=0)
    assert scene.pick() == 1


@both
def test_a_slot_that_went_to_another_server_is_not_the_one_remembered(scene: Scene) -> None:
    assert scene.pick() == 2
    let_connections_end(scene)
    scene.director.delete(scene.web, 2)
    scene.director.wait(130)
    # All room is used up, so the removed server's slot is given to the last one.
    for number in range(3, 3 + 63):
        assert scene.director.add(scene.web, number) == 0
    assert scene.director.add(scene.web, 66) != 0
    scene.director.delete(scene.web, 3)
    scene.director.wait(130)
    assert scene.director.add(scene.web, 66) == 0
    assert scene.pick() == 66


@pytest.mark.parametrize(("scene", "picked"), [("lblc", 2), ("lblcr", 1)], indirect=["scene"])
def test_the_threshold_of_a_remembered_server(scene: Scene, picked: int) -> None:
    scene.director.edit(scene.web, 2, weight=1, upper=1)
    assert scene.pick() == 2
    assert scene.director.server_row(scene.web, 2).overloaded
    assert scene.pick() == picked


def almost_a_day_later(scene: Scene) -> None:
    """The set is 1, 2 and stays in use; ten seconds before the day is over 1 has a connection."""
    assert [scene.pick() for _ in range(3)] == [2, 2, 1]
    scene.director.wait(40_000)
    assert scene.pick() == 1  # both are idle: the newest in the set
    scene.director.wait(DAY_S - 40_000 - 10)
    assert scene.pick() == 1


replicated = pytest.mark.parametrize("scene", ["lblcr"], indirect=True)


@replicated
@pytest.mark.parametrize(("seconds", "then"), [(10, 1), (11, 2)])
def test_a_set_that_stays_the_same_for_a_day_loses_its_most_loaded_server(
    scene: Scene, seconds: int, then: int
) -> None:
    almost_a_day_later(scene)
    scene.director.wait(seconds)
    assert scene.pick() == 2
    assert scene.pick() == then


@replicated
def test_a_set_does_not_lose_a_server_of_weight_zero(scene: Scene) -> None:
    almost_a_day_later(scene)
    scene.director.edit(scene.web, 1, weight=0)
    scene.director.wait(11)
    assert scene.pick() == 2  # and it is lost
    scene.director.edit(scene.web, 1, weight=1)
    let_connections_end(scene)
    scene.director.add(scene.web, 3)
    assert scene.pick() == 1


@both
def test_a_new_process_remembers_no_destination(scene: Scene, tmp_path: Any) -> None:
    path, web = tmp_path / "state", scene.web
    with Director(state_file=path) as director:
        director.add_service(web, 1)
        director.add(web, 2)
        assert director.tcp("S", f"{CLIENT}:1") == 2
        director.add(web, 3)
    with Director(state_file=path) as director:
        assert director.engine.adoption.adopted
        assert director.tcp("S", f"{CLIENT}:2") == 3
        assert director.tcp("S", f"{CLIENT}:3") == 3
