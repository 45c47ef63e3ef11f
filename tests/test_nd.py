"""Neighbour discovery against scapy: what we build it understands, what it builds we understand."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptMTU,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrHopByHop,
    in6_chksum,
)
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet, Raw
from scapy.utils6 import in6_getnsma, in6_getnsmac

from dr_forwarder import nd

PATIENT = settings(deadline=None)
"""A busy machine is no fault of the code."""

OURS = "02:00:00:00:00:01"
THEIRS = "02:00:00:00:00:62"
OTHERS = "02:00:00:00:00:ee"
DIRECTOR, SERVER, VIP = "2001:db8::61", "2001:db8::1:62", "2001:db8::60"
ALL_NODES, ALL_NODES_MAC = "ff02::1", "33:33:00:00:00:01"

MACS = st.binary(min_size=6, max_size=6)
STATIONS = MACS.filter(lambda mac: any(mac) and not mac[0] & 1)
"""One interface each: neither a group nor nobody."""
ADDRESSES = st.integers(1, (0xFF << 120) - 1).map(IPv6Address)
"""No group, and not nobody."""


def packed(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def group(address: str) -> str:
    """The solicited-node group, as scapy has it."""
    return str(IPv6Address(in6_getnsma(IPv6Address(address).packed)))


def group_mac(address: str) -> str:
    return str(in6_getnsmac(in6_getnsma(IPv6Address(address).packed)))


# ---- Groups ----


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("4037::1:800:200e:8c6c", "ff02::1:ff0e:8c6c"),  # RFC 4291 section 2.7.1
        ("2001:db8::", "ff02::1:ff00:0"),
        ("2001:db8::ffff:ffff", "ff02::1:ffff:ffff"),
    ],
)
def test_the_solicited_node_group(address: str, expected: str) -> None:
    assert nd.solicited_node(IPv6Address(address)) == IPv6Address(expected)


@PATIENT
@given(ADDRESSES)
def test_groups_are_those_of_scapy(address: IPv6Address) -> None:
    found = nd.solicited_node(address)
    assert found.packed == in6_getnsma(address.packed)
    assert nd.group_mac(found).hex(":") == in6_getnsmac(found.packed)


# ---- Ours, read by scapy ----

BUILT = [
    pytest.param(
        nd.solicitation(IPv6Address(SERVER), sender=IPv6Address(DIRECTOR), sender_mac=packed(OURS)),
        Ether(src=OURS, dst=group_mac(SERVER))
        / IPv6(src=DIRECTOR, dst=group(SERVER), hlim=255)
        / ICMPv6ND_NS(tgt=SERVER)
        / ICMPv6NDOptSrcLLAddr(lladdr=OURS),
        id="a question to everybody (RFC 4861 section 7.2.2)",
    ),
    pytest.param(
        nd.solicitation(
            IPv6Address(SERVER),
            sender=IPv6Address(DIRECTOR),
            sender_mac=packed(OURS),
            to=packed(THEIRS),
        ),
        Ether(src=OURS, dst=THEIRS)
        / IPv6(src=DIRECTOR, dst=group(SERVER), hlim=255)
        / ICMPv6ND_NS(tgt=SERVER)
        / ICMPv6NDOptSrcLLAddr(lladdr=OURS),
        id="a question to one",
    ),
    pytest.param(
        nd.solicitation(IPv6Address(VIP), sender=IPv6Address(0), sender_mac=packed(OURS)),
        Ether(src=OURS, dst=group_mac(VIP))
        / IPv6(src="::", dst=group(VIP), hlim=255)
        / ICMPv6ND_NS(tgt=VIP),
        id="a probe names no sender and has no option (RFC 4861 section 4.3)",
    ),
    pytest.param(
        nd.unsolicited(IPv6Address(VIP), mac=packed(OURS)),
        Ether(src=OURS, dst=ALL_NODES_MAC)
        / IPv6(src=VIP, dst=ALL_NODES, hlim=255)
        / ICMPv6ND_NA(tgt=VIP, R=0, S=0, O=1)
        / ICMPv6NDOptDstLLAddr(lladdr=OURS),
        id="an announcement overrides and answers nobody (RFC 4861 section 7.2.6)",
    ),
]


@pytest.mark.parametrize(("frame", "like"), BUILT)
def test_what_is_sent_is_what_scapy_would_send(frame: bytes, like: Packet) -> None:
    assert frame == bytes(like)


def addresses(read: Packet) -> tuple[IPv6Address, IPv6Address]:
    """scapy writes some addresses as nobody else does."""
    return IPv6Address(read[IPv6].src), IPv6Address(read[IPv6].dst)


@PATIENT
@given(ADDRESSES, ADDRESSES, MACS, st.none() | MACS)
def test_scapy_reads_what_was_meant(
    target: IPv6Address, sender: IPv6Address, mac: bytes, to: bytes | None
) -> None:
    read = Ether(nd.solicitation(target, sender=sender, sender_mac=mac, to=to))
    where = nd.solicited_node(target)
    assert (read.dst, read.src) == ((to or nd.group_mac(where)).hex(":"), mac.hex(":"))
    assert addresses(read) == (sender, where)
    assert (read[IPv6].hlim, IPv6Address(read[ICMPv6ND_NS].tgt)) == (255, target)
    assert read[ICMPv6NDOptSrcLLAddr].lladdr == mac.hex(":")
    assert in6_chksum(58, read[IPv6], bytes(read[ICMPv6ND_NS])) == 0


@PATIENT
@given(ADDRESSES, MACS)
def test_scapy_reads_an_announcement(vip: IPv6Address, mac: bytes) -> None:
    read = Ether(nd.unsolicited(vip, mac=mac))
    assert addresses(read) == (vip, IPv6Address(ALL_NODES))
    assert (read[IPv6].hlim, IPv6Address(read[ICMPv6ND_NA].tgt)) == (255, vip)
    assert read[ICMPv6NDOptDstLLAddr].lladdr == mac.hex(":")
    assert in6_chksum(58, read[IPv6], bytes(read[ICMPv6ND_NA])) == 0


@PATIENT
@given(ADDRESSES, ADDRESSES, STATIONS, st.none() | MACS)
def test_what_was_sent_is_understood(
    target: IPv6Address, sender: IPv6Address, mac: bytes, to: bytes | None
) -> None:
    frame = nd.solicitation(target, sender=sender, sender_mac=mac, to=to)
    assert nd.parse(frame) == nd.Packet(sender, mac, target, is_solicitation=True)
    assert nd.parse(nd.unsolicited(target, mac=mac)) == nd.Packet(target, mac, target, False)


# ---- Scapy's, read by us ----


def ether(to: str = OURS, source: str = THEIRS) -> Packet:
    return Ether(dst=to, src=source)


def ip(source: str = SERVER, to: str = DIRECTOR, **more: object) -> Packet:
    return IPv6(**{"src": source, "dst": to, "hlim": 255, **more})


ANSWER, QUESTION = ICMPv6ND_NA(tgt=SERVER, R=0, S=1), ICMPv6ND_NS(tgt=VIP)
AT = ICMPv6NDOptDstLLAddr(lladdr=THEIRS)
FROM = ICMPv6NDOptSrcLLAddr(lladdr=THEIRS)
HEARD = [
    pytest.param(ether() / ip() / ANSWER / AT, False, SERVER, id="an answer"),
    pytest.param(ether() / ip() / ANSWER, False, SERVER, id="an answer without an option"),
    pytest.param(
        ether(group_mac(VIP)) / ip(to=group(VIP)) / QUESTION / FROM, True, SERVER, id="a question"
    ),
    pytest.param(
        ether() / ip(to=VIP) / QUESTION, True, SERVER, id="a question to one, without an option"
    ),
    pytest.param(
        ether(ALL_NODES_MAC) / ip(to=ALL_NODES) / ICMPv6ND_NA(tgt=SERVER, S=0, O=1) / AT,
        False,
        SERVER,
        id="an announcement",
    ),
    pytest.param(
        ether(source=OTHERS) / ip() / ANSWER / AT,
        False,
        SERVER,
        id="the option says who, not Ethernet",
    ),
    pytest.param(
        ether() / ip(source="fe80::62") / ANSWER / AT,
        False,
        SERVER,
        id="an answer is about its target, not its sender",
    ),
    pytest.param(
        ether(source=THEIRS) / ip() / ANSWER / ICMPv6NDOptSrcLLAddr(lladdr=OTHERS),
        False,
        SERVER,
        id="an answer with a question's option",
    ),
    pytest.param(
        ether(source=OTHERS) / ip() / ANSWER / ICMPv6NDOptMTU() / AT,
        False,
        SERVER,
        id="another option before it",
    ),
    pytest.param(
        ether(source=OTHERS) / ip() / ANSWER / AT / ICMPv6NDOptMTU(),
        False,
        SERVER,
        id="another option behind it",
    ),
]


@pytest.mark.parametrize(("packet", "is_solicitation", "address"), HEARD)
def test_what_is_heard(packet: Packet, is_solicitation: bool, address: str) -> None:
    target = IPv6Address(VIP if is_solicitation else SERVER)
    expected = nd.Packet(IPv6Address(address), packed(THEIRS), target, is_solicitation)
    assert nd.parse(bytes(packet)) == expected


@pytest.mark.parametrize("padding", [1, 2, 18, 2000])
def test_padding_behind_the_packet_is_nothing(padding: int) -> None:
    frame = bytes(ether() / ip() / ANSWER / AT)
    assert nd.parse(frame + b"\xff" * padding) == nd.parse(frame)


def test_a_probe_says_nothing_of_the_address_it_asks_for() -> None:
    probe = bytes(ether(group_mac(VIP)) / ip("::", group(VIP)) / QUESTION)
    expected = nd.Packet(IPv6Address(0), packed(THEIRS), IPv6Address(VIP), is_solicitation=True)
    assert nd.parse(probe) == expected


IGNORED = [
    pytest.param(ether() / ip(hlim=254) / ANSWER / AT, id="it has passed a router"),
    pytest.param(ether() / ip(hlim=0) / ANSWER / AT, id="hop limit 0"),
    pytest.param(ether() / ip() / ICMPv6ND_NA(tgt=SERVER, cksum=1) / AT, id="a wrong checksum"),
    pytest.param(ether() / ip() / ICMPv6ND_NS(tgt=VIP, cksum=0) / FROM, id="no checksum"),
    pytest.param(ether() / ip() / ICMPv6ND_NA(tgt=SERVER, code=1) / AT, id="another code"),
    pytest.param(ether() / ip() / ICMPv6EchoRequest(data=bytes(24)), id="a ping"),
    pytest.param(ether() / ip() / ICMPv6ND_RS() / FROM / bytes(8), id="a router is looked for"),
    pytest.param(ether() / ip() / ICMPv6ND_RA() / FROM / bytes(8), id="a router speaks"),
    pytest.param(ether() / ip() / UDP(sport=135, dport=136) / bytes(40), id="UDP"),
    pytest.param(
        ether() / ip() / IPv6ExtHdrHopByHop() / ANSWER / AT, id="behind an extension header"
    ),
    pytest.param(Ether(dst=OURS, type=0x0800) / ip() / ANSWER / AT, id="not IPv6"),
    pytest.param(ether() / Dot1Q(vlan=5) / ip() / ANSWER / AT, id="another VLAN's"),
    pytest.param(ether() / ip(plen=200) / ANSWER / AT, id="longer than the frame"),
    pytest.param(ether() / ip(plen=23) / ANSWER / AT, id="shorter than the message"),
    pytest.param(ether() / ip(plen=0) / ANSWER / AT, id="no length"),
    pytest.param(ether() / ip() / ANSWER / AT / Raw(b"\x02"), id="an option of one byte"),
    pytest.param(ether() / ip() / ANSWER / AT / Raw(b"\x0e\1\0"), id="a cut option"),
    pytest.param(ether() / ip() / ANSWER / AT / Raw(b"\x0e" + bytes(7)), id="an empty option"),
    pytest.param(ether() / ip() / ANSWER / Raw(b"\2\0" + bytes(6)), id="an empty MAC address"),
    pytest.param(ether() / ip() / ANSWER / Raw(b"\2\2" + bytes(14)), id="a long MAC address"),
    pytest.param(ether() / ip() / ICMPv6ND_NA(tgt="ff02::1:ff01:62") / AT, id="about a group"),
    pytest.param(
        ether(ALL_NODES_MAC) / ip(to=ALL_NODES) / ICMPv6ND_NA(tgt=SERVER, S=1) / AT,
        id="an answer that was solicited goes to one",
    ),
    pytest.param(ether() / ip("::", VIP) / QUESTION, id="nobody asks one"),
    pytest.param(ether(ALL_NODES_MAC) / ip("::", ALL_NODES) / QUESTION, id="nobody asks all"),
    pytest.param(
        ether(group_mac(VIP)) / ip("::", group(VIP)) / QUESTION / FROM,
        id="nobody has a MAC address",
    ),
    pytest.param(
        ether() / ip() / ICMPv6ND_NS(tgt="ff02::1:ff01:62") / FROM, id="a group is asked for"
    ),
    pytest.param(ether() / ip("ff02::1", VIP) / QUESTION / FROM, id="a group asks"),
    pytest.param(ether() / ip(version=4) / ANSWER / AT, id="another version"),
]


@pytest.mark.parametrize("packet", IGNORED)
def test_what_is_none_of_our_business(packet: Packet) -> None:
    assert nd.parse(bytes(packet)) is None


GROUPS = [
    pytest.param("00:00:00:00:00:00", id="nobody's"),
    pytest.param("ff:ff:ff:ff:ff:ff", id="everybody's"),
    pytest.param("03:bf:0a:0a:0a:3e", id="a group's"),
]


@pytest.mark.parametrize("mac", GROUPS)
def test_a_mac_that_no_interface_can_have_is_not_believed(mac: str) -> None:
    option = ICMPv6NDOptDstLLAddr(lladdr=mac)
    assert nd.parse(bytes(ether() / ip() / ANSWER / option)) is None
    assert nd.parse(bytes(ether(source=mac) / ip() / ANSWER)) is None


@pytest.mark.parametrize("length", range(78))
def test_a_frame_that_was_cut_is_nothing(length: int) -> None:
    assert nd.parse(bytes(ether() / ip() / ANSWER)[:length]) is None


@pytest.mark.parametrize("length", range(78, 86))
def test_an_option_that_was_cut_takes_the_frame_with_it(length: int) -> None:
    assert nd.parse(bytes(ether() / ip() / ANSWER / AT)[:length]) is None


@PATIENT
@given(st.binary(max_size=120))
def test_any_bytes_are_survived(frame: bytes) -> None:
    nd.parse(frame)


@PATIENT
@given(st.sampled_from([ANSWER, QUESTION]), st.binary(max_size=40))
def test_any_options_are_survived(message: Packet, options: bytes) -> None:
    """The checksum is right, so that they are really read."""
    packet = nd.parse(bytes(ether() / ip() / message / Raw(options)))
    assert packet is None or (packet.address, len(packet.mac)) == (IPv6Address(SERVER), 6)
