"""ARP against scapy: what we build it understands, what it builds we understand."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, Dot1Q, Ether

from dr_forwarder import arp

PATIENT = settings(deadline=None)
"""A busy machine is no fault of the code."""

OURS = "02:00:00:00:00:01"
THEIRS = "02:00:00:00:00:62"
NOBODY = "00:00:00:00:00:00"
EVERYBODY = "ff:ff:ff:ff:ff:ff"
DIRECTOR, SERVER, VIP = "10.10.10.61", "10.10.10.62", "10.10.10.60"

MACS = st.binary(min_size=6, max_size=6)
STATIONS = MACS.filter(lambda mac: any(mac) and not mac[0] & 1)
"""One interface each: neither a group nor nobody."""
ADDRESSES = st.integers(0, 2**32 - 1).map(IPv4Address)


def packed(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def built(packet: Ether) -> bytes:
    return bytes(packet)


# ---- Ours, read by scapy ----

BUILT = [
    pytest.param(
        arp.request(IPv4Address(SERVER), sender=IPv4Address(DIRECTOR), sender_mac=packed(OURS)),
        Ether(src=OURS, dst=EVERYBODY)
        / ARP(op=1, hwsrc=OURS, psrc=DIRECTOR, hwdst=NOBODY, pdst=SERVER),
        id="a question to everybody",
    ),
    pytest.param(
        arp.request(
            IPv4Address(SERVER),
            sender=IPv4Address(DIRECTOR),
            sender_mac=packed(OURS),
            to=packed(THEIRS),
        ),
        Ether(src=OURS, dst=THEIRS)
        / ARP(op=1, hwsrc=OURS, psrc=DIRECTOR, hwdst=NOBODY, pdst=SERVER),
        id="a question to one",
    ),
    pytest.param(
        arp.probe(IPv4Address(VIP), mac=packed(OURS)),
        Ether(src=OURS, dst=EVERYBODY)
        / ARP(op=1, hwsrc=OURS, psrc="0.0.0.0", hwdst=NOBODY, pdst=VIP),
        id="a probe names no sender (RFC 5227 section 1.1)",
    ),
    pytest.param(
        arp.gratuitous(IPv4Address(VIP), mac=packed(OURS)),
        Ether(src=OURS, dst=EVERYBODY) / ARP(op=1, hwsrc=OURS, psrc=VIP, hwdst=NOBODY, pdst=VIP),
        id="an announcement names the address twice (RFC 5227 section 2.3)",
    ),
]


@pytest.mark.parametrize(("frame", "like"), BUILT)
def test_what_is_sent_is_what_scapy_would_send(frame: bytes, like: Ether) -> None:
    assert frame == built(like).ljust(60, b"\0")


@PATIENT
@given(ADDRESSES, ADDRESSES, MACS, MACS)
def test_scapy_reads_what_was_meant(
    target: IPv4Address, sender: IPv4Address, mac: bytes, to: bytes
) -> None:
    frame = arp.request(target, sender=sender, sender_mac=mac, to=to)
    read = Ether(frame)
    assert (read.dst, read.src, read[ARP].hwsrc) == (to.hex(":"), mac.hex(":"), mac.hex(":"))
    assert (read[ARP].op, read[ARP].psrc, read[ARP].pdst) == (1, str(sender), str(target))


@PATIENT
@given(ADDRESSES, MACS)
def test_every_frame_has_the_smallest_length_of_ethernet(address: IPv4Address, mac: bytes) -> None:
    assert len(arp.probe(address, mac=mac)) == len(arp.gratuitous(address, mac=mac)) == 60


@PATIENT
@given(ADDRESSES, ADDRESSES, STATIONS)
def test_what_was_sent_is_understood(target: IPv4Address, sender: IPv4Address, mac: bytes) -> None:
    frame = arp.request(target, sender=sender, sender_mac=mac)
    assert arp.parse(frame) == arp.Packet(True, mac, sender, target)


# ---- Scapy's, read by us ----

ANSWER = ARP(op=2, hwsrc=THEIRS, psrc=SERVER, hwdst=OURS, pdst=DIRECTOR)
QUESTION = ARP(op=1, hwsrc=THEIRS, psrc=SERVER, hwdst=NOBODY, pdst=VIP)
HEARD = [
    pytest.param(Ether(dst=OURS) / ANSWER, False, SERVER, DIRECTOR, id="an answer"),
    pytest.param(Ether(dst=EVERYBODY) / QUESTION, True, SERVER, VIP, id="a question"),
    pytest.param(
        Ether(dst=EVERYBODY) / ARP(op=2, hwsrc=THEIRS, psrc=SERVER, pdst=SERVER),
        False,
        SERVER,
        SERVER,
        id="a gratuitous answer",
    ),
    pytest.param(
        Ether(src=OURS, dst=EVERYBODY) / QUESTION,
        True,
        SERVER,
        VIP,
        id="the sender is who ARP says, not who Ethernet says",
    ),
    pytest.param(Ether(dst=OURS) / ANSWER / bytes(18), False, SERVER, DIRECTOR, id="padded"),
    pytest.param(Ether(dst=OURS) / ANSWER / bytes(2000), False, SERVER, DIRECTOR, id="very long"),
]


@pytest.mark.parametrize(("packet", "is_request", "sender", "target"), HEARD)
def test_what_is_heard(packet: Ether, is_request: bool, sender: str, target: str) -> None:
    assert arp.parse(built(packet)) == arp.Packet(
        is_request, packed(THEIRS), IPv4Address(sender), IPv4Address(target)
    )


IGNORED = [
    pytest.param(Ether(dst=OURS) / IP(dst=VIP) / ICMP() / bytes(40), id="IPv4"),
    pytest.param(Ether(dst=OURS, type=0x8035) / bytes(QUESTION), id="RARP"),
    pytest.param(Ether(dst=OURS) / Dot1Q(vlan=5) / ANSWER, id="another VLAN's"),
    pytest.param(Ether(dst=OURS) / ARP(op=2, hwsrc=NOBODY, psrc=SERVER), id="at nobody's MAC"),
    pytest.param(Ether(dst=OURS) / ARP(op=2, hwsrc=EVERYBODY, psrc=SERVER), id="at everybody's"),
    pytest.param(
        Ether(dst=OURS) / ARP(op=2, hwsrc="03:bf:0a:0a:0a:3e", psrc=SERVER), id="at a group's MAC"
    ),
    pytest.param(Ether(dst=OURS) / ARP(op=3, psrc=SERVER, pdst=VIP), id="reverse request"),
    pytest.param(Ether(dst=OURS) / ARP(op=0, psrc=SERVER, pdst=VIP), id="operation 0"),
    pytest.param(Ether(dst=OURS) / ARP(op=258, psrc=SERVER, pdst=VIP), id="operation 2, swapped"),
    pytest.param(Ether(dst=OURS) / ARP(hwtype=6, psrc=SERVER, pdst=VIP), id="not Ethernet"),
    pytest.param(Ether(dst=OURS) / ARP(ptype=0x86DD, psrc=SERVER, pdst=VIP), id="not IPv4"),
]


@pytest.mark.parametrize("packet", IGNORED)
def test_what_is_none_of_our_business(packet: Ether) -> None:
    assert arp.parse(built(packet)) is None


@pytest.mark.parametrize(("offset", "value"), [(18, 8), (18, 0), (19, 16), (19, 0)])
def test_addresses_of_another_length_are_not_read(offset: int, value: int) -> None:
    frame = bytearray(built(Ether(dst=OURS) / ANSWER))
    frame[offset] = value
    assert arp.parse(bytes(frame)) is None


@pytest.mark.parametrize("length", range(42))
def test_a_frame_that_was_cut_is_nothing(length: int) -> None:
    assert arp.parse(built(Ether(dst=OURS) / ANSWER)[:length]) is None


@PATIENT
@given(st.binary(max_size=80))
def test_any_bytes_are_survived(frame: bytes) -> None:
    arp.parse(frame)


@PATIENT
@given(st.binary(max_size=80), st.sampled_from([bytes.fromhex("0001080006040001"), b""]))
def test_any_bytes_that_look_like_arp_are_survived(rest: bytes, head: bytes) -> None:
    packet = arp.parse(bytes(12) + b"\x08\x06" + head + rest)
    assert packet is None or len(packet.sender_mac) == 6
