"""Which claims of addresses are told, and which are refused."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_forwarder.addresses import virtual_mac
from dr_forwarder.conflicts import Culprits, whose

PATIENT = settings(deadline=None)
"""A busy machine is no fault of the code."""

VIP, OTHER = IPv4Address("10.10.10.60"), IPv4Address("10.10.10.70")
NIC, PEER = bytes.fromhex("02000000003d"), bytes.fromhex("0200000000aa")
VIRTUAL = virtual_mac(1)


def mac(number: int) -> bytes:
    return b"\2" + number.to_bytes(5)


def test_each_culprit_is_told_once() -> None:
    culprits = Culprits()
    claims = [(VIP, mac(1)), (VIP, mac(2)), (VIP, mac(1)), (OTHER, mac(1)), (VIP, mac(2))]
    told = [culprits.is_news(*claim, 10.0 + at) for at, claim in enumerate(claims)]
    assert told == [True, True, False, True, False]


def test_one_that_goes_on_is_never_news_again() -> None:
    culprits = Culprits()
    assert [at for at in range(0, 3600, 2) if culprits.is_news(VIP, mac(1), at)] == [0]


def test_one_that_was_put_right_and_breaks_again_is_news() -> None:
    culprits = Culprits()
    assert culprits.is_news(VIP, mac(1), 0)
    assert culprits.is_news(VIP, mac(1), 600)


@PATIENT
@given(st.lists(st.tuples(st.integers(0, 5000), st.floats(0, 0.2)), max_size=300))
def test_whoever_invents_mac_addresses_does_not_fill_the_log(
    claims: Sequence[tuple[int, float]],
) -> None:
    culprits, now_s, told = Culprits(), 0.0, []
    for number, later_s in claims:
        now_s += later_s
        if culprits.is_news(VIP, mac(number), now_s):
            told.append(now_s)
    assert all(after - before >= 60 for before, after in zip(told, told[10:], strict=False))


def test_one_that_could_not_be_told_is_told_when_there_is_room() -> None:
    culprits = Culprits()
    assert sum(culprits.is_news(VIP, mac(n), 0.0) for n in range(11)) == 10
    assert culprits.is_news(VIP, mac(10), 61.0)


# ---- Whose it is ----


@pytest.mark.parametrize("is_virtual", [True, False])
@pytest.mark.parametrize(
    ("claimed", "before", "expected"),
    [
        pytest.param(VIRTUAL, None, "of the VIPs", id="the virtual one"),
        pytest.param(NIC, None, "of", id="our own"),
        pytest.param(PEER, mac(1), "of another director", id="a server moves to another director"),
        pytest.param(PEER, None, None, id="another director is a real server"),
        pytest.param(PEER, PEER, None, id="and it stays one"),
        pytest.param(mac(1), mac(2), None, id="a server's"),
    ],
)
def test_whose_it_is(
    is_virtual: bool, claimed: bytes, before: bytes | None, expected: str | None
) -> None:
    if claimed == VIRTUAL and not is_virtual:
        expected = None
    of_vips = VIRTUAL if is_virtual else NIC
    found = whose(claimed, of_vips=of_vips, nic=NIC, peers=[PEER], before=before)
    assert (found is None) == (expected is None)
    assert expected is None or expected in str(found)
