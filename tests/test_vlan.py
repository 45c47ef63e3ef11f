"""VLANs: as text, as tags on frames, and a director within one beside a director without."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from director import MTU, VIRTUAL_MAC, Director
from frames import FRAMES, Case, furnish
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6ND_NS
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether

from dr_forwarder import resolution
from dr_forwarder.vlan import UNTAGGED, Vlan, parse

STACKS = [Vlan((100,)), Vlan((200, 100))]
MAC = bytes.fromhex("020000000002")
identifiers = st.integers(1, 4094)
vlans = st.builds(Vlan, st.tuples(identifiers) | st.tuples(identifiers, identifiers))


# ---- Text ----


@given(vlans)
def test_what_is_written_is_read(vlan: Vlan) -> None:
    assert parse(str(vlan)) == vlan


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0", "must be in 1..4094, not 0"),
        ("4095", "must be in 1..4094, not 4095"),
        ("100.0", "must be in 1..4094, not 0"),
        ("9" * 5000, "must be in 1..4094, not 999999999"),
        ("", "must be like 100, or 200.100 for two tags, not ''"),
        ("eth0.100", "must be like 100"),
        ("1.2.3", "must be like 100"),
        ("-1", "must be like 100"),
        ("100.", "must be like 100"),
        ("\u0661", "must be like 100"),
    ],
)
def test_what_is_no_vlan_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace(".", r"\.")):
        parse(text)


# ---- Bytes ----


def test_a_tag_is_one_of_802_1q_and_the_outer_of_two_one_of_802_1ad() -> None:
    frame = resolution.announcement(IPv4Address("10.9.0.100"), mac=MAC)
    one, two = (Ether(vlan.tag(frame)) for vlan in STACKS)
    assert (one[Dot1Q].vlan, one[ARP].psrc) == (100, "10.9.0.100")
    assert (two[Dot1AD].vlan, two[Dot1AD][Dot1Q].vlan, two[ARP].psrc) == (200, 100, "10.9.0.100")
    target = resolution.probe(IPv6Address("fd00::1"), mac=MAC)
    assert Ether(STACKS[1].tag(target))[ICMPv6ND_NS].tgt == "fd00::1"
    assert UNTAGGED.tag(frame) == frame


@given(vlans, st.binary(min_size=14, max_size=100))
def test_without_the_outer_tag_that_the_kernel_takes_out_the_frame_comes_back(
    vlan: Vlan, frame: bytes
) -> None:
    tagged = vlan.tag(frame)
    assert vlan.untag(tagged[:12] + tagged[16:]) == frame
    assert UNTAGGED.untag(frame) == frame


# ---- The core: a VLAN changes nothing but the tags ----


def outcome(case: Case, vlan: Vlan) -> tuple[str, bytes | None]:
    """The verdict, and what is sent."""
    frame = vlan.tag(case.frame)
    more = len(frame) - len(case.frame)
    with Director() as director:
        furnish(director)
        director.tune(decrement_ttl=case.decrement_ttl)
        director.engine.identify(mac=VIRTUAL_MAC, mtu=MTU, vlan=vlan)
        decision = director.engine.forward(
            frame,
            now_ns=director.now_ns,
            length=case.length and case.length + more,
            gso_size=case.gso_size,
        )
    return decision.verdict, decision.frame if decision.sent else None


TAG_TYPES = (b"\x81\x00", b"\x88\xa8")


@pytest.mark.parametrize("vlan", STACKS, ids=str)
@pytest.mark.parametrize(
    "case",
    [
        case
        for case in FRAMES
        if len(case.frame) >= 14 and case.frame[12:14] not in TAG_TYPES and case.vlan == UNTAGGED
    ],
    ids=lambda case: case.sentence,
)
def test_a_frame_ends_as_it_does_without_tags_and_keeps_them(case: Case, vlan: Vlan) -> None:
    verdict, sent = outcome(case, UNTAGGED)
    assert outcome(case, vlan) == (verdict, None if sent is None else vlan.tag(sent))
