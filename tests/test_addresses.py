"""Addresses: which MAC the VIPs get, and the socket filters, interpreted here and by the kernel."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Collection, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyroute2 import IPRoute

from dr_forwarder import arp, nd, resolution
from dr_forwarder.addresses import (
    Identity,
    Instruction,
    frame_filter,
    identity,
    local_vips,
    neighbour_events_filter,
    neighbour_filter,
    refuse_local,
)
from dr_forwarder.checksum import internet_checksum
from dr_forwarder.config.model import Address, MacMode
from dr_forwarder.errors import SetupError
from dr_forwarder.interfaces import Interface
from dr_forwarder.lab.errors import LabUnavailable
from dr_forwarder.lab.namespace import Namespace
from dr_forwarder.sockets import attach_filter
from dr_forwarder.vlan import UNTAGGED, Vlan

PATIENT = settings(deadline=None)
"""A busy machine is no fault of the code."""

NIC = bytes.fromhex("020000000002")
VIRTUAL = bytes.fromhex("00005e00013c")
OTHER = bytes.fromhex("0200000000ee")
EVERYBODY = b"\xff" * 6
VIPS = (IPv4Address("10.9.0.100"), IPv4Address("203.0.113.7"))
VIPS6 = (IPv6Address("2001:db8::64"), IPv6Address("2001:db8:1:2:3:4:5:64"))
BOTH = VIPS + VIPS6
LIMIT = 1518


def interface(kind: str = "", mode: str = "", **more: object) -> Interface:
    return Interface("eth0", 2, NIC, 1500, True, kind, mode, **more)  # type: ignore[arg-type]


# ---- Which MAC address ----

AUTO, NIC_MODE, VIRTUAL_MODE = MacMode.AUTO, MacMode.NIC, MacMode.VIRTUAL
CHOSEN = [
    pytest.param(AUTO, "", "", False, VIRTUAL, id="auto, hardware"),
    pytest.param(AUTO, "", "", True, VIRTUAL, id="auto, hardware, forwarding"),
    pytest.param(AUTO, "veth", "", True, VIRTUAL, id="auto, veth, forwarding"),
    pytest.param(AUTO, "bridge", "", False, VIRTUAL, id="auto, bridge"),
    pytest.param(AUTO, "macvlan", "bridge", False, NIC, id="auto, macvlan"),
    pytest.param(AUTO, "macvlan", "private", False, NIC, id="auto, private macvlan"),
    pytest.param(AUTO, "macvlan", "vepa", False, NIC, id="auto, vepa macvlan"),
    pytest.param(AUTO, "macvlan", "passthru", False, VIRTUAL, id="auto, passthru macvlan"),
    pytest.param(VIRTUAL_MODE, "", "", True, VIRTUAL, id="virtual, forwarding"),
    pytest.param(VIRTUAL_MODE, "macvlan", "passthru", False, VIRTUAL, id="virtual, passthru"),
    pytest.param(NIC_MODE, "", "", False, NIC, id="nic, hardware"),
    pytest.param(NIC_MODE, "macvlan", "bridge", False, NIC, id="nic, macvlan"),
    pytest.param(NIC_MODE, "macvlan", "passthru", False, NIC, id="nic, passthru macvlan"),
]


@pytest.mark.parametrize(("mode", "kind", "macvlan", "is_forwarding", "mac"), CHOSEN)
def test_the_mac_of_the_vips(
    mode: MacMode, kind: str, macvlan: str, is_forwarding: bool, mac: bytes
) -> None:
    found = identity(
        mode, interface(kind, macvlan), virtual_router_id=60, is_forwarding=is_forwarding
    )
    assert found == Identity(mac, is_virtual=mac == VIRTUAL)


SYSCTL = "run: sysctl -w net.ipv4.conf.eth0.forwarding=0"
REFUSED = [
    pytest.param(AUTO, "ipvlan", "", False, "use a macvlan or a veth", id="auto, ipvlan"),
    pytest.param(NIC_MODE, "ipvlan", "", False, "use a macvlan or a veth", id="nic, ipvlan"),
    pytest.param(VIRTUAL_MODE, "ipvlan", "", False, "use a macvlan or a veth", id="ipvlan"),
    pytest.param(VIRTUAL_MODE, "macvlan", "bridge", False, "set mac = nic", id="macvlan"),
    pytest.param(VIRTUAL_MODE, "macvlan", "private", True, "set mac = nic", id="private macvlan"),
    pytest.param(NIC_MODE, "", "", True, SYSCTL, id="nic, forwarding"),
    pytest.param(NIC_MODE, "", "", True, "or set mac = virtual", id="nic, forwarding, other cure"),
    pytest.param(NIC_MODE, "", "", True, "ip route add blackhole", id="nic, forwarding, third"),
    pytest.param(AUTO, "macvlan", "bridge", True, SYSCTL, id="auto, macvlan, forwarding"),
    pytest.param(NIC_MODE, "macvlan", "passthru", True, SYSCTL, id="nic, passthru, forwarding"),
    pytest.param(
        VIRTUAL_MODE,
        "macvlan",
        "passthru",
        True,
        SYSCTL,
        id="virtual, passthru, forwarding",
    ),
]


@pytest.mark.parametrize(("mode", "kind", "macvlan", "is_forwarding", "cure"), REFUSED)
def test_what_could_not_work_is_refused_with_the_cure(
    mode: MacMode, kind: str, macvlan: str, is_forwarding: bool, cure: str
) -> None:
    with pytest.raises(SetupError) as refused:
        identity(mode, interface(kind, macvlan), virtual_router_id=1, is_forwarding=is_forwarding)
    assert cure in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_cure_that_is_refused_too_is_not_offered() -> None:
    with pytest.raises(SetupError) as refused:
        identity(AUTO, interface("macvlan", "bridge"), virtual_router_id=1, is_forwarding=True)
    assert "mac = virtual" not in str(refused.value)


def test_the_cure_works_for_a_vlan_interface() -> None:
    vlan = Interface("eth0.5", 3, NIC, 1500, True, "vlan")
    with pytest.raises(SetupError) as refused:
        identity(NIC_MODE, vlan, virtual_router_id=1, is_forwarding=True)
    assert "conf.eth0.5.forwarding" not in str(refused.value)


def test_a_dot_in_the_name_of_an_interface_is_a_slash_for_sysctl() -> None:
    vlan = Interface("eth0.5", 3, NIC, 1500, True, "vlan")
    with pytest.raises(SetupError, match=r"sysctl -w net\.ipv4\.conf\.eth0/5\.forwarding=0 "):
        identity(NIC_MODE, vlan, virtual_router_id=1, is_forwarding=True)


def test_the_cure_names_the_interface_by_which_the_kernel_is_in_the_vlan() -> None:
    with pytest.raises(SetupError, match=r"net\.ipv4\.conf\.eth0/100\.forwarding=0 "):
        identity(
            NIC_MODE,
            interface(),
            kernel_name="eth0.100",
            virtual_router_id=1,
            is_forwarding=True,
        )


@pytest.mark.parametrize("number", [1, 60, 255])
def test_the_virtual_router_id_is_the_last_byte(number: int) -> None:
    found = identity(VIRTUAL_MODE, interface(), virtual_router_id=number, is_forwarding=False)
    assert found.mac.hex(":") == f"00:00:5e:00:01:{number:02x}"


# ---- VIPs must not be the kernel's ----


def test_a_vip_of_the_kernel_is_refused_with_the_command_that_takes_it_away() -> None:
    addresses = (IPv6Address("fe80::1"), IPv4Address("10.9.0.2"), VIPS[1])
    own = interface(addresses=addresses, prefixes={VIPS[1]: 24})
    with pytest.raises(SetupError, match=r"run: ip addr del 203\.0\.113\.7/24 dev eth0$"):
        refuse_local(VIPS, [interface(), own])


def test_an_ipv6_vip_of_the_kernel_is_refused_too() -> None:
    own = interface(addresses=(IPv4Address("10.9.0.2"), VIPS6[0]), prefixes={VIPS6[0]: 64})
    with pytest.raises(SetupError, match=r"run: ip addr del 2001:db8::64/64 dev eth0$"):
        refuse_local(BOTH, [own])


def test_all_vips_of_the_kernel_are_named_at_once() -> None:
    own = interface(addresses=BOTH, prefixes=dict.fromkeys(BOTH, 32))
    with pytest.raises(SetupError) as refused:
        refuse_local(BOTH, [own])
    assert all(f"ip addr del {vip}/32 dev eth0" in str(refused.value) for vip in BOTH)


def test_only_on_the_loopback_interface_a_vip_may_be_when_this_host_serves_it() -> None:
    eth0 = interface(addresses=VIPS[:1])
    lo = replace(eth0, name="lo", index=1, addresses=VIPS)
    assert local_vips(VIPS, [lo], on_loopback=VIPS) == {}
    assert local_vips(VIPS, [lo], on_loopback=VIPS[:1]) == {VIPS[1]: lo}
    assert local_vips(VIPS, [lo, eth0], on_loopback=VIPS) == {VIPS[0]: eth0}
    assert local_vips(VIPS, [lo]) == dict.fromkeys(VIPS, lo)


def test_other_addresses_of_the_kernel_are_fine() -> None:
    refuse_local(BOTH, [interface(addresses=(IPv4Address("10.9.0.2"), IPv6Address("fe80::1")))])


# ---- The socket filter ----

OPCODES = {
    0x20: "load word",
    0x28: "load half",
    0x30: "load byte",
    0x80: "load length",
    0x15: "jump if equal",
    0x25: "jump if greater",
    0x35: "jump if at least",
    0x05: "jump",
    0x06: "return",
    0x54: "and",
}
OUTER_TAG, HAS_OUTER_TAG = 0xFFFFF000 + 44, 0xFFFFF000 + 48
"""Ancillary data: linux/filter.h, SKF_AD_VLAN_TAG and SKF_AD_VLAN_TAG_PRESENT."""


def run(program: Sequence[Instruction], frame: bytes, tag: int | None = None) -> int:
    """Classic BPF as Documentation/networking/filter.rst has it: how many bytes to keep.

    ``tag`` is the outer tag's control word, which the kernel has taken out of the frame.
    """
    accumulator = at = 0
    while True:
        code, if_true, if_false, k = program[at]
        at += 1
        match OPCODES[code]:
            case "load half" if k == HAS_OUTER_TAG:
                accumulator = int(tag is not None)
            case "load half" if k == OUTER_TAG:
                accumulator = tag or 0
            case "and":
                accumulator &= k
            case "load word" | "load half" | "load byte":
                size = {0x20: 4, 0x28: 2, 0x30: 1}[code]
                if k + size > len(frame):
                    return 0
                accumulator = int.from_bytes(frame[k : k + size])
            case "load length":
                accumulator = len(frame)
            case "jump if equal":
                at += if_true if accumulator == k else if_false
            case "jump if at least":
                at += if_true if accumulator >= k else if_false
            case "jump if greater":
                at += if_true if accumulator > k else if_false
            case "jump":
                at += k
            case "return":
                return k


def programs(
    mac: bytes, vips: Collection[Address] = BOTH
) -> tuple[tuple[Instruction, ...], tuple[Instruction, ...]]:
    """The filters for ordinary frames and for longer ones."""
    who = Identity(mac, is_virtual=mac == VIRTUAL)
    return (
        frame_filter(who, vips, limit=LIMIT, longer=False),
        frame_filter(who, vips, limit=LIMIT, longer=True),
    )


def ipv4(to: bytes, target: IPv4Address | str, length: int = 60) -> bytes:
    header = bytes.fromhex("45000000000040004006") + bytes(6) + IPv4Address(target).packed
    return (to + OTHER + b"\x08\x00" + header).ljust(length, b"\0")


def ipv6(
    to: bytes, target: IPv6Address | str, length: int = 60, *, kind: int = 0x86DD, next_: int = 6
) -> bytes:
    source = IPv6Address("2001:db8::1").packed
    head = b"\x60" + bytes(5) + bytes([next_, 64]) + source + IPv6Address(target).packed
    return (to + OTHER + kind.to_bytes(2) + head).ljust(length, b"\0")


def question(vip: IPv6Address, **more: bytes) -> bytes:
    """A neighbour solicitation, to the group that it goes to."""
    sender = IPv6Address("2001:db8::1")
    frame = nd.solicitation(vip, sender=sender, sender_mac=OTHER, **more)
    if not more:
        return frame
    # A kernel that asks one alone asks at its address, and not at the group's.
    message = frame[54:56] + bytes(2) + frame[58:]
    summed = sender.packed + vip.packed + struct.pack("!II", len(message), 58) + message
    checksum = internet_checksum(summed).to_bytes(2)
    return frame[:38] + vip.packed + message[:2] + checksum + message[4:]


STRANGER = IPv4Address("10.9.0.99")


def asked(to: bytes, target: IPv4Address = VIPS[0], sender: IPv4Address = STRANGER) -> bytes:
    return arp.request(target, sender=sender, sender_mac=OTHER, to=to)


def typed(to: bytes, kind: int, length: int = 60) -> bytes:
    """No IPv4, but with a VIP where IPv4 would have it."""
    return (to + OTHER + kind.to_bytes(2) + bytes(16) + VIPS[0].packed).ljust(length, b"\0")


ARP, IPV6, VLAN = 0x0806, 0x86DD, 0x8100
NEIGHBOUR, NEIGHBOUR6 = VIPS[0] + 1, VIPS6[0] + 1
GROUP, OTHER_GROUP = (nd.group_mac(nd.solicited_node(vip)) for vip in VIPS6)
NAMESAKE = IPv6Address("2001:db8:ffff::64")
"""Listens to the same group as the first VIP does."""

# A frame, and whether it is let in by the filter for ordinary (o) and for longer (l) frames;
# first where the VIPs have a virtual MAC address, then where they have the interface's.
FRAMES = [
    pytest.param(asked(EVERYBODY), "o", "o", id="a question to everybody"),
    pytest.param(asked(VIRTUAL), "o", "o", id="a question to the virtual MAC"),
    pytest.param(asked(EVERYBODY, VIPS[1]), "o", "o", id="a question for another VIP"),
    pytest.param(asked(OTHER, NEIGHBOUR, VIPS[0]), "o", "o", id="another claims a VIP"),
    pytest.param(asked(EVERYBODY, NEIGHBOUR), "", "", id="a question for somebody else"),
    pytest.param(asked(VIRTUAL, NEIGHBOUR), "", "", id="the same to the virtual MAC"),
    pytest.param(asked(EVERYBODY)[:42], "o", "o", id="ARP that is not padded"),
    pytest.param(asked(EVERYBODY)[:41], "", "", id="ARP that is cut off"),
    pytest.param(ipv4(VIRTUAL, VIPS[0]), "o", "", id="a VIP at the virtual MAC"),
    pytest.param(ipv4(VIRTUAL, VIPS[1]), "o", "", id="another VIP at the virtual MAC"),
    pytest.param(ipv4(VIRTUAL, NEIGHBOUR), "o", "", id="what else comes to the virtual MAC"),
    pytest.param(ipv4(NIC, VIPS[0]), "", "o", id="a VIP at the interface's MAC"),
    pytest.param(ipv4(NIC, VIPS[1]), "", "o", id="another VIP at the interface's MAC"),
    pytest.param(ipv4(NIC, NEIGHBOUR), "", "", id="the host's own traffic"),
    pytest.param(ipv4(OTHER, VIPS[0]), "", "", id="a VIP at somebody else's MAC"),
    pytest.param(ipv4(EVERYBODY, VIPS[0]), "", "", id="a VIP at everybody's MAC"),
    pytest.param(ipv4(b"\x01" + VIRTUAL[1:], VIPS[0]), "", "", id="only the first byte differs"),
    pytest.param(ipv4(NIC[:-1] + b"\x03", VIPS[0]), "", "", id="only the last byte differs"),
    pytest.param(typed(VIRTUAL, IPV6), "o", "", id="IPv6 to the virtual MAC"),
    pytest.param(typed(NIC, IPV6), "", "", id="IPv6 to the interface's MAC"),
    pytest.param(typed(NIC, VLAN), "", "", id="a tag that was left in the frame"),
    pytest.param(question(VIPS6[0]), "o", "o", id="a question to the group of a VIP"),
    pytest.param(question(VIPS6[1]), "o", "o", id="a question to the group of another VIP"),
    pytest.param(question(NAMESAKE), "o", "o", id="the group is not the VIPs' alone"),
    pytest.param(question(NEIGHBOUR6), "", "", id="a question to another group"),
    pytest.param(question(VIPS6[0], to=VIRTUAL), "o", "", id="a question to the virtual MAC, IPv6"),
    pytest.param(question(VIPS6[0], to=NIC), "", "o", id="a question to the interface's MAC, IPv6"),
    pytest.param(nd.unsolicited(VIPS6[0], mac=OTHER), "", "", id="another announces a VIP"),
    pytest.param(ipv6(bytes.fromhex("333300000001"), "ff02::1"), "", "", id="all IPv6 nodes"),
    pytest.param(ipv6(VIRTUAL, VIPS6[0]), "o", "", id="an IPv6 VIP at the virtual MAC"),
    pytest.param(ipv6(VIRTUAL, NEIGHBOUR6), "o", "", id="what else comes there in IPv6"),
    pytest.param(ipv6(NIC, VIPS6[0]), "", "o", id="an IPv6 VIP at the interface's MAC"),
    pytest.param(ipv6(NIC, VIPS6[1]), "", "o", id="another IPv6 VIP at the interface's MAC"),
    pytest.param(ipv6(NIC, NEIGHBOUR6), "", "", id="the host's own IPv6 traffic"),
    pytest.param(ipv6(NIC, NAMESAKE), "", "", id="the host's own, nearly a VIP"),
    pytest.param(ipv6(NIC, VIPS6[0] + (1 << 32)), "", "", id="only the third word differs"),
    pytest.param(ipv6(NIC, VIPS6[0] + (1 << 64)), "", "", id="only the second word differs"),
    pytest.param(ipv6(NIC, VIPS6[0] + (1 << 96)), "", "", id="only the first word differs"),
    pytest.param(ipv6(OTHER, VIPS6[0]), "", "", id="an IPv6 VIP at somebody else's MAC"),
    pytest.param(ipv6(NIC, VIPS6[0], kind=0x0800), "", "", id="an IPv6 VIP in an IPv4 frame"),
    pytest.param(ipv6(NIC, VIPS6[0], LIMIT), "", "o", id="the longest, IPv6"),
    pytest.param(ipv6(NIC, VIPS6[0], LIMIT + 1), "", "l", id="one byte too long, IPv6"),
    pytest.param(ipv6(VIRTUAL, VIPS6[0], 65_226), "l", "", id="joined by offloads, IPv6"),
    pytest.param(question(VIPS6[0]).ljust(LIMIT + 1), "l", "l", id="a question that is too long"),
    pytest.param(ipv6(NIC, VIPS6[0])[:54], "", "o", id="nothing but headers, IPv6"),
    pytest.param(ipv6(NIC, VIPS6[0])[:53], "", "", id="a cut address, IPv6"),
    pytest.param(question(VIPS6[0])[:14], "o", "o", id="nothing but Ethernet to the group"),
    pytest.param(ipv4(VIRTUAL, VIPS[0], LIMIT - 1), "o", "", id="nearly the longest"),
    pytest.param(ipv4(VIRTUAL, VIPS[0], LIMIT), "o", "", id="the longest"),
    pytest.param(ipv4(VIRTUAL, VIPS[0], LIMIT + 1), "l", "", id="one byte too long"),
    pytest.param(ipv4(NIC, VIPS[0], LIMIT), "", "o", id="the longest, interface's MAC"),
    pytest.param(ipv4(NIC, VIPS[0], LIMIT + 1), "", "l", id="one byte too long, interface's MAC"),
    pytest.param(ipv4(NIC, VIPS[0], 65_226), "", "l", id="joined by offloads"),
    pytest.param(asked(EVERYBODY).ljust(LIMIT + 1), "l", "l", id="ARP that is too long"),
    pytest.param(ipv4(NIC, VIPS[0])[:34], "", "o", id="nothing but headers"),
    pytest.param(ipv4(NIC, VIPS[0])[:33], "", "", id="a cut address"),
    pytest.param(ipv4(VIRTUAL, VIPS[0])[:14], "o", "", id="nothing but Ethernet"),
    pytest.param(ipv4(VIRTUAL, VIPS[0])[:13], "", "", id="not even Ethernet"),
    pytest.param(b"", "", "", id="nothing"),
]


def let_in(frame: bytes, filters: Sequence[Sequence[Instruction]]) -> str:
    return "".join(
        letter for letter, program in zip("ol", filters, strict=True) if run(program, frame)
    )


@pytest.mark.parametrize(("frame", "at_virtual", "at_nic"), FRAMES)
def test_which_frames_are_let_in(frame: bytes, at_virtual: str, at_nic: str) -> None:
    assert let_in(frame, programs(VIRTUAL)) == at_virtual
    assert let_in(frame, programs(NIC)) == at_nic


def test_what_is_let_in_is_not_cut() -> None:
    frame = ipv4(NIC, VIPS[0], 65_549)
    assert run(programs(NIC)[1], frame) >= len(frame)


MACS = st.sampled_from([VIRTUAL, NIC, OTHER, EVERYBODY, GROUP])
KINDS = st.sampled_from([ARP, 0x0800, IPV6, VLAN])
LENGTHS = st.sampled_from([0, 60, LIMIT - 1, LIMIT, LIMIT + 1, 65_226])
FRAME = st.one_of(
    st.builds(
        lambda to, kind, target, length: (
            ipv4(to, target, length)[:12] + kind.to_bytes(2) + ipv4(to, target, length)[14:]
        ),
        MACS,
        KINDS,
        st.sampled_from([*VIPS, NEIGHBOUR]),
        LENGTHS,
    ),
    st.builds(
        lambda to, kind, target, length: ipv6(to, target, length, kind=kind),
        MACS,
        KINDS,
        st.sampled_from([*VIPS6, NEIGHBOUR6, NAMESAKE]),
        LENGTHS,
    ),
    st.builds(
        lambda to, target, sender, length: asked(to, target, sender).ljust(length, b"\0"),
        MACS,
        st.sampled_from([*VIPS, NEIGHBOUR]),
        st.sampled_from([VIPS[1], NEIGHBOUR]),
        LENGTHS,
    ),
    st.builds(
        lambda vip, to, length: question(vip, to=to).ljust(length, b"\0"),
        st.sampled_from([*VIPS6, NEIGHBOUR6, NAMESAKE]),
        st.none() | MACS,
        LENGTHS,
    ),
)


def is_ours(frame: bytes, mac: bytes) -> bool:
    if frame[12:14] == b"\x08\x06":
        return any(vip.packed in (frame[28:32], frame[38:42]) for vip in VIPS)
    if frame[:6] in (GROUP, OTHER_GROUP):
        return True
    if mac == VIRTUAL or frame[:6] != mac:
        return frame[:6] == mac
    match int.from_bytes(frame[12:14]):
        case 0x0800:
            return frame[30:34] in [vip.packed for vip in VIPS]
        case 0x86DD:
            return frame[38:54] in [vip.packed for vip in VIPS6]
    return False


@PATIENT
@given(FRAME, st.sampled_from([VIRTUAL, NIC]))
def test_each_of_our_frames_passes_exactly_one_of_the_two(frame: bytes, mac: bytes) -> None:
    passed = let_in(frame, programs(mac))
    assert passed == (("l" if len(frame) > LIMIT else "o") if is_ours(frame, mac) else "")


@PATIENT
@given(st.binary(max_size=80), st.sampled_from([VIRTUAL, NIC]))
@example(b"", NIC)
def test_no_bytes_pass_both(frame: bytes, mac: bytes) -> None:
    assert let_in(frame, programs(mac)) in ("", "o")


MOST = 300
MANY = tuple(IPv4Address("10.0.0.0") + number for number in range(MOST + 1))
MANY6 = tuple(IPv6Address("2001:db8::") + number for number in range(MOST + 1))
ROOM = 4096
"""Instructions of a classic filter, BPF_MAXINSNS."""


def test_with_300_vips_the_filter_still_looks_for_each() -> None:
    ordinary, _ = programs(NIC, MANY[:MOST])
    assert len(ordinary) <= ROOM
    assert run(ordinary, ipv4(NIC, MANY[0])) > 0
    assert run(ordinary, ipv4(NIC, MANY[MOST - 1])) > 0
    assert run(ordinary, ipv4(NIC, MANY[MOST])) == 0


def test_with_250_vips_of_ipv6_the_filter_still_looks_for_each() -> None:
    ordinary, _ = programs(NIC, MANY6[:250])
    assert len(ordinary) <= ROOM
    for vip in (MANY6[0], MANY6[249]):
        assert run(ordinary, ipv6(NIC, vip)) > 0
        assert run(ordinary, question(vip)) > 0
    assert run(ordinary, ipv6(NIC, MANY6[250])) == 0
    assert run(ordinary, question(MANY6[250])) == 0


def test_beyond_300_all_that_comes_to_the_mac_is_let_in() -> None:
    ordinary, longer = programs(NIC, MANY)
    assert run(ordinary, ipv4(NIC, NEIGHBOUR)) > 0
    assert run(ordinary, ipv4(OTHER, MANY[0])) == 0
    assert run(longer, ipv4(NIC, NEIGHBOUR)) == 0


@pytest.mark.parametrize("mac", [VIRTUAL, NIC], ids=["virtual", "nic"])
def test_a_question_for_any_of_many_vips_is_let_in(mac: bytes) -> None:
    ordinary, longer = programs(mac, MANY6)
    assert [vip for vip in MANY6 if run(ordinary, question(vip)) == 0] == []
    assert [vip for vip in MANY6 if run(longer, question(vip)) > 0] == []


def test_without_vips_nothing_is_let_in_at_the_interfaces_mac() -> None:
    ordinary, _ = programs(NIC, ())
    assert run(ordinary, ipv4(NIC, NEIGHBOUR)) == 0
    assert run(ordinary, ipv6(NIC, NEIGHBOUR6)) == 0
    assert run(ordinary, question(VIPS6[0])) == 0
    assert run(ordinary, asked(EVERYBODY)) == 0


@pytest.mark.parametrize(("vips", "others"), [(VIPS, VIPS6), (VIPS6, VIPS)], ids=["IPv4", "IPv6"])
def test_one_family_alone(vips: tuple[Address, ...], others: tuple[Address, ...]) -> None:
    ordinary, _ = programs(NIC, vips)
    for each, expected in [*((vip, True) for vip in vips), *((vip, False) for vip in others)]:
        frame = ipv4(NIC, each) if isinstance(each, IPv4Address) else ipv6(NIC, each)
        assert (run(ordinary, frame) > 0) is expected


SIZES = [
    pytest.param(VIRTUAL, BOTH, id="virtual MAC"),
    pytest.param(NIC, BOTH, id="interface's MAC"),
    pytest.param(NIC, (), id="no VIPs"),
    pytest.param(NIC, MANY[:MOST], id="300 VIPs"),
    pytest.param(NIC, MANY, id="301 VIPs"),
    pytest.param(NIC, MANY[:125] + MANY6[:125], id="250 VIPs of both families"),
    pytest.param(NIC, MANY6[:MOST], id="300 IPv6 VIPs"),
    pytest.param(NIC, MANY6, id="301 IPv6 VIPs"),
    pytest.param(VIRTUAL, MANY6, id="301 IPv6 VIPs, virtual MAC"),
]


@pytest.mark.parametrize(("mac", "vips"), SIZES)
def test_a_filter_is_not_too_long_for_the_kernel(mac: bytes, vips: tuple[Address, ...]) -> None:
    assert max(map(len, programs(mac, vips))) <= ROOM


OPTMEM = Path("/proc/sys/net/core/optmem_max")
REPLACED = [
    pytest.param(VIRTUAL, BOTH, id="virtual MAC"),
    pytest.param(NIC, BOTH, id="interface's MAC"),
    pytest.param(NIC, (), id="no VIPs"),
    pytest.param(NIC, MANY[:250], id="250 VIPs"),
    pytest.param(NIC, MANY, id="301 VIPs"),
    pytest.param(NIC, MANY[:150] + MANY6[:100], id="250 VIPs of both"),
    pytest.param(NIC, MANY6[:250], id="250 IPv6 VIPs"),
    pytest.param(NIC, MANY6, id="301 IPv6 VIPs"),
    pytest.param(VIRTUAL, MANY6, id="301 IPv6 VIPs, virtual MAC"),
]


@pytest.mark.parametrize(("mac", "vips"), REPLACED)
def test_the_kernel_takes_the_filters_one_after_the_other(
    mac: bytes, vips: tuple[Address, ...]
) -> None:
    """As on a reload; the old filter goes when the new one is in force."""
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with sender, receiver:
        for program in programs(mac, vips):
            attach_filter(receiver, program)


def test_a_packet_socket_takes_the_filters() -> None:
    try:
        where = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    except PermissionError:
        pytest.skip("packet sockets need CAP_NET_RAW")
    with where:
        for program in (*programs(VIRTUAL), *programs(NIC), neighbour_filter()):
            attach_filter(where, program)


@pytest.mark.parametrize(("frame", "at_virtual", "at_nic"), FRAMES)
def test_the_kernel_decides_as_the_interpreter_does(
    frame: bytes, at_virtual: str, at_nic: str
) -> None:
    """A pair of Unix sockets takes the same filters, runs them on each message, and is free."""
    assert let_in_by_the_kernel(frame, programs(VIRTUAL)) == at_virtual
    assert let_in_by_the_kernel(frame, programs(NIC)) == at_nic


def let_in_by_the_kernel(
    frame: bytes, filters: Sequence[Sequence[Instruction]], letters: str = "ol"
) -> str:
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    passed = ""
    with sender, receiver:
        receiver.setblocking(False)
        for letter, program in zip(letters, filters, strict=True):
            attach_filter(receiver, program)
            sender.send(frame)
            try:
                assert receiver.recv(100_000) == frame
            except BlockingIOError:
                continue
            passed += letter
    return passed


def test_a_new_filter_replaces_the_old_one_at_once() -> None:
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with sender, receiver:
        receiver.setblocking(False)
        for vips in (VIPS[:1], VIPS[1:]):
            attach_filter(receiver, programs(NIC, vips)[0])
            for vip in VIPS:
                sender.send(ipv4(NIC, vip))
        assert [receiver.recv(100)[30:34] for _ in range(2)] == [vip.packed for vip in VIPS]
        with pytest.raises(BlockingIOError):
            receiver.recv(100)


# ---- The filter of the socket for neighbours ----


def advertisement(to: bytes = NIC) -> bytes:
    return to + nd.unsolicited(VIPS6[0], mac=OTHER)[6:]


def patched(frame: bytes, at: int, value: int) -> bytes:
    return frame[:at] + bytes([value]) + frame[at + 1 :]


NEIGHBOURS = [
    pytest.param(typed(EVERYBODY, ARP), True, id="a question to everybody"),
    pytest.param(typed(NIC, ARP), True, id="an answer"),
    pytest.param(typed(OTHER, ARP, 42), True, id="ARP that is not padded"),
    pytest.param(question(VIPS6[0]), True, id="a solicitation"),
    pytest.param(question(NEIGHBOUR6), True, id="a solicitation for anybody"),
    pytest.param(question(VIPS6[0], to=NIC), True, id="a solicitation to one"),
    pytest.param(advertisement(), True, id="an answer to a solicitation"),
    pytest.param(nd.unsolicited(VIPS6[0], mac=OTHER), True, id="an announcement"),
    pytest.param(patched(advertisement(), 54, 134), False, id="a router speaks"),
    pytest.param(patched(advertisement(), 54, 137), False, id="a redirect"),
    pytest.param(patched(advertisement(), 54, 128), False, id="a ping"),
    pytest.param(patched(advertisement(), 20, 17), False, id="UDP"),
    pytest.param(patched(advertisement(), 20, 0), False, id="an extension header"),
    pytest.param(ipv6(NIC, VIPS6[0], 200), False, id="TCP over IPv6"),
    pytest.param(ipv4(NIC, VIPS[0], 200), False, id="IPv4"),
    pytest.param(ipv6(NIC, VIPS6[0], 200, kind=VLAN, next_=58), False, id="another VLAN's"),
    pytest.param(advertisement()[:55], True, id="nothing but the type"),
    pytest.param(advertisement()[:54], False, id="without the type"),
    pytest.param(advertisement()[:20], False, id="without the next header"),
    pytest.param(bytes(13), False, id="not even Ethernet"),
    pytest.param(b"", False, id="nothing"),
]


@pytest.mark.parametrize(("frame", "expected"), NEIGHBOURS)
def test_what_the_socket_for_neighbours_hears(frame: bytes, expected: bool) -> None:
    kept = run(neighbour_filter(), frame)
    assert (kept > 0) is expected
    assert not kept or kept >= len(frame)
    assert let_in_by_the_kernel(frame, [neighbour_filter()], "n") == ("n" if expected else "")


@PATIENT
@given(st.one_of(FRAME, st.binary(max_size=120)))
def test_all_that_is_understood_is_heard(frame: bytes) -> None:
    if resolution.heard(frame) is not None:
        assert run(neighbour_filter(), frame) > 0


KNOWN: tuple[Address, ...] = (*BOTH, IPv4Address("10.9.0.12"), IPv6Address("2001:db8::c"))
STRANGER4, STRANGER6 = STRANGER, IPv6Address("2001:db8::ff99")


def arp_of(sender: IPv4Address, target: IPv4Address) -> bytes:
    return arp.request(target, sender=sender, sender_mac=OTHER)


def solicitation_of(sender: IPv6Address, target: IPv6Address) -> bytes:
    return nd.solicitation(target, sender=sender, sender_mac=OTHER)


ABOUT_US = [
    pytest.param(arp_of(VIPS[0], STRANGER4), True, id="from a VIP"),
    pytest.param(arp_of(STRANGER4, VIPS[1]), True, id="about a VIP"),
    pytest.param(arp_of(IPv4Address("10.9.0.12"), STRANGER4), True, id="from a server"),
    pytest.param(arp_of(STRANGER4, STRANGER4), False, id="between strangers"),
    pytest.param(solicitation_of(VIPS6[1], STRANGER6), True, id="from a VIP, IPv6"),
    pytest.param(solicitation_of(STRANGER6, VIPS6[0]), True, id="about a VIP, IPv6"),
    pytest.param(nd.unsolicited(VIPS6[0], mac=OTHER), True, id="a VIP is announced, IPv6"),
    pytest.param(solicitation_of(STRANGER6, STRANGER6), False, id="between strangers, IPv6"),
    pytest.param(nd.unsolicited(STRANGER6, mac=OTHER), False, id="a stranger, IPv6"),
]


@pytest.mark.parametrize("vlan", [UNTAGGED, Vlan((100,)), Vlan((200, 100))], ids=str)
@pytest.mark.parametrize(("frame", "expected"), ABOUT_US)
def test_only_what_is_about_our_addresses_is_heard(
    frame: bytes, expected: bool, vlan: Vlan
) -> None:
    outer = vlan.identifiers[0] if vlan.identifiers else None
    tagged = inner(frame, 100) if vlan.inline_bytes else frame
    assert (run(neighbour_filter(vlan, KNOWN), tagged, outer) > 0) is expected
    assert run(neighbour_filter(vlan), tagged, outer) > 0
    assert run(neighbour_filter(vlan, ()), tagged, outer) == 0
    if vlan is UNTAGGED:
        heard = let_in_by_the_kernel(frame, [neighbour_filter(vlan, KNOWN)], "n")
        assert heard == ("n" if expected else "")


def scattered(count: int) -> list[IPv4Address]:
    return [IPv4Address("10.8.0.1") + 3 * number for number in range(count)]


def blocks(count: int) -> list[IPv4Address]:
    """Of a hundred addresses each, that lie far from each other."""
    return [IPv4Address("10.8.0.1") + n + (n // 100 << 12) for n in range(count)]


def let_in_by_all(program: Sequence[Instruction], known: Collection[IPv4Address]) -> bool:
    """Both ways, and both are one look."""
    return all(
        run(program, arp_of(each, STRANGER4)) and run(program, arp_of(STRANGER4, each))
        for each in known
    )


def neighbours_of(known: Collection[IPv4Address]) -> set[IPv4Address]:
    """Addresses next to these, which are none of them."""
    return {each + step for each in known for step in (-1, 1)} - {*known}


EXACT = [
    *(pytest.param(scattered(count), id=f"{count} scattered") for count in (1, 64, 149, 150)),
    *(pytest.param(blocks(count), id=f"{count} in blocks") for count in (600, 7_500)),
]


@pytest.mark.parametrize("known", EXACT)
def test_many_addresses_are_heard_and_no_others(known: list[IPv4Address]) -> None:
    program = neighbour_filter(UNTAGGED, known)
    assert let_in_by_all(program, known)
    for each in neighbours_of(known):
        assert run(program, arp_of(each, STRANGER4)) == 0


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(scattered(151), id="151 scattered"),
        pytest.param(scattered(10_000), id="10,000 scattered"),
        pytest.param(blocks(10_000), id="10,000 in a hundred blocks"),
    ],
)
def test_of_more_addresses_only_what_is_between_them_is_heard_too(
    known: list[IPv4Address],
) -> None:
    program = neighbour_filter(UNTAGGED, known)
    assert len(program) < 400
    assert let_in_by_all(program, known)
    for each in (known[0] - 1, known[-1] + 1, STRANGER4):
        assert run(program, arp_of(each, STRANGER4)) == 0


def test_the_narrowest_gaps_are_let_in() -> None:
    far, first = IPv4Address("10.20.0.1"), IPv4Address("10.8.0.1")
    near = [first + 10 * number + second for number in range(100) for second in (0, 2)]
    program = neighbour_filter(UNTAGGED, [*near, far])
    assert run(program, arp_of(near[0] + 1, STRANGER4)) > 0
    assert run(program, arp_of(far - 1, STRANGER4)) == 0
    assert run(program, arp_of(near[-1] + 1, STRANGER4)) == 0


@pytest.mark.parametrize("vips", [scattered(64), blocks(600), scattered(300), blocks(10_000)])
def test_a_ring_hears_no_arp_of_strangers_however_many_vips_there_are(
    vips: list[IPv4Address],
) -> None:
    for mac in (VIRTUAL, NIC):
        ordinary, _ = programs(mac, vips)
        assert len(ordinary) < 600
        assert let_in_by_all(ordinary, vips)
        assert run(ordinary, arp_of(STRANGER4, STRANGER4)) == 0
    exact, _ = programs(VIRTUAL, scattered(64))
    assert run(exact, arp_of(STRANGER4, scattered(64)[0] + 1)) == 0


@PATIENT
@given(st.sets(st.integers(0, 0xFFFFFFFF), max_size=400), st.integers(0, 0xFFFFFFFF))
@example(set(), 0)
@example({0}, 0)
@example({0, 1, 0xFFFFFFFF}, 0xFFFFFFFE)
def test_a_filter_lets_in_whatever_it_was_made_for(values: set[int], other: int) -> None:
    program = neighbour_filter(UNTAGGED, [IPv4Address(each) for each in values])
    for each in values:
        assert run(program, arp_of(IPv4Address(each), IPv4Address(each))) > 0
    if len(values) <= 150 and other not in values:
        assert run(program, arp_of(IPv4Address(other), IPv4Address(other))) == 0


@PATIENT
@given(st.sets(st.integers(0, 600), min_size=1), st.integers(0, 600))
def test_the_kernel_and_the_interpreter_agree_on_blocks(values: set[int], asked_: int) -> None:
    base = IPv4Address("192.0.2.0")
    program = neighbour_filter(UNTAGGED, [base + each for each in values])
    frame = arp_of(base + asked_, STRANGER4)
    heard = bool(run(program, frame))
    assert let_in_by_the_kernel(frame, [program], "n") == ("n" if heard else "")


# ---- The kernel's own neighbours ----


def event(
    address: Address, *, index: int = 7, state: int = 2, kind: int = 28, attribute: int = 1
) -> bytes:
    """What netlink tells of a neighbour: linux/neighbour.h, struct ndmsg."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    about = struct.pack("=BxxxiHBB", family, index, state, 0, 1)
    about += struct.pack("=HH", 4 + len(address.packed), attribute) + address.packed
    about += struct.pack("=HH6sxx", 10, 2, OTHER)
    return struct.pack("=IHHII", 16 + len(about), kind, 0, 0, 0) + about


