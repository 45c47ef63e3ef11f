"""Frames as data: a sentence, the frame, its verdict, and where it goes; built with scapy.

All meet the same director (``furnish``), which listens on two VIPs, IPv4 and IPv6, with TCP port
80, UDP port 53 and SCTP port 80, and has a few connections already.
"""

from __future__ import annotations

from dataclasses import dataclass

from director import (
    CLIENT,
    CLIENT6,
    CLIENT_MAC,
    OTHER_MAC,
    VIP,
    VIP6,
    VIRTUAL_MAC,
    Director,
    server_mac,
    service,
)
from scapy.layers.inet import (
    ICMP,
    IP,
    TCP,
    UDP,
    ICMPerror,
    IPerror,
    IPOption_LSRR,
    IPOption_NOP,
    IPOption_Router_Alert,
    IPOption_SSRR,
)
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RS,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.l2 import ARP, LLC, Dot1AD, Dot1Q, Dot3, Ether
from scapy.layers.sctp import (
    SCTP,
    SCTPChunkAbort,
    SCTPChunkCookieEcho,
    SCTPChunkData,
    SCTPChunkInit,
    SCTPChunkShutdown,
)
from scapy.packet import Packet, Raw

from dr_forwarder.vlan import UNTAGGED, Vlan

WEB = service()
DNS = service(f"{VIP}:53", protocol="udp", scheduler="wlc")
QUIET = service(f"{VIP}:81")
EMPTY = service(f"{VIP}:82")
SILENT = service(f"{VIP}:83")
SCTP_WEB = service(protocol="sctp", scheduler="lc")
WEB6 = service(f"[{VIP6}]:80")
DNS6 = service(f"[{VIP6}]:53", protocol="udp")
SCTP6 = service(f"[{VIP6}]:80", protocol="sctp")
QUIET6 = service(f"[{VIP6}]:81")
WEB_SERVER = server_mac("10.9.0.12")
DNS_SERVER = server_mac("10.9.0.11")
WEB_SERVER6 = server_mac("fd00:9::c")
DNS_SERVER6 = server_mac("fd00:9::b")
PEER_MAC = bytes.fromhex("02000000003e")
GROUP_MAC = "33:33:ff:00:01:00"
"""Of the solicited-node group of VIP6."""
GROUP = "ff02::1:ff00:100"
BROADCAST = "ff:ff:ff:ff:ff:ff"
NOBODY = "00:00:00:00:00:00"


def furnish(director: Director) -> None:
    """Two web servers, one for DNS; on port 81 a quiet one, on 82 none, on 83 one unresolved."""
    director.add_service(WEB, 1, 1)
    director.add_service(DNS, 1)
    director.add_service(SCTP_WEB, 1)
    director.add_service(QUIET, 0)
    director.add_service(EMPTY)
    director.add_service(SILENT, 0, 0, 1)
    director.add_service(WEB6, 1, 1)
    director.add_service(DNS6, 1)
    director.add_service(SCTP6, 1)
    director.add_service(QUIET6, 0)
    director.know_mac(3, known=False)
    for client, vip in ((CLIENT, VIP), (f"[{CLIENT6}]", f"[{VIP6}]")):
        assert director.tcp("S", f"{client}:7777", f"{vip}:80") == 2
        director.tcp("S", f"{client}:7778", f"{vip}:80")
        assert director.udp(f"{client}:7777", f"{vip}:53") == 1
        assert director.sctp(b"\1", f"{client}:7777", f"{vip}:80") == 1


@dataclass(frozen=True)
class Case:
    """What a frame is, and what becomes of it."""

    sentence: str
    frame: bytes
    verdict: str
    to: bytes | None = None
    """The new destination MAC address of a frame that is sent on."""
    answered: bool = False
    """An answer is sent in its place; else, and without ``to``, it must stay as it came."""
    decrement_ttl: int = 0
    length: int | None = None
    """On the wire, where that is more than the bytes at hand."""
    gso_size: int = 0
    vlan: Vlan = UNTAGGED
    """The director's own."""


def _mac(raw: bytes) -> str:
    return raw.hex(":")


def _ether(to: bytes = VIRTUAL_MAC, source: bytes = CLIENT_MAC) -> Ether:
    return Ether(dst=_mac(to), src=_mac(source))


def _ip(**fields: object) -> IP:
    return IP(**{"src": CLIENT, "dst": VIP, "flags": "DF", **fields})


