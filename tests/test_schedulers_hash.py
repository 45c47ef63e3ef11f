"""sh, dh and mh slot by slot: known hashes, known tables, and what fallback and changes do.

The hashes are written down here once more, so that a slot's client can be found; the table is
looked into by asking for every slot's client.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path

import pytest
from director import CLIENT, VIP, Director, server_mac, service
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_forwarder.table import NO_FLAGS, Change, Operation, Server, Service, ServiceFlag

FALLBACK = ServiceFlag.SCHEDULER_1
PORT = ServiceFlag.SCHEDULER_2
SLOTS = 256
MAGLEV_SLOTS = 4093
SLOT_KEY = 2654435761
SKIP_KEY = 2654446892

# ---- The hashes ----


def multiplied(value: int, bits: int) -> int:
    return (value * 0x61C88647) % 2**32 >> (32 - bits)


def source_slot(client: str, port: int = 0) -> int:
    return multiplied((int(IPv4Address(client)) + port) % 2**32, 8)


def rotated(word: int, bits: int) -> int:
    return (word << bits | word >> (64 - bits)) % 2**64


def siphash13(key: int, value: int) -> int:
    """Of four bytes, under a key of two equal words, and of the result the lower half."""
    a, b, c, d = (
        key ^ int.from_bytes(text, "big")
        for text in (b"somepseu", b"dorandom", b"lygenera", b"tedbytes")
    )
    last = 4 << 56 | value
    for turn in range(4):
        if turn == 0:
            d ^= last
        a, c = (a + b) % 2**64, (c + d) % 2**64
        b, d = rotated(b, 13) ^ a, rotated(d, 16) ^ c
        a, c = (rotated(a, 32) + d) % 2**64, (c + b) % 2**64
        b, d = rotated(b, 17) ^ c, rotated(d, 21) ^ a
        c = rotated(c, 32)
        if turn == 0:
            a ^= last
            c ^= 0xFF
    return (a ^ b ^ c ^ d) % 2**32


def maglev_slot(client: str, port: int = 0) -> int:
    return siphash13(SLOT_KEY, (int(IPv4Address(client)) + port) % 2**32) % MAGLEV_SLOTS


ADDRESSES = (
    "192.0.2.1",
    "192.0.2.2",
    "192.0.2.3",
    "198.51.100.7",
    "203.0.113.200",
    "10.0.0.1",
    "255.255.255.255",
    "0.0.0.1",
)


def test_source_hashes_are_the_known_ones() -> None:
    assert [source_slot(address) for address in ADDRESSES] == [50, 148, 246, 171, 52, 39, 158, 97]
    with_port = [source_slot(address, 40000) for address in ADDRESSES]
    assert with_port == [214, 56, 154, 79, 216, 203, 66, 5]


def test_maglev_hashes_are_the_known_ones() -> None:
    assert [siphash13(SLOT_KEY, value) for value in (0, 1)] == [0x1D5A77C2, 0x16EC66B2]
    assert [siphash13(SKIP_KEY, value) for value in (0, 1)] == [0xF882433F, 0x8210AAD1]
    assert siphash13(SLOT_KEY, int(IPv4Address("192.0.2.1"))) == 2458426504
    slots = [maglev_slot(address) for address in ADDRESSES[:6]]
    assert slots == [2891, 746, 998, 924, 3310, 3711]


# ---- Looking into a table ----


@cache
def clients(scheduler: str) -> tuple[str, ...]:
    """A client for every slot, in the slots' order."""
    slots, slot_of = (SLOTS, source_slot) if scheduler == "sh" else (MAGLEV_SLOTS, maglev_slot)
    found: dict[int, str] = {}
    for number in count(int(IPv4Address("10.128.0.1"))):
        client = str(IPv4Address(number))
        found.setdefault(slot_of(client), client)
        if len(found) == slots:
            break
    return tuple(found[slot] for slot in range(slots))