EVENTS = [
    pytest.param(event(IPv4Address("10.9.0.12")), True, id="a server is reached"),
    pytest.param(event(IPv6Address("2001:db8::c")), True, id="a server is reached, IPv6"),
    pytest.param(event(STRANGER4), False, id="a stranger"),
    pytest.param(event(STRANGER6), False, id="a stranger, IPv6"),
    pytest.param(event(IPv4Address("10.9.0.12"), index=8), False, id="another interface"),
    pytest.param(event(IPv4Address("10.9.0.12"), state=4), False, id="it is stale"),
    pytest.param(event(IPv4Address("10.9.0.12"), kind=29), False, id="it is gone"),
    pytest.param(event(IPv4Address("10.9.0.12"), attribute=2), False, id="something else"),
    pytest.param(event(IPv4Address("10.9.0.12"))[:30], False, id="cut off"),
]


@pytest.mark.parametrize(("message", "expected"), EVENTS)
def test_of_the_kernels_neighbours_only_servers_that_are_reached_are_heard_of(
    message: bytes, expected: bool
) -> None:
    program = neighbour_events_filter(7, KNOWN)
    assert (run(program, message) > 0) is expected
    assert let_in_by_the_kernel(message, [program], "n") == ("n" if expected else "")


def test_of_ten_thousand_servers_each_is_heard_of() -> None:
    servers = blocks(10_000)
    program = neighbour_events_filter(7, servers)
    assert len(program) < 400
    assert all(run(program, event(each)) for each in servers)
    assert run(program, event(STRANGER4)) == 0


