"""When VIPs are announced, on a clock that the test turns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from ipaddress import IPv4Address
from itertools import pairwise
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_forwarder.announcements import ANSWERED_EVERY_S, PER_SECOND, REPEATS_S, Announcements

PATIENT = settings(deadline=None, max_examples=40)
"""A busy machine is no fault of the code."""

INTERVAL_S = 60.0
TOLERANCE_S = 1e-6
BURST = 10


def addresses(count: int) -> list[IPv4Address]:
    return [IPv4Address("10.10.0.1") + number for number in range(count)]


class Network:
    """Hears announcements, and turns the clock to when the next one is due."""

    def __init__(self, *, interval_s: float | None = INTERVAL_S, late_s: float = 0.0) -> None:
        self.now_s = 1000.0
        self.announcements = Announcements(interval_s)
        self.heard: list[tuple[float, IPv4Address]] = []
        self._late_s = late_s

    def until(self, end_s: float) -> None:
        while (due_s := self.announcements.next_s) <= end_s:
            self.now_s = max(self.now_s, due_s) + self._late_s
            for vip in self.announcements.take(self.now_s):
                assert isinstance(vip, IPv4Address)
                self.heard.append((self.now_s, vip))
        self.now_s = max(self.now_s, end_s)

    def times(self) -> dict[IPv4Address, list[float]]:
        times = defaultdict(list)
        for at_s, vip in self.heard:
            times[vip].append(at_s)
        return times

    def most_within(self, window_s: float) -> int:
        times = [at_s for at_s, _ in self.heard]
        most = begin = 0
        for end, at_s in enumerate(times):
            while times[begin] <= at_s - window_s + TOLERANCE_S:
                begin += 1
            most = max(most, end - begin + 1)
        return most


COUNTS = st.integers(1, 700)
MOMENTS = st.lists(st.floats(0, 20), max_size=12).map(sorted)


def test_a_lone_vip_is_said_at_once_and_soon_again() -> None:
    network = Network()
    network.announcements.add(addresses(1), network.now_s)
    network.until(1010)
    assert [at_s - 1000 for at_s, _ in network.heard] == pytest.approx(REPEATS_S)


@PATIENT
@given(COUNTS, MOMENTS, st.floats(0, 0.5))
def test_never_more_than_a_hundred_are_said_in_a_second(
    count: int, moments: Sequence[float], late_s: float
) -> None:
    network = Network(late_s=late_s)
    vips = addresses(count)
    network.announcements.add(vips, network.now_s)
    for moment in moments:
        network.until(1000 + moment)
        network.announcements.add(vips, network.now_s)
        network.announcements.answer(vips[-1], network.now_s)
    network.until(1025)
    assert network.most_within(1.0) <= PER_SECOND
    assert network.most_within(0.1) <= BURST


@PATIENT
@given(COUNTS)
def test_each_is_said_six_times_as_soon_as_the_pace_allows(count: int) -> None:
    network = Network(interval_s=600)
    network.announcements.add(addresses(count), network.now_s)
    network.until(1000 + REPEATS_S[-1] + len(REPEATS_S) * count / PER_SECOND)
    assert all(len(times) >= len(REPEATS_S) for times in network.times().values())
    assert len(network.times()) == count


@PATIENT
@given(COUNTS)
def test_all_are_said_once_in_their_order_before_any_is_repeated_late(count: int) -> None:
    network = Network()
    vips = addresses(count)
    network.announcements.add(vips, network.now_s)
    network.until(1000 + count / PER_SECOND)
    first = [vip for vip, times in sorted(network.times().items(), key=lambda each: each[1][0])]
    assert first == vips
    assert network.times()[vips[-1]][0] <= 1000 + count / PER_SECOND


@PATIENT
@given(st.integers(1, 300), st.floats(20, 120))
def test_each_is_refreshed_within_every_interval(count: int, interval_s: float) -> None:
    network = Network(interval_s=interval_s)
    network.announcements.add(addresses(count), network.now_s)
    network.until(1000 + 4 * interval_s + 30)
    for times in network.times().values():
        gaps = [after - before for before, after in pairwise(times)]
        assert max(gaps) <= interval_s + 2 * count / PER_SECOND


@pytest.mark.parametrize("count", [2, 10, 60, 600])
def test_the_refresh_is_spread_over_the_interval(count: int) -> None:
    network = Network()
    network.announcements.add(addresses(count), network.now_s)
    network.until(1000 + 2 * INTERVAL_S)
    network.heard.clear()
    network.until(1000 + 4 * INTERVAL_S)
    assert len(network.heard) == pytest.approx(2 * count, abs=count / 10)
    fair = count / INTERVAL_S
    assert network.most_within(1.0) <= 3 * fair + 1


@PATIENT
@given(st.integers(20, 600), st.floats(0.01, 0.3))
def test_a_link_that_flaps_keeps_none_from_being_said(count: int, every_s: float) -> None:
    network = Network()
    vips = addresses(count)
    end_s = network.now_s + count / PER_SECOND + 1
    while network.now_s < end_s:
        network.announcements.add(vips, network.now_s)
        network.until(network.now_s + every_s)
    assert set(network.times()) == set(vips)


def test_a_new_vip_does_not_wait_for_the_repeats_of_the_others() -> None:
    network = Network()
    network.announcements.add(addresses(500), network.now_s)
    network.until(1008)
    newcomer = IPv4Address("10.20.0.1")
    network.announcements.add([newcomer], network.now_s)
    network.until(1009)
    assert network.times()[newcomer][0] <= 1008.1 + TOLERANCE_S


def test_one_that_is_no_longer_ours_is_not_said_again() -> None:
    network = Network()
    mine, other = addresses(2)
    network.announcements.add([mine, other], network.now_s)
    network.until(1000.2)
    network.announcements.answer(other, network.now_s)
    network.announcements.keep([mine])
    network.heard.clear()
    network.until(1100)
    assert set(network.times()) == {mine}


def test_without_an_interval_each_is_done_with_after_its_repeats() -> None:
    network = Network(interval_s=None)
    network.announcements.add(addresses(3), network.now_s)
    network.until(2000)
    assert [len(times) for times in network.times().values()] == [len(REPEATS_S)] * 3
    assert network.announcements.next_s == inf


def test_nothing_is_due_when_nothing_is_ours() -> None:
    network = Network()
    network.announcements.add(addresses(3), network.now_s)
    network.announcements.keep([])
    assert network.announcements.take(network.now_s) == []
    assert network.announcements.next_s == inf


# ---- Somebody else claims a VIP ----


def contested() -> tuple[Network, IPv4Address]:
    """A VIP that is not due for a while."""
    network = Network()
    (vip,) = addresses(1)
    network.announcements.add([vip], network.now_s)
    network.until(1000 + REPEATS_S[-1])
    network.now_s = 1000 + REPEATS_S[-1] + TOLERANCE_S
    network.heard.clear()
    return network, vip


def test_a_rival_that_says_it_twice_does_not_have_the_last_word() -> None:
    network, vip = contested()
    first_s = network.now_s
    for at_s in (first_s, first_s + 0.3):
        network.until(at_s)
        network.announcements.answer(vip, at_s)
    network.until(first_s + 2)
    said_s = [at_s - first_s for at_s, _ in network.heard]
    assert said_s == pytest.approx([0, ANSWERED_EVERY_S])


@PATIENT
@given(st.lists(st.floats(0, 10), min_size=1, max_size=50).map(sorted))
def test_whatever_a_rival_says_ours_is_the_last_word_and_once_a_second(
    claims: Sequence[float],
) -> None:
    network, vip = contested()
    begin_s = network.now_s
    refreshed_s = network.announcements.next_s
    for claim in claims:
        network.until(begin_s + claim)
        network.announcements.answer(vip, begin_s + claim)
    network.until(begin_s + claims[-1] + ANSWERED_EVERY_S + TOLERANCE_S)
    said_s = [at_s for at_s, _ in network.heard if at_s != refreshed_s]
    assert network.heard[-1][0] >= begin_s + claims[-1]
    assert all(b - a >= ANSWERED_EVERY_S - TOLERANCE_S for a, b in pairwise(said_s))


def test_what_is_not_ours_is_not_defended() -> None:
    network = Network()
    network.announcements.answer(IPv4Address("10.0.0.9"), network.now_s)
    assert network.announcements.next_s == inf
