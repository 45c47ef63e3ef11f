"""Resolution: one face for both families, whose bytes test_arp.py and test_nd.py look at."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_forwarder import arp, nd, resolution
from dr_forwarder.config.model import Address
from dr_forwarder.resolution import Claim, Probe

PATIENT = settings(deadline=None)
"""A busy machine is no fault of the code."""

OURS, THEIRS = bytes.fromhex("020000000001"), bytes.fromhex("020000000062")
SERVER4, SOURCE4, VIP4 = (IPv4Address(f"10.9.0.{last}") for last in (62, 61, 60))
SERVER6, SOURCE6, VIP6 = (IPv6Address(f"2001:db8::{last}") for last in (62, 61, 60))

FAMILIES = [
    pytest.param(SERVER4, SOURCE4, VIP4, id="IPv4"),
    pytest.param(SERVER6, SOURCE6, VIP6, id="IPv6"),
]


def test_a_question_is_the_familys() -> None:
    asked = resolution.question(SERVER4, source=SOURCE4, source_mac=OURS)
    assert asked == arp.request(SERVER4, sender=SOURCE4, sender_mac=OURS)
    asked = resolution.question(SERVER6, source=SOURCE6, source_mac=OURS)
    assert asked == nd.solicitation(SERVER6, sender=SOURCE6, sender_mac=OURS)


def test_a_question_to_one_is_the_familys() -> None:
    asked = resolution.question(SERVER4, source=SOURCE4, source_mac=OURS, to=THEIRS)
    assert asked == arp.request(SERVER4, sender=SOURCE4, sender_mac=OURS, to=THEIRS)
    asked = resolution.question(SERVER6, source=SOURCE6, source_mac=OURS, to=THEIRS)
    assert asked == nd.solicitation(SERVER6, sender=SOURCE6, sender_mac=OURS, to=THEIRS)


def test_a_probe_is_the_familys() -> None:
    assert resolution.probe(VIP4, mac=OURS) == arp.probe(VIP4, mac=OURS)
    nobody = nd.solicitation(VIP6, sender=IPv6Address(0), sender_mac=OURS)
    assert resolution.probe(VIP6, mac=OURS) == nobody


def test_an_announcement_is_the_familys() -> None:
    assert resolution.announcement(VIP4, mac=OURS) == arp.gratuitous(VIP4, mac=OURS)
    assert resolution.announcement(VIP6, mac=OURS) == nd.unsolicited(VIP6, mac=OURS)


@pytest.mark.parametrize(("server", "source", "vip"), FAMILIES)
def test_what_is_heard_of_what_is_sent(server: Address, source: Address, vip: Address) -> None:
    asked = resolution.question(server, source=source, source_mac=OURS)
    assert resolution.heard(asked) == Claim(source, OURS)
    assert resolution.heard(resolution.announcement(vip, mac=OURS)) == Claim(vip, OURS)


@pytest.mark.parametrize(("server", "source", "vip"), FAMILIES)
def test_a_probe_claims_no_address_of_anybody(
    server: Address, source: Address, vip: Address
) -> None:
    assert resolution.heard(resolution.probe(vip, mac=OURS)) == Probe(vip, OURS)


@pytest.mark.parametrize(("server", "source", "vip"), FAMILIES)
def test_a_question_is_sent_to_those_it_is_for(
    server: Address, source: Address, vip: Address
) -> None:
    to_all = resolution.question(server, source=source, source_mac=OURS)
    to_one = resolution.question(server, source=source, source_mac=OURS, to=THEIRS)
    assert (to_all[0] & 1, to_one[:6]) == (1, THEIRS)
    assert to_all[6:12] == to_one[6:12] == OURS


def test_the_families_are_not_mixed() -> None:
    with pytest.raises(AssertionError):
        resolution.question(SERVER6, source=SOURCE4, source_mac=OURS)
    with pytest.raises(AssertionError):
        resolution.question(SERVER4, source=SOURCE6, source_mac=OURS)


@PATIENT
@given(st.binary(max_size=120))
def test_any_bytes_are_survived(frame: bytes) -> None:
    resolution.heard(frame)


@PATIENT
@given(st.binary(max_size=120), st.sampled_from([b"\x08\x00", b"\x86\xdd", b"\x81\x00"]))
def test_bytes_without_a_checksum_claim_nothing(rest: bytes, kind: bytes) -> None:
    # One message in 65,536 would have it by chance; these are no solicitations at all.
    frame = bytes(12) + kind + bytes(6) + b"\x11" + rest
    assert resolution.heard(frame) is None