def test_the_kernels_own_messages_are_as_the_filter_expects_them() -> None:
    """Its messages come by a netlink socket, and so do the answers to its own questions."""
    try:
        inside = Namespace("neighbours")
    except LabUnavailable as error:
        pytest.skip(str(error))
    server, server6 = IPv4Address("10.9.0.12"), IPv6Address("2001:db8::c")
    with inside:
        assert inside.run(heard_of, (STRANGER4, server, STRANGER6, server6), (server, server6)) == [
            server,
            server6,
        ]


def heard_of(neighbours: Sequence[Address], servers: Sequence[Address]) -> list[Address]:
    """Of these neighbours, made reachable one after the other, those that come through."""
    with IPRoute() as netlink:
        netlink.link("add", ifname="here0", kind="veth", peer={"ifname": "there0"})
        index = netlink.link_lookup(ifname="here0")[0]
        netlink.link("set", index=index, state="up")
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as events:
            events.setblocking(False)
            events.bind((0, 0x4))
            attach_filter(events, neighbour_events_filter(index, servers))
            for each in neighbours:
                netlink.neigh(
                    "add", dst=str(each), lladdr=OTHER.hex(":"), ifindex=index, state="reachable"
                )
            found = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    message = events.recv(4096)
                    length = 4 if message[16] == socket.AF_INET else 16
                    found.append(ip_address(message[32 : 32 + length]))
            return found


