"""Frames as data: a sentence, the frame, its verdict, and where it goes; built with scapy.

All meet the same director (``furnish``), which listens on the VIP with TCP port 80 and UDP port
53, and has one connection already.
"""

from __future__ import annotations

from dataclasses import dataclass

from director import CLIENT, CLIENT_MAC, OTHER_MAC, VIP, VIRTUAL_MAC, Director, server_mac, service
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, LLC, Dot1AD, Dot1Q, Dot3, Ether
from scapy.packet import Packet, Raw

WEB = service()
DNS = service(f"{VIP}:53", protocol="udp", scheduler="wlc")
QUIET = service(f"{VIP}:81")
EMPTY = service(f"{VIP}:82")
SILENT = service(f"{VIP}:83")
WEB_SERVER = server_mac("10.9.0.12")
DNS_SERVER = server_mac("10.9.0.11")
BROADCAST = "ff:ff:ff:ff:ff:ff"
NOBODY = "00:00:00:00:00:00"


def furnish(director: Director) -> None:
    """Two web servers, one for DNS; on port 81 a quiet one, on 82 none, on 83 one unresolved."""
    director.add_service(WEB, 1, 1)
    director.add_service(DNS, 1)
    director.add_service(QUIET, 0)
    director.add_service(EMPTY)
    director.add_service(SILENT, 0, 0, 1)
    director.know_mac(3, known=False)
    assert director.tcp("S", f"{CLIENT}:7777") == 2
    director.tcp("S", f"{CLIENT}:7778")


@dataclass(frozen=True)
class Case:
    """What a frame is, and what becomes of it."""

    sentence: str
    frame: bytes
    verdict: str
    to: bytes | None = None
    """The new destination MAC address; None when the frame must stay as it came."""
    length: int | None = None
    """On the wire, where that is more than the bytes at hand."""
    gso_size: int = 0
    tagged: bool = False


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
    _case("a question for the VIP", _arp(), "answered"),
    _case("a probe for the VIP", _arp(psrc="0.0.0.0"), "answered"),
    _case("a question for somebody else", _arp(pdst="10.9.0.12"), "arp_other"),
    _case("an answer to us", _arp(op=2, hwdst=_mac(VIRTUAL_MAC)), "arp_other"),
    _case("ARP for IPv6-sized addresses", _arp(plen=16), "arp_other"),
    _case("somebody announces the VIP", _arp(op=2, psrc=VIP), "arp_conflict"),
    _case("somebody asks from the VIP", _arp(psrc=VIP, pdst="10.9.0.1"), "arp_conflict"),
    _case("ARP cut off", bytes(_arp())[:41], "malformed"),
    _case(
        "ARP to another station",
        _ether(OTHER_MAC) / ARP(pdst=VIP, psrc="10.9.0.1", hwsrc=_mac(CLIENT_MAC)),
        "not_for_us",
    ),
    # ---- Not ours ----
    _case("to another station", _ether(OTHER_MAC) / _ip() / _syn(), "not_for_us"),
    _case("broadcast", Ether(dst=BROADCAST, src=_mac(CLIENT_MAC)) / _ip() / _syn(), "not_for_us"),
    _case(
        "multicast IPv6 neighbour discovery",
        Ether(dst="33:33:ff:00:00:64", src=_mac(CLIENT_MAC)) / IPv6(src="fe80::1", dst="ff02::1"),
        "not_for_us",
    ),
    _case("our own frame comes back", _ether(source=VIRTUAL_MAC) / _ip() / _syn(), "own_frame"),
    _case("the slot was too short", bytes(_web())[:60], "truncated", length=74),
    _case("longer than the MTU", _of_length(1515), "oversize"),
    _case("802.1Q", _ether() / Dot1Q(vlan=7) / _ip() / _syn(), "wrong_vlan"),
    _case("802.1ad", _ether() / Dot1AD(vlan=7) / _ip() / _syn(), "wrong_vlan"),
    _case("802.1Q, taken out by the kernel", _web(), "wrong_vlan", tagged=True),
    _case("IPv6", _ether() / IPv6(src="fd00::1", dst="fd00::2") / _syn(), "not_ip"),
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
    _case("a TCP data offset of 16 bytes", _web(dataofs=4), "malformed"),
    _case("a TCP data offset beyond the packet", _web(dataofs=15), "malformed"),
    _case("a wrong IP checksum", _ether() / _ip(chksum=0xDEAD) / _syn(), "bad_checksum"),
    _case("from loopback", _ether() / _ip(src="127.0.0.1") / _syn(), "martian"),
    _case("from nowhere", _ether() / _ip(src="0.0.0.0") / _syn(), "martian"),
    _case("from a multicast group", _ether() / _ip(src="224.0.0.81") / _syn(), "martian"),
    _case("from everybody", _ether() / _ip(src="255.255.255.255") / _syn(), "martian"),
    # ---- Not (yet) for the likes of us ----
    _case("a first fragment", _ether() / _ip(flags="MF") / _syn(), "fragment"),
    _case("a later fragment", _ether() / _ip(flags=0, frag=185, proto=6) / b"more", "fragment"),
    _case("an echo request", _ether() / _ip() / ICMP(), "other_protocol"),
    _case("SCTP", _ether() / _ip(proto=132) / bytes(12), "other_protocol"),
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
    _case("all servers have weight 0", _web(dport=81), "no_server"),
    _case("a service without servers", _web(dport=82), "no_server"),
    _case("the server's MAC is not known", _web(dport=83), "no_mac"),
)