def _syn(**fields: object) -> TCP:
    options = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)), ("NOP", None), ("WScale", 7)]
    return TCP(**{"sport": 1000, "dport": 80, "flags": "S", "options": options, **fields})


def _web(flags: str = "S", **fields: object) -> Packet:
    return _ether() / _ip() / _syn(flags=flags, **fields)


def _query(**fields: object) -> UDP:
    return UDP(**{"sport": 1000, "dport": 53, **fields})


def _ip6(**fields: object) -> IPv6:
    return IPv6(**{"src": CLIENT6, "dst": VIP6, **fields})


def _web6(*headers: Packet, flags: str = "S", **fields: object) -> Packet:
    packet = _ether() / _ip6()
    for header in headers:
        packet /= header
    return packet / _syn(flags=flags, **fields)


def _padded(kind: type[Packet], length: int) -> Packet:
    return kind(options=[PadN(optdata=bytes(length))])


def _sctp(*chunks: Packet, sport: int = 1000) -> Packet:
    packet = SCTP(sport=sport, dport=80, tag=7)
    for chunk in chunks:
        packet /= chunk
    return packet


def _quote(transport: Packet, **fields: object) -> Packet:
    """The beginning of what the VIP sent to the client: all that an old router quotes."""
    whole = bytes(IP(**{"src": VIP, "dst": CLIENT, **fields}) / transport)
    return IPerror(whole[:20]) / Raw(whole[20:28])


def _answer_of(port: int = 80, client_port: int = 7777) -> TCP:
    return TCP(sport=port, dport=client_port, flags="A")


def _error(kind: int, code: int, quote: Packet, **fields: object) -> Packet:
    router = _ip(src="10.5.0.1", flags=0)
    return _ether() / router / ICMP(type=kind, code=code, **fields) / quote


def _error6(message: Packet, transport: Packet, **fields: object) -> Packet:
    quote = IPv6(**{"src": VIP6, "dst": CLIENT6, **fields}) / transport
    return _ether() / _ip6(src="fd00:5::1") / message / Raw(bytes(quote))


def _solicitation(
    target: str = VIP6,
    *,
    source: str = "fe80::1",
    to: str = GROUP_MAC,
    ip_to: str = GROUP,
    option: bool = True,
    **fields: object,
) -> Packet:
    question = Ether(dst=to, src=_mac(CLIENT_MAC)) / IPv6(src=source, dst=ip_to, hlim=255)
    question /= ICMPv6ND_NS(tgt=target, **fields)
    return question / ICMPv6NDOptSrcLLAddr(lladdr=_mac(CLIENT_MAC)) if option else question


def _of_length6(length: int) -> bytes:
    head = _web6(flags="PA", sport=7777, options=[])
    return bytes(head / Raw(bytes(length - len(head))))


def _arp(**fields: object) -> Packet:
    asked = {"hwsrc": _mac(CLIENT_MAC), "psrc": "10.9.0.1", "pdst": VIP, "hwdst": NOBODY, **fields}
    return Ether(dst=BROADCAST, src=_mac(CLIENT_MAC)) / ARP(**asked)


def _patched(packet: Packet, at: int, value: int) -> bytes:
    frame = bytearray(bytes(packet))
    frame[at] = value
    return bytes(frame)


def _of_length(length: int, **fields: object) -> bytes:
    head = _web("PA", sport=7777, options=[])
    return bytes(head / Raw(bytes(length - len(head))))


def _fragmentable(length: int) -> bytes:
    head = _ether() / _ip(flags=0) / _syn(flags="PA", sport=7777, options=[])
    return bytes(head / Raw(bytes(length - len(head))))


def _tagged(frame: Packet | bytes, *tags: Packet) -> bytes:
    """With the tags, the outer one first, before the ethertype."""
    raw = bytes(frame)
    types = (b"\x88\xa8" if isinstance(tag, Dot1AD) else b"\x81\x00" for tag in tags)
    stack = b"".join(kind + bytes(tag)[:2] for kind, tag in zip(types, tags, strict=True))
    return raw[:12] + stack + raw[12:]


def _case(sentence: str, frame: Packet | bytes, verdict: str, **rest: object) -> Case:
    return Case(sentence, bytes(frame), verdict, **rest)  # type: ignore[arg-type]