# ---- Tags: the outer one is taken out by the kernel, an inner one is in the frame ----

ONE, TWO = Vlan((100,)), Vlan((200, 100))


def inner(frame: bytes, control: int, kind: int = VLAN) -> bytes:
    return frame[:12] + kind.to_bytes(2) + control.to_bytes(2) + frame[12:]


ASKED = typed(NIC, ARP)
TAGS = [
    pytest.param(UNTAGGED, None, ASKED, True, id="no tag, and none configured"),
    pytest.param(UNTAGGED, 0xE000, ASKED, True, id="a priority alone"),
    pytest.param(UNTAGGED, 100, ASKED, False, id="a tag, and none configured"),
    pytest.param(ONE, 100, ASKED, True, id="the VLAN"),
    pytest.param(ONE, 0xF000 | 100, ASKED, True, id="the VLAN with a priority"),
    pytest.param(ONE, 100, advertisement(), True, id="the VLAN, IPv6"),
    pytest.param(ONE, 101, ASKED, False, id="another VLAN"),
    pytest.param(ONE, 0, ASKED, False, id="a priority alone where a VLAN is configured"),
    pytest.param(ONE, None, ASKED, False, id="no tag where one is configured"),
    pytest.param(ONE, 100, inner(ASKED, 100), False, id="a tag more"),
    pytest.param(TWO, 200, inner(ASKED, 100), True, id="two tags"),
    pytest.param(TWO, 0x7000 | 200, inner(ASKED, 0xE000 | 100), True, id="two with priorities"),
    pytest.param(TWO, 200, inner(advertisement(), 100), True, id="two tags, IPv6"),
    pytest.param(TWO, 200, inner(ASKED, 101), False, id="another inner tag"),
    pytest.param(TWO, 201, inner(ASKED, 100), False, id="another outer tag"),
    pytest.param(TWO, 200, inner(ASKED, 100, 0x88A8), False, id="an inner service tag"),
    pytest.param(TWO, 200, ASKED, False, id="one tag of two"),
    pytest.param(TWO, 200, inner(ASKED, 100)[:15], False, id="an inner tag cut off"),
]


