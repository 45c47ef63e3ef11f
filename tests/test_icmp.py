"""ICMP: pings and questions for a VIP answered, errors about connections, errors of our own."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest
from director import (
    CLIENT,
    CLIENT6,
    CLIENT_MAC,
    VIP,
    VIP6,
    VIRTUAL_MAC,
    Director,
    checksum,
    fragment,
    ipv4,
    service,
    tcp,
    udp,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, UDP, IPerror
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    PadN,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

WEB = service(scheduler="lc")
WEB6 = service(f"[{VIP6}]:80")
EMPTY = service(f"{VIP}:82")
EMPTY6 = service(f"[{VIP6}]:82")
SOURCE6 = f"[{CLIENT6}]:1000"
TARGET6 = f"[{VIP6}]:80"
US = VIRTUAL_MAC.hex(":")
THEM = CLIENT_MAC.hex(":")


@pytest.fixture
def director() -> Iterator[Director]:
    with Director() as director:
        for of in (WEB, WEB6):
            director.add_service(of, 1, 1)
        for of in (EMPTY, EMPTY6):
            director.add_service(of)
        yield director


def answer_to(director: Director, frame: bytes, verdict: str) -> bytes:
    decision = director.forward(frame)
    assert (decision.verdict, decision.sent) == (verdict, True)
    return decision.frame


def silence_on(director: Director, frame: bytes, verdict: str) -> None:
    decision = director.forward(frame)
    assert (decision.verdict, decision.sent, decision.frame) == (verdict, False, frame)


def back(packet: Packet) -> bytes:
    """What scapy sends from us to the client, with checksums of its own."""
    return bytes(Ether(dst=THEM, src=US) / packet)


# ---- Echo ----


def ping(**fields: object) -> Packet:
    return Ether(dst=US, src=THEM) / IP(src=CLIENT, dst=VIP, **fields)


@settings(max_examples=200, deadline=None)
@given(
    identity=st.integers(1, 65_535),
    sequence=st.integers(0, 65_535),
    data=st.binary(max_size=64),
    ttl=st.integers(1, 255),
    tos=st.integers(0, 255),
)
@example(identity=1, sequence=65_534, data=b"", ttl=1, tos=0)
def test_any_ping_is_answered_as_scapy_would(
    identity: int, sequence: int, data: bytes, ttl: int, tos: int
) -> None:
    with Director() as director:
        director.add_service(WEB)
        fields: dict[str, Any] = {"id": identity, "seq": sequence}
        question = ping(ttl=ttl, tos=tos, id=7) / ICMP(**fields) / data
        answer = IP(src=VIP, dst=CLIENT, ttl=64, tos=tos, id=7) / ICMP(type=0, **fields) / data
        assert answer_to(director, bytes(question), "echo_answered") == back(answer)


def test_a_ping_of_all_zeros_is_answered(director: Director) -> None:
    question = bytes(ping() / ICMP(id=0, seq=0) / bytes(8))
    answer = IP(src=VIP, dst=CLIENT, ttl=64) / ICMP(type=0, id=0, seq=0) / bytes(8)
    assert answer_to(director, question, "echo_answered") == back(answer)


def test_padding_behind_a_ping_is_no_part_of_it(director: Director) -> None:
    question = bytes(ping() / ICMP(id=1) / b"odd") + b"padding"
    answer = back(IP(src=VIP, dst=CLIENT, ttl=64) / ICMP(type=0, id=1) / b"odd")
    assert answer_to(director, question, "echo_answered") == answer + b"padding"


def test_a_ping_with_a_wrong_checksum_is_not_answered(director: Director) -> None:
    silence_on(director, bytes(ping() / ICMP(id=1, chksum=0x1234)), "icmp_other")


@settings(max_examples=100, deadline=None)
@given(identity=st.integers(0, 65_535), data=st.binary(max_size=64), hops=st.integers(1, 255))
def test_any_ipv6_ping_is_answered_as_scapy_would(identity: int, data: bytes, hops: int) -> None:
    with Director() as director:
        director.add_service(WEB6)
        request = ICMPv6EchoRequest(id=identity, seq=1, data=data)
        question = Ether(dst=US, src=THEM) / IPv6(src=CLIENT6, dst=VIP6, hlim=hops) / request
        answer = IPv6(src=VIP6, dst=CLIENT6, hlim=64) / ICMPv6EchoRequest(
            type=129, id=identity, seq=1, data=data
        )
        assert answer_to(director, bytes(question), "echo_answered") == back(answer)


def test_extension_headers_of_a_ping_come_back(director: Director) -> None:
    options = IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))])
    question = Ether(dst=US, src=THEM) / IPv6(src=CLIENT6, dst=VIP6) / options
    answer = IPv6(src=VIP6, dst=CLIENT6, hlim=64) / options / ICMPv6EchoRequest(type=129)
    frame = bytes(question / ICMPv6EchoRequest())
    assert answer_to(director, frame, "echo_answered") == back(answer)


def test_a_ping_from_no_address_is_not_answered(director: Director) -> None:
    question = Ether(dst=US, src=THEM) / IPv6(src="::", dst=VIP6) / ICMPv6EchoRequest()
    assert not director.forward(bytes(question)).sent


# ---- Neighbour solicitations ----


def solicitation(source: str) -> bytes:
    question = IPv6(src=source, dst="ff02::1:ff00:100", hlim=255) / ICMPv6ND_NS(tgt=VIP6)
    return bytes(Ether(dst="33:33:ff:00:01:00", src=THEM) / question)


def advertisement(to: str, *, solicited: int) -> Packet:
    answer = IPv6(src=VIP6, dst=to, hlim=255) / ICMPv6ND_NA(tgt=VIP6, R=0, S=solicited, O=1)
    return answer / ICMPv6NDOptDstLLAddr(lladdr=US)


def test_a_solicitation_is_answered_as_scapy_would(director: Director) -> None:
    expected = back(advertisement("fe80::9", solicited=1))
    assert answer_to(director, solicitation("fe80::9"), "answered") == expected


def test_who_tries_the_address_out_is_told_with_everybody(director: Director) -> None:
    answer = Ether(dst="33:33:00:00:00:01", src=US) / advertisement("ff02::1", solicited=0)
    assert answer_to(director, solicitation("::"), "answered") == bytes(answer)


# ---- Errors about a connection ----


def quoted(client_port: int = 1000, protocol: str = "tcp") -> bytes:
    """The beginning of a packet from the VIP to the client, as an old router quotes it."""
    build = {"tcp": lambda *ends: tcp("A", *ends), "udp": udp}[protocol]
    return build(f"{VIP}:80", f"{CLIENT}:{client_port}")[14 : 14 + 28]


def error(kind: int, code: int, quote: bytes, rest: int = 0) -> bytes:
    message = struct.pack("!BBHI", kind, code, 0, rest) + quote
    message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
    return ipv4(1, "10.5.0.1", VIP, message)


@pytest.mark.parametrize(("kind", "code"), [(3, c) for c in range(16)] + [(4, 0), (11, 0), (11, 1)])
def test_an_error_goes_to_the_connections_server(director: Director, kind: int, code: int) -> None:
    assert director.tcp("S") == 2
    assert director.tcp("S", f"{CLIENT}:1001") == 1
    for port, server in ((1000, 2), (1001, 1)):
        frame = error(kind, code, quoted(port), rest=1400)
        decision = director.forward(frame)
        assert decision.verdict == "icmp_forwarded"
        assert decision.frame[12:] == frame[12:]
        assert decision.frame[5] == 10 + server


def test_an_error_moves_neither_the_timer_nor_the_state_but_is_counted(director: Director) -> None:
    director.tcp("S")
    director.wait(20)
    before, counters = director.connection(), director.server_row(WEB, 2).counters
    frame = error(3, 4, quoted(), rest=1400)
    assert director.send(frame) == 2
    assert director.connection() == before
    after = director.server_row(WEB, 2).counters
    assert after.connections == counters.connections
    assert after.packets == counters.packets + 1
    assert after.bytes == counters.bytes + len(frame) - 14
    assert director.row(WEB).counters == after


@pytest.mark.parametrize("kind", [0, 5, 9, 10, 12, 13, 14, 17, 18, 30, 255])
def test_other_messages_are_none_of_our_business(director: Director, kind: int) -> None:
    director.tcp("S")
    silence_on(director, error(kind, 0, quoted()), "icmp_other")


@pytest.mark.parametrize("at", range(34, 34 + 8 + 28))
def test_an_error_with_any_wrong_byte_is_dropped(director: Director, at: int) -> None:
    director.tcp("S")
    frame = bytearray(error(3, 3, quoted()))
    frame[at] ^= 0x04
    decision = director.forward(bytes(frame))
    assert decision.verdict in {"icmp_other", "no_connection"}
    assert not decision.sent


@pytest.mark.parametrize("length", range(28))
def test_an_error_that_quotes_less_than_the_ports_is_dropped(
    director: Director, length: int
) -> None:
    director.tcp("S")
    decision = director.forward(error(3, 3, quoted()[:length]))
    assert decision.verdict == ("icmp_forwarded" if length >= 24 else "icmp_other")


def test_an_error_about_a_removed_servers_connection_is_dropped(director: Director) -> None:
    assert director.tcp("S") == 2
    director.delete(WEB, 2)
    silence_on(director, error(3, 3, quoted()), "server_removed")


def test_an_error_about_nothing_begins_nothing(director: Director) -> None:
    silence_on(director, error(3, 3, quoted()), "no_connection")
    assert director.connections() == []


def test_with_schedule_icmp_it_begins_a_connection_of_no_state(director: Director) -> None:
    director.tune(schedule_icmp=1)
    decision = director.forward(error(3, 3, quoted()))
    assert decision.verdict == "icmp_forwarded"
    assert decision.frame[5] == 10 + 2
    (begun,) = director.connections()
    assert (begun.state, begun.client_port) == ("NONE", 1000)
    assert director.tcp("S") == 2
    director.tcp("S", f"{CLIENT}:1001")
    director.wait(4)
    assert director.forward(error(3, 3, quoted(1002))).frame[5] == 10 + 2
    director.wait(4)
    director.tick()
    assert sorted(row.client_port for row in director.connections()) == [1000, 1001]


def test_with_schedule_icmp_and_no_server_an_error_gets_no_error(director: Director) -> None:
    director.tune(schedule_icmp=1)
    quote = tcp("A", f"{VIP}:82", f"{CLIENT}:1000")[14 : 14 + 28]
    silence_on(director, error(3, 3, quote), "no_server")


@pytest.mark.parametrize(
    "message",
    [ICMPv6DestUnreach(), ICMPv6PacketTooBig(mtu=1280), ICMPv6TimeExceeded()],
    ids=lambda message: message.name,
)
def test_an_ipv6_error_goes_to_the_connections_server(director: Director, message: Packet) -> None:
    assert director.tcp("S", SOURCE6, TARGET6) == 2
    before = director.connection(SOURCE6)
    quote = tcp("A", TARGET6, SOURCE6)[14:]
    router = Ether(dst=US, src=THEM) / IPv6(src="fd00:5::1", dst=VIP6)
    frame = bytes(router / message / Raw(quote))
    decision = director.forward(frame)
    assert decision.verdict == "icmp_forwarded"
    assert decision.frame[12:] == frame[12:]
    assert director.connection(SOURCE6) == before


# ---- Errors of our own ----


def error4(kind: int, code: int, original: bytes, *, mtu: int = 0) -> bytes:
    """What RFC 792 and RFC 1812 want: from the VIP, at most 576 bytes, precedence 6."""
    question = Ether(original)[IP]
    head = IP(src=VIP, dst=CLIENT, ttl=64, id=0, tos=question.tos & 0x1E | 0xC0)
    message = ICMP(type=kind, code=code)
    if mtu:
        message.nexthopmtu = mtu
    return back(head / message / Raw(original[14:][: 576 - 28]))


def error6(message: Packet, original: bytes) -> bytes:
    head = IPv6(src=VIP6, dst=CLIENT6, hlim=64)
    return back(head / message / Raw(original[14:][: 1280 - 48]))


@pytest.mark.parametrize("length", [0, 1, 100, 507, 508, 509, 1000, 1460])
@pytest.mark.parametrize("tos", [0, 0xB8, 0x1F])
def test_without_a_server_the_port_is_unreachable(
    director: Director, length: int, tos: int
) -> None:
    whole = Ether(tcp("S", f"{CLIENT}:1000", f"{VIP}:82", bytes(range(256)) * 6)[: 54 + length])
    whole[IP].tos, whole[IP].len = tos, 40 + length
    del whole[IP].chksum
    question = bytes(whole)
    assert answer_to(director, question, "no_server") == error4(3, 3, question)


@pytest.mark.parametrize("length", [0, 100, 1171, 1172, 1173, 1440])
def test_so_it_is_in_ipv6(director: Director, length: int) -> None:
    question = tcp("S", SOURCE6, f"[{VIP6}]:82", bytes(length))
    expected = error6(ICMPv6DestUnreach(code=4), question)
    assert answer_to(director, question, "no_server") == expected


def test_padding_is_not_quoted(director: Director) -> None:
    question = tcp("S", f"{CLIENT}:1000", f"{VIP}:82")
    assert answer_to(director, question + bytes(6), "no_server") == error4(3, 3, question)


def test_what_is_too_big_and_may_not_be_fragmented_is_told_the_mtu(director: Director) -> None:
    director.tcp("S")
    question = tcp("PA", f"{CLIENT}:1000", f"{VIP}:80", bytes(1461))
    assert answer_to(director, question, "oversize") == error4(3, 4, question, mtu=1500)


def test_so_is_every_ipv6_packet(director: Director) -> None:
    director.tcp("S", SOURCE6, TARGET6)
    question = tcp("PA", SOURCE6, TARGET6, bytes(1441))
    assert answer_to(director, question, "oversize") == error6(
        ICMPv6PacketTooBig(mtu=1500), question
    )


def test_the_way_to_a_server_may_take_less(director: Director) -> None:
    director.tcp("S")
    director.know_mac(2, mtu=1400)
    question = tcp("PA", f"{CLIENT}:1000", f"{VIP}:80", bytes(1361))
    assert answer_to(director, question, "oversize") == error4(3, 4, question, mtu=1400)
    fits = tcp("PA", f"{CLIENT}:1000", f"{VIP}:80", bytes(1360))
    assert director.forward(fits).verdict == "forwarded"
    assert gso_verdict(director, 1361) == "oversize"
    assert gso_verdict(director, 1360) == "forwarded"


def test_a_way_takes_no_more_than_the_interface(director: Director) -> None:
    director.tcp("S")
    director.know_mac(2, mtu=9000)
    question = tcp("PA", f"{CLIENT}:1000", f"{VIP}:80", bytes(1461))
    assert answer_to(director, question, "oversize") == error4(3, 4, question, mtu=1500)


def test_what_is_too_big_and_may_be_fragmented_is_dropped(director: Director) -> None:
    """The kernel would fragment it."""
    segment = udp(f"{CLIENT}:1000", f"{VIP}:82", bytes(1500))[34:]
    director.add_service(service(f"{VIP}:82", protocol="udp"), 1)
    silence_on(director, ipv4(17, CLIENT, VIP, segment, fragment=0), "oversize")


def gso_verdict(director: Director, gso_size: int) -> str:
    frame = tcp("PA", f"{CLIENT}:1000", f"{VIP}:80", bytes(8000))
    decision = director.engine.forward(frame, now_ns=director.now_ns, gso_size=gso_size)
    return decision.verdict


def test_joined_segments_pass_when_each_of_them_fits(director: Director) -> None:
    director.tcp("S")
    assert gso_verdict(director, 1460) == "forwarded"
    assert gso_verdict(director, 1481) == "oversize"


def test_joined_segments_that_do_not_fit_one_by_one_are_too_big(director: Director) -> None:
    director.tcp("S")
    assert gso_verdict(director, 1461) == "oversize"


@pytest.mark.parametrize("ttl", [0, 1])
def test_the_time_to_live_may_end_here(director: Director, ttl: int) -> None:
    director.tune(decrement_ttl=1)
    question = tcp("S", f"{CLIENT}:1000", f"{VIP}:80", ttl=ttl)
    assert answer_to(director, question, "ttl_exceeded") == error4(11, 0, question)
    assert director.connection().state == "SYN_RECV"
    question = tcp("S", SOURCE6, TARGET6, ttl=ttl)
    assert answer_to(director, question, "ttl_exceeded") == error6(ICMPv6TimeExceeded(), question)


def test_no_error_is_sent_about_an_error(director: Director) -> None:
    director.tcp("S")
    director.tune(decrement_ttl=1)
    message = error(3, 3, quoted())[34:]
    silence_on(director, ipv4(1, "10.5.0.1", VIP, message, ttl=1), "ttl_exceeded")


def test_no_error_is_sent_about_a_later_fragment(director: Director) -> None:
    dns = service(f"{VIP}:53", protocol="udp")
    director.add_service(dns, 1)
    ends = f"{CLIENT}:1000", f"{VIP}:53"
    assert director.send(fragment(*ends, offset=0)) == 1
    director.tune(decrement_ttl=1)
    late = ipv4(17, CLIENT, VIP, bytes(16), fragment=2, ttl=1)
    assert director.forward(late).verdict == "ttl_exceeded"
    assert not director.forward(late).sent


# ---- How often ----


def refused(director: Director, clients: int, times: int = 1) -> int:
    frames = [tcp("S", f"10.1.{n >> 8}.{n & 255}:1000", f"{VIP}:82") for n in range(1, clients + 1)]
    decisions = [director.forward(frame) for frame in frames for _ in range(times)]
    assert {decision.verdict for decision in decisions} == {"no_server"}
    return sum(decision.sent for decision in decisions)


def test_a_client_gets_six_errors_at_once_and_then_one_a_second(director: Director) -> None:
    assert refused(director, 1, times=20) == 6
    director.wait(0.5)
    assert refused(director, 1, times=20) == 0
    director.wait(0.5)
    assert refused(director, 1, times=20) == 1
    director.wait(3)
    assert refused(director, 1, times=20) == 3
    director.wait(3600)
    assert refused(director, 1, times=20) == 6


def test_all_clients_together_get_fifty_at_once(director: Director) -> None:
    assert refused(director, 200) == 50
    director.wait(0.010)
    assert refused(director, 200) == 10
    director.wait(1)
    assert refused(director, 200) == 50


@pytest.mark.parametrize(("ratelimit_ms", "after_1_s"), [(100, 6), (500, 2), (2000, 0)])
def test_the_limit_may_be_set(director: Director, ratelimit_ms: int, after_1_s: int) -> None:
    director.tune(icmp_ratelimit=ratelimit_ms)
    assert refused(director, 1, times=20) == 6
    director.wait(1)
    assert refused(director, 1, times=20) == after_1_s


def test_without_a_limit_everybody_is_told(director: Director) -> None:
    director.tune(icmp_ratelimit=0)
    assert refused(director, 100, times=3) == 300


def test_a_lower_limit_caps_what_was_saved(director: Director) -> None:
    director.tune(icmp_ratelimit=1000)
    assert refused(director, 1) == 1
    director.wait(10)
    director.tune(icmp_ratelimit=10)
    assert refused(director, 1, times=40) == 6


def test_what_is_too_big_is_always_told(director: Director) -> None:
    """Or path MTU discovery would stall: the kernel has no limit there either."""
    director.tcp("S")
    question = tcp("PA", f"{CLIENT}:1000", f"{VIP}:80", bytes(1461))
    assert refused(director, 200) == 50
    assert all(director.forward(question).sent for _ in range(100))


def test_pings_are_not_limited(director: Director) -> None:
    question = bytes(ping() / ICMP(id=1))
    assert all(director.forward(question).sent for _ in range(200))


def test_scapy_reads_an_error_as_one(director: Director) -> None:
    question = tcp("S", f"{CLIENT}:1000", f"{VIP}:82")
    answer = Ether(answer_to(director, question, "no_server"))
    assert (answer[IP].src, answer[IP].dst, answer[ICMP].type) == (VIP, CLIENT, 3)
    assert (answer[IPerror].src, answer[IPerror].dst) == (CLIENT, VIP)
    assert UDP not in answer