def hashed(scheduler: str, flags: ServiceFlag = NO_FLAGS) -> Service:
    return replace(service(scheduler=scheduler), flags=flags)


class Table(Director):
    """A director with one service; its servers are on 10.0.0.11 and following."""

    def __init__(
        self, scheduler: str, *weights: int, flags: ServiceFlag = NO_FLAGS, first: int = 1
    ) -> None:
        super().__init__(connections=65536)
        self.web = hashed(scheduler, flags)
        self.port = 0
        assert self.change(Operation.ADD_SERVICE, self.web) == 0
        for number, weight in enumerate(weights, start=first):
            self.put(number, weight)

    def real(self, number: int, weight: int, upper: int = 0) -> Server:
        return Server(IPv4Address(f"10.0.0.{10 + number}"), 80, weight, upper)

    def put(self, number: int, weight: int, upper: int = 0) -> None:
        server = self.real(number, weight, upper)
        mac = server_mac(str(server.address))
        changes = (
            Change(Operation.ADD_SERVER, self.web, server),
            Change(Operation.SET_MAC, None, server, mac),
        )
        assert self.apply(*changes) == [0, 0]

    def weigh(self, number: int, weight: int) -> None:
        assert self.change(Operation.EDIT_SERVER, self.web, self.real(number, weight)) == 0

    def take_out(self, number: int) -> None:
        assert self.change(Operation.DELETE_SERVER, self.web, self.real(number, 0)) == 0

    def ask(self, client: str, port: int | None = None) -> int:
        """Which server a new connection gets, 0 for none."""
        self.port += 1
        got = self.tcp("S", f"{client}:{1000 + self.port % 60000 if port is None else port}")
        if isinstance(got, int):
            return got
        assert got == "no_server"
        return 0

    def slots(self) -> list[int]:
        return [self.ask(client) for client in clients(self.web.scheduler)]

    def answers(self) -> list[int]:
        """For the eight addresses above; slot by slot, as two of them are no client's."""
        slot_of = source_slot if self.web.scheduler == "sh" else maglev_slot
        return [self.ask(clients(self.web.scheduler)[slot_of(address)]) for address in ADDRESSES]


# ---- sh ----


def test_sh_shares_slots_out_by_weight() -> None:
    with Table("sh", 4, 3, 2) as table:
        slots = table.slots()
        assert slots[:11] == [3, 3, 2, 2, 2, 1, 1, 1, 1, 3, 3]
        assert slots[-8:] == [1, 1, 1, 1, 3, 3, 2, 2]
        assert Counter(slots) == {1: 112, 2: 86, 3: 58}
        assert table.answers() == [1, 2, 2, 3, 1, 2, 1, 1]


def test_large_weights_leave_the_others_without_a_slot() -> None:
    with Table("sh", 300, 300) as table:
        assert set(table.slots()) == {2}


def test_a_weight_of_zero_still_owns_slots_and_refuses() -> None:
    with Table("sh", 0, 1) as table:
        assert Counter(table.slots()) == {0: 128, 2: 128}


def test_sh_fallback_finds_another_server() -> None:
    with Table("sh", 1, 1, 1, flags=FALLBACK) as table:
        table.weigh(2, 0)
        assert table.answers() == [1, 1, 3, 3, 1, 3, 1, 1]
        assert set(table.slots()) == {1, 3}


@settings(max_examples=30, deadline=None)
@given(weights=st.lists(st.integers(0, 5), min_size=1, max_size=7))
def test_sh_fallback_begins_at_twice_the_slot(weights: list[int]) -> None:
    numbers = range(len(weights), 0, -1)
    owners = [number for number in numbers for _ in range(max(1, weights[number - 1]))] * SLOTS
    wanted = [
        next((i for i in (owners[slot], *fallback) if weights[i - 1]), 0)
        for slot in range(SLOTS)
        for fallback in [[owners[(2 * slot + i) % SLOTS] for i in range(SLOTS)]]
    ]
    with Table("sh", *weights, flags=FALLBACK) as table:
        assert table.slots() == wanted