@pytest.mark.parametrize(("vlan", "tag", "frame", "expected"), TAGS)
def test_neighbours_are_heard_in_the_vlan_only(
    vlan: Vlan, tag: int | None, frame: bytes, expected: bool
) -> None:
    assert (run(neighbour_filter(vlan), frame, tag) > 0) is expected
    if expected:
        assert vlan.untag(frame) in (ASKED, advertisement())


@pytest.mark.parametrize(("frame", "at_virtual", "at_nic"), FRAMES)
def test_behind_an_inner_tag_the_same_frames_are_let_in(
    frame: bytes, at_virtual: str, at_nic: str
) -> None:
    """One tag changes nothing, because the kernel takes it out; a second one moves all by four."""
    for mac, expected in ((VIRTUAL, at_virtual), (NIC, at_nic)):
        who = Identity(mac, is_virtual=mac == VIRTUAL)
        ways = [(ONE, frame, 0)] + [(TWO, inner(frame, 100), 4)] * (len(frame) >= 14)
        for vlan, seen, more in ways:
            filters = [
                frame_filter(who, BOTH, limit=LIMIT + more, longer=longer, vlan=vlan)
                for longer in (False, True)
            ]
            assert let_in(seen, filters) == expected
            assert let_in_by_the_kernel(seen, filters) == expected