FRAMES: tuple[Case, ...] = (
    # ---- To a real server ----
    _case("a SYN begins a connection", _web(), "forwarded", to=WEB_SERVER),
    _case("so does a SYN with ACK", _web("SA"), "forwarded", to=WEB_SERVER),
    _case("so does a SYN with FIN", _web("SF"), "forwarded", to=WEB_SERVER),
    _case("so does a SYN with congestion bits", _web("SEC"), "forwarded", to=WEB_SERVER),
    _case("a known flow goes on", _web("A", sport=7777), "forwarded", to=WEB_SERVER),
    _case("a known flow is reset", _web("R", sport=7777), "forwarded", to=WEB_SERVER),
    _case(
        "data goes to the server of its flow",
        _web("PA", sport=7777, options=[]) / Raw(b"GET / HTTP/1.0\r\n\r\n"),
        "forwarded",
        to=WEB_SERVER,
    ),
    _case("a datagram", _ether() / _ip() / _query() / b"who?", "forwarded", to=DNS_SERVER),
    _case("an empty datagram", _ether() / _ip() / _query(), "forwarded", to=DNS_SERVER),
    _case("padding stays", bytes(_web(options=[])) + bytes(6), "forwarded", to=WEB_SERVER),
    _case(
        "IP options are stepped over",
        _ether() / _ip(options=[IPOption_Router_Alert()]) / _syn(),
        "forwarded",
        to=WEB_SERVER,
    ),
    _case("TTL 1 is left alone", _ether() / _ip(ttl=1) / _syn(), "forwarded", to=WEB_SERVER),
    _case("congestion marks stay", _ether() / _ip(tos=0xB9) / _syn(), "forwarded", to=WEB_SERVER),
    _case(
        "a wrong TCP checksum is the server's business",
        _web(chksum=0xDEAD),
        "forwarded",
        to=WEB_SERVER,
    ),
    _case(
        "without the do-not-fragment bit",
        _ether() / _ip(flags=0) / _syn(),
        "forwarded",
        to=WEB_SERVER,
    ),
    _case("as long as the MTU", _of_length(1514), "forwarded", to=WEB_SERVER),
    _case(
        "joined segments, longer than the MTU",
        _of_length(9014),
        "forwarded",
        to=WEB_SERVER,
        gso_size=1448,
    ),
    # ---- ARP ----
    _case("a question for the VIP", _arp(), "answered", answered=True),
    _case("a probe for the VIP", _arp(psrc="0.0.0.0"), "answered", answered=True),
    _case("a question for somebody else", _arp(pdst="10.9.0.12"), "arp_other"),
    _case("a question from a group", _arp(hwsrc="01:00:5e:00:00:01"), "arp_other"),
    _case("a question from nobody's MAC", _arp(hwsrc=NOBODY), "arp_other"),
    _case("an answer to us", _arp(op=2, hwdst=_mac(VIRTUAL_MAC)), "arp_other"),
    _case("ARP for IPv6-sized addresses", _arp(plen=16), "arp_other"),
    _case("somebody announces the VIP", _arp(op=2, psrc=VIP), "arp_conflict"),
    _case("somebody asks from the VIP", _arp(psrc=VIP, pdst="10.9.0.1"), "arp_conflict"),
    _case("ARP cut off", bytes(_arp())[:41], "malformed"),
    _case(
        "ARP to another station",
        _ether(OTHER_MAC) / ARP(pdst=VIP, psrc="10.9.0.1", hwsrc=_mac(CLIENT_MAC)),
        "arp_other",
    ),
    # ---- Not ours ----
    _case("to another station", _ether(OTHER_MAC) / _ip() / _syn(), "not_for_us"),
    _case("broadcast", Ether(dst=BROADCAST, src=_mac(CLIENT_MAC)) / _ip() / _syn(), "not_for_us"),
    _case(
        "IPv6 multicast",
        Ether(dst="33:33:00:00:00:01", src=_mac(CLIENT_MAC)) / _ip6(dst="ff02::1") / _syn(),
        "not_for_us",
    ),
    _case("our own frame comes back", _ether(source=VIRTUAL_MAC) / _ip() / _syn(), "own_frame"),
    _case("another director sent it on", _ether(source=PEER_MAC) / _ip() / _syn(), "from_peer"),
    _case("the slot was too short", bytes(_web())[:60], "truncated", length=74),
    _case("longer than the MTU", _of_length(1515), "oversize", answered=True),
    _case("and it may be fragmented", _fragmentable(1515), "oversize"),
    _case("IPv6, longer than the MTU", _of_length6(1515), "oversize", answered=True),
    # ---- VLANs ----
    _case("802.1Q", _tagged(_web(), Dot1Q(vlan=7)), "wrong_vlan"),
    _case("802.1ad", _tagged(_web(), Dot1AD(vlan=7)), "wrong_vlan"),
    _case(
        "a priority and no VLAN", _tagged(_web(), Dot1Q(vlan=0, prio=6)), "forwarded", to=WEB_SERVER
    ),
    _case(
        "the configured VLAN",
        _tagged(_web(), Dot1Q(vlan=7)),
        "forwarded",
        to=WEB_SERVER,
        vlan=Vlan((7,)),
    ),
    _case(
        "with priority and drop eligibility, which stay",
        _tagged(_web(), Dot1Q(vlan=7, prio=5, dei=1)),
        "forwarded",
        to=WEB_SERVER,
        vlan=Vlan((7,)),
    ),
    _case("another VLAN", _tagged(_web(), Dot1Q(vlan=8)), "wrong_vlan", vlan=Vlan((7,))),
    _case("no tag where one is configured", _web(), "wrong_vlan", vlan=Vlan((7,))),
    _case(
        "a priority tag where a VLAN is configured",
        _tagged(_web(), Dot1Q(vlan=0, prio=6)),
        "wrong_vlan",
        vlan=Vlan((7,)),
    ),
    _case(
        "QinQ",
        _tagged(_web(), Dot1AD(vlan=200, prio=3), Dot1Q(vlan=7, prio=1)),
        "forwarded",
        to=WEB_SERVER,
        vlan=Vlan((200, 7)),
    ),
    _case(
        "QinQ with two 802.1Q tags",
        _tagged(_web6(), Dot1Q(vlan=200), Dot1Q(vlan=7)),
        "forwarded",
        to=WEB_SERVER6,
        vlan=Vlan((200, 7)),
    ),
    _case(
        "QinQ the other way round",
        _tagged(_web(), Dot1AD(vlan=7), Dot1Q(vlan=200)),
        "wrong_vlan",
        vlan=Vlan((200, 7)),
    ),
    _case(
        "the outer tag alone", _tagged(_web(), Dot1AD(vlan=200)), "wrong_vlan", vlan=Vlan((200, 7))
    ),
    _case(
        "a tag more",
        _tagged(_web(), Dot1AD(vlan=200), Dot1Q(vlan=7), Dot1Q(vlan=7)),
        "wrong_vlan",
        vlan=Vlan((200, 7)),
    ),
    _case("a tag cut off", bytes(_tagged(_web(), Dot1Q(vlan=0, prio=6)))[:17], "malformed"),
    _case(
        "an inner tag cut off",
        _tagged(_web(), Dot1AD(vlan=7), Dot1Q(vlan=0))[:21],
        "malformed",
        vlan=Vlan((7,)),
    ),
    _case(
        "IP cut off behind a tag",
        _tagged(_web(), Dot1Q(vlan=7))[:37],
        "malformed",
        vlan=Vlan((7,)),
    ),
    _case(
        "as long as the MTU, and a tag",
        _tagged(_of_length(1514), Dot1Q(vlan=7)),
        "forwarded",
        to=WEB_SERVER,
        vlan=Vlan((7,)),
    ),
    _case(
        "longer than the MTU, and a tag",
        _tagged(_of_length(1515), Dot1Q(vlan=7)),
        "oversize",
        answered=True,
        vlan=Vlan((7,)),
    ),
    _case(
        "a question for the VIP in the VLAN",
        _tagged(_arp(), Dot1Q(vlan=7, prio=6)),
        "answered",
        answered=True,
        vlan=Vlan((7,)),
    ),
    _case("one in another VLAN", _tagged(_arp(), Dot1Q(vlan=8)), "wrong_vlan", vlan=Vlan((7,))),
    _case(
        "a solicitation for the VIP in the VLAN",
        _tagged(_solicitation(), Dot1AD(vlan=200), Dot1Q(vlan=7)),
        "answered",
        answered=True,
        vlan=Vlan((200, 7)),
    ),
    _case(
        "a ping in the VLAN",
        _tagged(_ether() / _ip() / ICMP(id=1) / b"ping", Dot1Q(vlan=7)),
        "echo_answered",
        answered=True,
        vlan=Vlan((7,)),
    ),
    _case(
        "an ICMP error in the VLAN",
        _tagged(_error(3, 3, _quote(_answer_of())), Dot1Q(vlan=7)),
        "icmp_forwarded",
        to=WEB_SERVER,
        vlan=Vlan((7,)),
    ),
    _case(
        "no server in the VLAN",
        _tagged(_web(dport=82), Dot1Q(vlan=7, prio=2)),
        "no_server",
        answered=True,
        vlan=Vlan((7,)),
    ),
    _case(
        "a fragment in the VLAN",
        _tagged(_ether() / _ip(flags=0, frag=185, proto=17) / b"more", Dot1Q(vlan=7)),
        "fragment_held",
        vlan=Vlan((7,)),
    ),
    # ---- Other kinds ----
    _case("LLDP to us", bytes(_ether())[:12] + b"\x88\xcc" + bytes(46), "not_ip"),
    _case(
        "802.3 with LLC",
        Dot3(bytes(_ether())[:12] + b"\x00\x2b") / LLC() / Raw(bytes(40)),
        "not_ip",
    ),
    # ---- Broken ----
    _case("nothing at all", b"", "malformed"),
    _case("an Ethernet header cut off", bytes(_web())[:13], "malformed"),
    _case("an IP header cut off", bytes(_web())[:33], "malformed"),
    _case("a TCP header cut off", _ether() / _ip(proto=6) / Raw(bytes(19)), "malformed"),
    _case("a UDP header cut off", _ether() / _ip(proto=17) / Raw(bytes(7)), "malformed"),
    _case("IP version 5", _patched(_web(), 14, 0x55), "malformed"),
    _case("an IP header of 16 bytes", _patched(_web(), 14, 0x44), "malformed"),
    _case("a total length beyond the frame", _ether() / _ip(len=1400) / _syn(), "malformed"),
    _case("a total length below the header", _ether() / _ip(len=19) / _syn(), "malformed"),
    _case("TCP options are the server's business", _web(dataofs=4), "forwarded", to=WEB_SERVER),
    _case("wherever they end", _web(dataofs=15), "forwarded", to=WEB_SERVER),
    _case("a wrong IP checksum", _ether() / _ip(chksum=0xDEAD) / _syn(), "bad_checksum"),
    _case("from loopback", _ether() / _ip(src="127.0.0.1") / _syn(), "martian"),
    _case("from nowhere", _ether() / _ip(src="0.0.0.0") / _syn(), "martian"),
    _case("from a multicast group", _ether() / _ip(src="224.0.0.81") / _syn(), "martian"),
    _case("from the VIP itself", _ether() / _ip(src=VIP) / _syn(), "martian"),
    _case(
        "with a loose source route",
        _ether() / _ip(options=[IPOption_LSRR(routers=["10.9.0.1"])]) / _syn(),
        "source_routed",
    ),
    _case(
        "with a strict source route behind another option",
        _ether() / _ip(options=[IPOption_NOP(), IPOption_SSRR(routers=["10.9.0.1"])]) / _syn(),
        "source_routed",
    ),
    _case("from everybody", _ether() / _ip(src="255.255.255.255") / _syn(), "martian"),
    # ---- IPv6 ----
    _case("IPv6", _web6(), "forwarded", to=WEB_SERVER6),
    _case("IPv6, a known flow", _web6(flags="PA", sport=7777), "forwarded", to=WEB_SERVER6),
    _case("IPv6, a datagram", _ether() / _ip6() / _query() / b"who?", "forwarded", to=DNS_SERVER6),
    _case("IPv6, traffic class", _ether() / _ip6(tc=0xB9) / _syn(), "forwarded", to=WEB_SERVER6),
    _case("IPv6, as long as the MTU", _of_length6(1514), "forwarded", to=WEB_SERVER6),
    _case(
        "behind hop-by-hop options",
        _web6(_padded(IPv6ExtHdrHopByHop, 12)),
        "forwarded",
        to=WEB_SERVER6,
    ),
    _case(
        "behind destination options",
        _web6(_padded(IPv6ExtHdrDestOpt, 20)),
        "forwarded",
        to=WEB_SERVER6,
    ),
    _case(
        "behind a routing header",
        _web6(IPv6ExtHdrRouting(addresses=["fd00::5"], segleft=0)),
        "forwarded",
        to=WEB_SERVER6,
    ),
    _case(
        "behind a fragment header that parts nothing",
        _web6(IPv6ExtHdrFragment(id=9)),
        "forwarded",
        to=WEB_SERVER6,
    ),
    _case(
        "behind all of them",
        _web6(
            _padded(IPv6ExtHdrHopByHop, 4),
            _padded(IPv6ExtHdrDestOpt, 4),
            IPv6ExtHdrRouting(),
            IPv6ExtHdrFragment(id=9),
            _padded(IPv6ExtHdrDestOpt, 4),
        ),
        "forwarded",
        to=WEB_SERVER6,
    ),
    _case(
        "nine extension headers",
        _web6(*[_padded(IPv6ExtHdrDestOpt, 4) for _ in range(9)]),
        "malformed",
    ),
    _case("IPv6 and nothing behind it", _ether() / _ip6(nh=59), "other_protocol"),
    _case(
        "behind an authentication header",
        _ether() / _ip6(nh=51) / Raw(bytes((6, 4)) + bytes(22)) / _syn(),
        "forwarded",
        to=WEB_SERVER6,
    ),
    _case(
        "an authentication header cut off",
        _ether() / _ip6(nh=51) / Raw(bytes((6, 4)) + bytes(20)),
        "malformed",
    ),
    _case("IPv6 behind ESP", _ether() / _ip6(nh=50) / Raw(bytes(32)), "other_protocol"),
    _case("version 4 with the type of IPv6", _patched(_web6(), 14, 0x45), "malformed"),
    _case("an IPv6 header cut off", bytes(_web6())[:53], "malformed"),
    _case("a payload length beyond the frame", _ether() / _ip6(plen=99) / _syn(), "malformed"),
    _case("a payload length of 0", _ether() / _ip6(plen=0) / _syn(), "malformed"),
    _case("from the IPv6 loopback", _ether() / _ip6(src="::1") / _syn(), "martian"),
    _case("from no IPv6 address", _ether() / _ip6(src="::") / _syn(), "martian"),
    _case("from an IPv6 group", _ether() / _ip6(src="ff02::1") / _syn(), "martian"),
    _case("not an IPv6 VIP", _ether() / _ip6(dst="fd00:9::99") / _syn(), "not_a_vip"),
    _case("no IPv6 service on that port", _web6(dport=8080), "no_service"),
    _case("an ACK of no IPv6 connection", _web6(flags="A"), "no_connection"),
    _case("IPv6, all servers have weight 0", _web6(dport=81), "no_server", answered=True),
    # ---- SCTP ----
    _case(
        "an SCTP association begins",
        _ether() / _ip() / _sctp(SCTPChunkInit(init_tag=1)),
        "forwarded",
        to=DNS_SERVER,
    ),
    _case(
        "and goes on",
        _ether() / _ip() / _sctp(SCTPChunkCookieEcho(cookie=b"abcde"), sport=7777),
        "forwarded",
        to=DNS_SERVER,
    ),
    _case(
        "SCTP over IPv6",
        _ether() / _ip6() / _sctp(SCTPChunkData(data=b"data"), sport=7777),
        "forwarded",
        to=DNS_SERVER6,
    ),
    _case(
        "an SCTP chunk of no association",
        _ether() / _ip() / _sctp(SCTPChunkShutdown()),
        "no_connection",
    ),
    _case(
        "an SCTP abort of no association",
        _ether() / _ip() / _sctp(SCTPChunkAbort()),
        "no_connection",
    ),
    _case("SCTP without a chunk", _ether() / _ip() / _sctp(), "malformed"),
    _case("an SCTP header cut off", _ether() / _ip(proto=132) / Raw(bytes(11)), "malformed"),
    # ---- Fragments ----
    _case(
        "a first fragment",
        _ether() / _ip(flags="MF") / _query() / Raw(bytes(16)),
        "forwarded",
        to=DNS_SERVER,
    ),
    _case(
        "a first fragment that ends within the TCP options",
        _ether() / _ip(flags="MF", proto=6) / Raw(bytes(_syn())[:32]),
        "forwarded",
        to=WEB_SERVER,
    ),
    _case("and one in the ports", _ether() / _ip(flags="MF", proto=17) / Raw(b"1"), "malformed"),
    _case(
        "a later fragment that came too early",
        _ether() / _ip(flags=0, frag=185, proto=17) / b"more",
        "fragment_held",
    ),
    _case(
        "a later fragment for somebody else",
        _ether() / _ip(flags=0, frag=185, proto=17, dst="10.9.0.99") / b"more",
        "not_a_vip",
    ),
    _case(
        "an IPv6 first fragment",
        _ether() / _ip6() / IPv6ExtHdrFragment(id=5, m=1) / _query() / Raw(bytes(16)),
        "forwarded",
        to=DNS_SERVER6,
    ),
    _case(
        "an IPv6 later fragment that came too early",
        _ether() / _ip6() / IPv6ExtHdrFragment(id=5, offset=3, nh=17) / Raw(bytes(8)),
        "fragment_held",
    ),
    # ---- ICMP ----
    _case("a ping", _ether() / _ip() / ICMP(id=1, seq=2) / b"ping", "echo_answered", answered=True),
    _case(
        "a ping with IP options",
        _ether() / _ip(options=[IPOption_Router_Alert()]) / ICMP(id=1),
        "echo_answered",
        answered=True,
    ),
    _case(
        "a ping with a wrong checksum", _ether() / _ip() / ICMP(id=1, chksum=7) / b"x", "icmp_other"
    ),
    _case("a ping of somebody else", _ether() / _ip(dst="10.9.0.99") / ICMP(), "not_a_vip"),
    _case("a fragment of a ping", _ether() / _ip(flags="MF") / ICMP() / bytes(16), "icmp_other"),
    _case("an answer to a ping", _ether() / _ip() / ICMP(type=0), "icmp_other"),
    _case("the time is asked for", _ether() / _ip() / ICMP(type=13), "icmp_other"),
    _case("an ICMP message cut off", _ether() / _ip(proto=1) / Raw(bytes(7)), "malformed"),
    _case("ICMP with the number of ICMPv6", _ether() / _ip(proto=58) / bytes(8), "other_protocol"),
    _case("port unreachable", _error(3, 3, _quote(_answer_of())), "icmp_forwarded", to=WEB_SERVER),
    _case(
        "too big",
        _error(3, 4, _quote(_answer_of()), nexthopmtu=1400),
        "icmp_forwarded",
        to=WEB_SERVER,
    ),
    _case("source quench", _error(4, 0, _quote(_answer_of())), "icmp_forwarded", to=WEB_SERVER),
    _case("time exceeded", _error(11, 0, _quote(_answer_of())), "icmp_forwarded", to=WEB_SERVER),
    _case(
        "about a datagram",
        _error(3, 3, _quote(UDP(sport=53, dport=7777))),
        "icmp_forwarded",
        to=DNS_SERVER,
    ),
    _case(
        "about SCTP",
        _error(3, 3, _quote(SCTP(sport=80, dport=7777))),
        "icmp_forwarded",
        to=DNS_SERVER,
    ),
    _case("about no connection", _error(3, 3, _quote(_answer_of(80, 9))), "no_connection"),
    _case("a redirect", _error(5, 0, _quote(_answer_of())), "icmp_other"),
    _case("a parameter problem", _error(12, 0, _quote(_answer_of())), "icmp_other"),
    _case("an error with a wrong sum", _error(3, 3, _quote(_answer_of()), chksum=1), "icmp_other"),
    _case("an error that quotes nothing", _error(3, 3, Raw(b"")), "icmp_other"),
    _case(
        "an error about a later fragment, whose bytes are read as ports as the kernel reads them",
        _error(3, 3, _quote(_answer_of(), frag=9)),
        "icmp_forwarded",
        to=WEB_SERVER,
    ),
    _case("an error about an error", _error(3, 3, _quote(ICMPerror())), "icmp_other"),
    # ---- ICMPv6 ----
    _case("an IPv6 ping", _ether() / _ip6() / ICMPv6EchoRequest(), "echo_answered", answered=True),
    _case(
        "an IPv6 ping behind options",
        _ether() / _ip6() / _padded(IPv6ExtHdrDestOpt, 4) / ICMPv6EchoRequest(data=b"pong"),
        "echo_answered",
        answered=True,
    ),
    _case(
        "an IPv6 ping with a wrong checksum",
        _ether() / _ip6() / ICMPv6EchoRequest(cksum=7),
        "icmp_other",
    ),
    _case(
        "IPv6, too big",
        _error6(ICMPv6PacketTooBig(mtu=1400), _answer_of()),
        "icmp_forwarded",
        to=WEB_SERVER6,
    ),
    _case(
        "IPv6, unreachable",
        _error6(ICMPv6DestUnreach(), UDP(sport=53, dport=7777)),
        "icmp_forwarded",
        to=DNS_SERVER6,
    ),
    _case(
        "IPv6, time exceeded, about a packet with options",
        _error6(ICMPv6TimeExceeded(), _padded(IPv6ExtHdrDestOpt, 4) / _answer_of()),
        "icmp_forwarded",
        to=WEB_SERVER6,
    ),
    _case(
        "IPv6, about no connection", _error6(ICMPv6DestUnreach(), _answer_of(1, 2)), "no_connection"
    ),
    _case(
        "IPv6, a parameter problem",
        _error6(ICMPv6ParamProblem(), _answer_of()),
        "icmp_forwarded",
        to=WEB_SERVER6,
    ),
    _case(
        "IPv6, an error that nobody knows yet",
        _error6(ICMPv6DestUnreach(type=100), _answer_of()),
        "icmp_forwarded",
        to=WEB_SERVER6,
    ),
    _case(
        "IPv6, the sum of an error is the server's business",
        _error6(ICMPv6DestUnreach(cksum=1), _answer_of()),
        "icmp_forwarded",
        to=WEB_SERVER6,
    ),
    _case("a router is asked for", _ether() / _ip6() / ICMPv6ND_RS(), "icmp_other"),
    _case("a solicitation for the VIP", _solicitation(), "answered", answered=True),
    _case(
        "one to us alone",
        _solicitation(to=_mac(VIRTUAL_MAC)),
        "answered",
        answered=True,
    ),
    _case("one without an option", _solicitation(option=False), "answered", answered=True),
    _case(
        "one that tries the address out",
        _solicitation(source="::", option=False),
        "answered",
        answered=True,
    ),
    _case("nobody tells its MAC address", _solicitation(source="::"), "icmp_other"),
    _case("nobody asks one", _solicitation(source="::", ip_to=VIP6, option=False), "icmp_other"),
    _case(
        "a solicitation with an empty option",
        _solicitation(option=False) / Raw(bytes.fromhex("0e00000000000000")),
        "icmp_other",
    ),
    _case("a solicitation for somebody else", _solicitation("fd00:9::99"), "icmp_other"),
    _case(
        "a solicitation from afar",
        _ether() / _ip6(hlim=254) / ICMPv6ND_NS(tgt=VIP6),
        "icmp_other",
    ),
    _case("a solicitation with a code", _solicitation(code=1), "icmp_other"),
    _case("a solicitation with a wrong sum", _solicitation(cksum=1), "icmp_other"),
    _case("an advertisement", _ether() / _ip6(hlim=255) / ICMPv6ND_NA(tgt=VIP6), "icmp_other"),
    # ---- Time to live ----
    _case(
        "the time to live ends here",
        _ether() / _ip(ttl=1) / _syn(),
        "ttl_exceeded",
        answered=True,
        decrement_ttl=1,
    ),
    _case(
        "the hop limit ends here",
        _ether() / _ip6(hlim=1) / _syn(),
        "ttl_exceeded",
        answered=True,
        decrement_ttl=1,
    ),
    _case(
        "that of an error ends here",
        _ether() / _ip(ttl=1) / ICMP(type=3) / _quote(_answer_of()),
        "ttl_exceeded",
        decrement_ttl=1,
    ),
    # ---- Nowhere to go ----
    _case("not a VIP", _ether() / _ip(dst="10.9.0.99") / _syn(), "not_a_vip"),
    _case("no service on that port", _web(dport=8080), "no_service"),
    _case("no service of that protocol", _ether() / _ip() / _query(dport=80), "no_service"),
    _case("an ACK of no connection", _web("A"), "no_connection"),
    _case("a FIN of no connection", _web("FA"), "no_connection"),
    _case("a RST of no connection", _web("R"), "no_connection"),
    _case("SYN and RST begin nothing", _web("SR"), "no_connection"),
    _case("no flags at all", _web(""), "no_connection"),
    _case("from the FTP data port", _web(sport=20), "no_connection"),
    _case("all servers have weight 0", _web(dport=81), "no_server", answered=True),
    _case("a service without servers", _web(dport=82), "no_server", answered=True),
    _case("the server's MAC is not known", _web(dport=83), "no_mac"),
)