@pytest.mark.parametrize("scheduler", ["sh", "mh"])
def test_fallback_finds_nobody_when_all_are_down(scheduler: str) -> None:
    with Table(scheduler, 1, 1, flags=FALLBACK) as table:
        table.weigh(1, 0)
        table.weigh(2, 0)
        assert table.answers() == [0] * 8


def test_with_sh_port_a_clients_connections_are_spread() -> None:
    with Table("sh", 4, 3, 2, flags=PORT) as table, Table("sh", 4, 3, 2) as plain:
        slots = plain.slots()
        for address in ADDRESSES[:6]:
            for port in (1, 1024, 40000, 65535):
                assert table.ask(address, port) == slots[source_slot(address, port)]


def test_sh_follows_every_change() -> None:
    with Table("sh", 1, 1) as table:
        table.weigh(1, 3)
        assert Counter(table.slots()) == {1: 192, 2: 64}
        table.take_out(2)
        assert set(table.slots()) == {1}
        table.put(3, 1)
        assert Counter(table.slots()) == {1: 192, 3: 64}
        table.take_out(1)
        table.take_out(3)
        assert set(table.slots()) == {0}


# ---- dh ----


@pytest.mark.parametrize("weights", [(1, 1, 1), (5, 3, 2), (9, 9, 9, 9, 9)])
def test_dh_gives_a_vip_to_one_server_whatever_the_weights(weights: tuple[int, ...]) -> None:
    newest_first = range(len(weights), 0, -1)
    with Table("dh", *weights) as table:
        slot = multiplied(int(IPv4Address(VIP)), 8)
        wanted = newest_first[slot % len(weights)]
        assert {table.ask(f"10.1.0.{i}") for i in range(1, 20)} == {wanted}
        table.weigh(wanted, 0)
        assert table.ask(CLIENT) == 0
        table.take_out(wanted)
        rest = [number for number in newest_first if number != wanted]
        assert table.ask(CLIENT) == rest[slot % len(rest)]


# ---- mh ----


def digest(slots: Sequence[int]) -> str:
    return hashlib.sha256(bytes(slots)).hexdigest()[:16]


@pytest.mark.parametrize(
    ("weights", "shares", "wanted"),
    [
        ((1, 1, 1), {1: 1364, 2: 1364, 3: 1365}, "53ac53f98a6bda47"),
        ((4, 3, 2), {1: 1818, 2: 1365, 3: 910}, "6b599635c119bc9a"),
        ((1000, 1), {1: 4028, 2: 65}, "63711176138408eb"),
    ],
)
def test_mh_fills_the_known_tables(
    weights: tuple[int, ...], shares: dict[int, int], wanted: str
) -> None:
    with Table("mh", *weights) as table:
        slots = table.slots()
        assert Counter(slots) == shares
        assert digest(slots) == wanted


def test_mh_answers_as_known() -> None:
    with Table("mh", 1, 1, 1) as table:
        slots = table.slots()
        assert slots[:20] == [2, 3, 3, 1, 2, 2, 1, 1, 3, 2, 2, 1, 1, 2, 2, 2, 1, 3, 2, 3]
        assert table.answers() == [3, 1, 2, 1, 2, 2, 1, 2]
        with_port = [slots[maglev_slot(address, 40000)] for address in ADDRESSES]
        assert with_port == [3, 1, 1, 3, 1, 3, 2, 1]
    with Table("mh", 1, 1, 1, flags=PORT) as table:
        assert [table.ask(address, 40000) for address in ADDRESSES[:6]] == with_port[:6]


def test_mh_keeps_the_slots_of_a_server_edited_to_zero() -> None:
    with Table("mh", 1, 1, 1) as table:
        before = table.slots()
        table.weigh(2, 0)
        assert table.slots() == [0 if server == 2 else server for server in before]
        table.weigh(2, 1)
        assert table.slots() == before


def test_mh_gives_no_slot_to_a_server_added_with_zero() -> None:
    with Table("mh", 1, 0, 1) as table, Table("mh", 1) as other:
        other.put(3, 1)
        assert table.slots() == other.slots()
        assert set(table.slots()) == {1, 3}
    with Table("mh", 0, 0, flags=FALLBACK) as table:
        assert table.answers() == [0] * 8


def test_mh_fallback_spreads_the_clients_of_a_lost_server() -> None:
    with Table("mh", *[1] * 5, flags=FALLBACK) as table:
        before = table.slots()
        table.weigh(3, 0)
        after = table.slots()
        assert all(old == new for old, new in zip(before, after, strict=True) if old != 3)
        inherited = Counter(new for old, new in zip(before, after, strict=True) if old == 3)
        assert set(inherited) == {1, 2, 4, 5}
        assert min(inherited.values()) > MAGLEV_SLOTS / 5 / 4 / 2


def test_mh_takes_as_many_servers_as_slots() -> None:
    most = MAGLEV_SLOTS
    with Director(servers=most + 2) as director:
        web = hashed("mh")
        assert director.change(Operation.ADD_SERVICE, service(scheduler="rr")) == 0
        first = int(IPv4Address("10.32.0.1"))
        adds = [
            Change(Operation.ADD_SERVER, web, Server(IPv4Address(first + i), 80))
            for i in range(most + 1)
        ]
        assert set(director.apply(*adds)) == {0}
        einval = 22
        assert director.change(Operation.EDIT_SERVICE, web) == einval
        assert director.change(Operation.DELETE_SERVER, web, adds[0].server) == 0
        assert director.change(Operation.EDIT_SERVICE, web) == 0
        assert director.change(Operation.ADD_SERVER, web, adds[0].server) == einval


@settings(max_examples=15, deadline=None)
@given(servers=st.integers(2, 10), first=st.integers(1, 200), data=st.data())
def test_mh_moves_few_but_the_clients_of_the_server_that_left(
    servers: int, first: int, data: st.DataObject
) -> None:
    gone = data.draw(st.integers(first, first + servers - 1))
    with Table("mh", *[1] * servers, first=first) as table:
        before = table.slots()
        share = MAGLEV_SLOTS / servers
        assert all(share - 1 < slots < share + 1 for slots in Counter(before).values())
        table.take_out(gone)
        after = table.slots()
    assert set(after) == set(before) - {gone}
    moved = sum(old not in (new, gone) for old, new in zip(before, after, strict=True))
    assert moved < share


# ---- Tables and the life of a process ----


@pytest.mark.parametrize("scheduler", ["sh", "dh", "mh"])
def test_a_new_process_has_the_same_table(scheduler: str, tmp_path: Path) -> None:
    web = hashed(scheduler)
    sources = [f"10.7.{i}.1" for i in range(60)]

    def answers(director: Director, port: int) -> list[int | str]:
        return [director.tcp("S", f"{source}:{port}") for source in sources]

    with Director(state_file=tmp_path / "state") as director:
        director.add_service(web, 4, 3, 2, 1)
        director.edit(web, 2, weight=0)
        director.delete(web, 4)
        before, now_ns = answers(director, 1), director.now_ns
    with Director(state_file=tmp_path / "state", now_ns=now_ns) as director:
        assert director.engine.adoption.adopted
        assert answers(director, 2) == before


@pytest.mark.parametrize("scheduler", ["sh", "dh", "mh"])
def test_a_service_that_changes_to_it_has_the_table_at_once(scheduler: str) -> None:
    with Director() as edited, Director() as fresh:
        edited.add_service(hashed("rr"), 4, 3, 2)
        assert edited.change(Operation.EDIT_SERVICE, hashed(scheduler)) == 0
        fresh.add_service(hashed(scheduler), 4, 3, 2)
        for i in range(60):
            assert edited.tcp("S", f"10.7.{i}.1:1") == fresh.tcp("S", f"10.7.{i}.1:1")
