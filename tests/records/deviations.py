"""Where the director differs from kernel IPVS on purpose: every rule with its reason.

A rule speaks of what happened, never of a recording by name. What no rule allows must match.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .datagrams import joined
from .wire import (
    DIRECTOR_ADDRESS,
    DIRECTOR_MAC,
    ETHERNET,
    EXTENSIONS,
    ICMP,
    ICMPV6,
    IPV4,
    IPV6,
    Outcome,
    checksum,
    ip_end,
    ip_header,
    outcome_of,
    place,
)

TIMER_S = 2
"""Remaining times of the recordings are good to this (their README)."""


@dataclass(frozen=True, slots=True)
class Case:
    """One frame: what the recording says, what the core did."""

    expected: str
    got: Outcome
    frame: bytes
    ended: bool = False
    """Of a connection that expire_nodest_conn ended when its server was removed."""
    lots: bool = False
    """To a service whose scheduler draws lots."""
    strict: bool = False
    """With a reverse path filter, and no route to the client."""


@dataclass(frozen=True, slots=True)
class OutcomeRule:
    """Another outcome than the recorded one is right when this says so."""

    reason: str
    allows: Callable[[Case], bool]


@dataclass(frozen=True, slots=True)
class Pieces:
    """A datagram in fragments: what was sent, what the kernel emitted, what the core did."""

    sent: tuple[bytes, ...]
    theirs: tuple[bytes, ...]
    ours: tuple[Outcome, ...]

    @property
    def emitted(self) -> tuple[bytes, ...]:
        """What the core sent on."""
        return tuple(frame for outcome in self.ours for frame in outcome.sent)


@dataclass(frozen=True, slots=True)
class PiecesRule:
    """Fragments that left otherwise than the kernel's are right when this says so."""

    reason: str
    allows: Callable[[Pieces], bool]


@dataclass(frozen=True, slots=True)
class FrameRule:
    """Both frames are compared after this."""

    reason: str
    normal: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class StepRule:
    """Steps that observe something the director does not have."""

    reason: str
    matches: Callable[[dict[str, Any]], bool]


# ---- Outcomes ----

_NOBODY = {"no_connection", "no_service", "not_a_vip", "server_removed"}


def _stack_resets(case: Case) -> bool:
    return case.expected.startswith("client gets tcp R") and case.got.verdict in _NOBODY


def _stack_refuses(case: Case) -> bool:
    refusals = (
        *("client gets icmp 3/3 ", "client gets icmp 3/2 "),
        *("client gets icmp6 1/4 ", "client gets icmp6 4/1 "),
    )
    return case.expected.startswith(refusals) and case.got.verdict in {*_NOBODY, "other_protocol"}


def _host_answers(case: Case) -> bool:
    return case.expected.endswith((f"arp-reply {DIRECTOR_ADDRESS}", f"from {DIRECTOR_ADDRESS}"))


def _stack_echoes(case: Case) -> bool:
    echoes = ("client gets icmp 0/", "client gets icmp6 129/")
    return case.expected.startswith(echoes) and case.got.verdict == "not_a_vip"


def _is_unreachable(case: Case) -> bool:
    return case.got.verdict == "no_mac" and case.expected.startswith("client gets ")


def _was_ended(case: Case) -> bool:
    return case.ended and case.got.verdict == "no_connection" and case.expected.startswith("rs")


def _draws_lots(case: Case) -> bool:
    return case.lots and case.expected.startswith("rs") and case.got.text.startswith("rs")


def _has_no_way_back(case: Case) -> bool:
    return case.strict and case.expected == "drop" and case.got.verdict == "forwarded"


def _would_be_cut(case: Case) -> bool:
    may_be_cut = case.frame[12:14] == IPV4 and not case.frame[20] & 0x40
    return case.expected.startswith("rs") and case.got.verdict == "oversize" and may_be_cut


def _is_over_long(case: Case) -> bool:
    return case.expected == "drop" and case.got.verdict == "oversize"


OUTCOMES = (
    OutcomeRule(
        "The VIP is kept away from the host's kernel, so nobody answers RST: the frame is dropped.",
        _stack_resets,
    ),
    OutcomeRule(
        "Where there is no service at all, the kernel's own stack answered port or protocol "
        "unreachable (IPv6: unknown next header); the director drops the frame.",
        _stack_refuses,
    ),
    OutcomeRule(
        "An address is a VIP, and answers echo, as long as it has a service; it is no address of "
        "the host besides.",
        _stack_echoes,
    ),
    OutcomeRule(
        "Its own address is the host's business, not the director's: ARP for it and packets to it "
        "never come here.",
        _host_answers,
    ),
    OutcomeRule(
        "A real server without a known MAC address on the LAN is refused at once: nothing waits "
        "for ARP, no gateway is asked, and no ICMP host unreachable follows.",
        _is_unreachable,
    ),
    OutcomeRule(
        "With expire_nodest_conn=1 the connections of a removed server end at once and for good. "
        "While the recording's clock stood still, the kernel's background pass did not come, and "
        "the RST of its own stack brought a connection back.",
        _was_ended,
    ),
    OutcomeRule(
        "The host's routes are not asked, so there is no reverse path filter.", _has_no_way_back
    ),
    OutcomeRule(
        "Nothing above Ethernet changes, so nothing is cut: a packet without DF that is longer "
        "than the way to its server takes is dropped, and counted as oversize.",
        _would_be_cut,
    ),
    OutcomeRule(
        "The lab's veth drops frames longer than its MTU and a VLAN tag before anybody sees them; "
        "what comes here is answered.",
        _is_over_long,
    ),
    OutcomeRule(
        "twos draws lots: which server it is, is chance; the counts must be alike.", _draws_lots
    ),
)


# ---- Datagrams in fragments ----


def _texts(frames: Iterable[bytes]) -> list[str]:
    return [outcome_of((frame,), "").text for frame in frames]


def _is_the_same_datagram(pieces: Pieces) -> bool:
    theirs = joined(pieces.theirs)
    return theirs is not None and theirs == joined(pieces.emitted)


def _never_was_whole(pieces: Pieces) -> bool:
    passed_on = all(place(frame).startswith("rs") for frame in pieces.emitted)
    return not pieces.theirs and joined(pieces.sent) is None and passed_on


def _asks_not_to_be_cut(pieces: Pieces) -> bool:
    return (
        all(frame[12:14] == IPV4 and frame[20] & 0x40 for frame in pieces.sent)
        and [text[:20] for text in _texts(pieces.theirs)] == ["client gets icmp 3/4"]
        and (
            joined(pieces.emitted) is not None
            or pieces.ours[0].text.startswith("client gets icmp 3/4 ")
        )
    )


def _are_too_big(pieces: Pieces) -> bool:
    """IPv6: both say so, once, with the same MTU."""
    said = [
        (outcome_of((frame,), "").text, frame[58:62]) for frame in (*pieces.theirs, *pieces.emitted)
    ]
    return (
        len(pieces.theirs) == len(pieces.emitted) == 1
        and said[0] == said[1]
        and said[0][0].startswith("client gets icmp6 2/0 ")
    )


def _is_refused_alike(pieces: Pieces) -> bool:
    """Both say the same, once."""
    theirs, ours = _texts(pieces.theirs), _texts(pieces.emitted)
    return len(theirs) == 1 and theirs == ours and theirs[0].startswith("client gets icmp")


def _stack_resets_all(pieces: Pieces) -> bool:
    """What the kernel did besides is what the director did."""
    others = [text for text in _texts(pieces.theirs) if not text.startswith("client gets tcp R")]
    nobodies = any(outcome.verdict in _NOBODY for outcome in pieces.ours)
    return nobodies and others == _texts(pieces.emitted)


def _is_too_long_a_piece(pieces: Pieces) -> bool:
    too_long = [
        frame
        for frame, outcome in zip(pieces.sent, pieces.ours, strict=True)
        if outcome.verdict == "oversize"
    ]
    may_be_cut = not any(frame[20] & 0x40 for frame in too_long)
    return bool(too_long) and may_be_cut and joined(pieces.theirs) is not None


DATAGRAMS = (
    PiecesRule(
        "Fragments are passed on as they come, in the sizes they came in and with their own ECN "
        "marks (of IPv6 also the one that is all of it, with its header), held back only until the "
        "first is there; put together, what reaches the server is the kernel's datagram.",
        _is_the_same_datagram,
    ),
    PiecesRule(
        "Nothing is collected: pieces of a datagram that never becomes whole, or overlap, reach "
        "the server, which judges them; the kernel of the director does not.",
        _never_was_whole,
    ),
    PiecesRule(
        "The kernel may not cut again what it put together if all pieces have DF, and answers "
        "fragmentation needed. Passed on as they are, pieces that fit are cut by nobody; of one "
        "that does not fit, the sender hears at once.",
        _asks_not_to_be_cut,
    ),
    PiecesRule(
        "An ICMP error quotes the fragment that it is about; the kernel's, what it put together.",
        _is_refused_alike,
    ),
    PiecesRule(
        "The VIP is kept away from the host's kernel, so nobody answers RST.", _stack_resets_all
    ),
    PiecesRule(
        "Packet too big quotes the fragment it is about; the kernel's, what it put together.",
        _are_too_big,
    ),
    PiecesRule(
        "Nothing above Ethernet changes, so a piece without DF that is longer than the way to its "
        "server takes is not cut again: it is dropped, and counted as oversize.",
        _is_too_long_a_piece,
    ),
)

PIECES_COUNTED = (
    "A datagram that never becomes whole is counted as far as it was passed on; the kernel counts "
    "datagrams, and only whole ones."
)


# ---- Frames ----


def _resummed(frame: bytes) -> bytes:
    """With the right IPv4 header checksum."""
    end = ETHERNET + ip_header(frame)
    header = frame[ETHERNET:24] + b"\0\0" + frame[26:end]
    return frame[:ETHERNET] + header[:10] + struct.pack("!H", checksum(header)) + frame[26:]


def _without_padding(frame: bytes) -> bytes:
    return frame[: ip_end(frame)]


def _without_echoed_options(frame: bytes) -> bytes:
    """An ICMP packet made here, without IP options."""
    end = ETHERNET + ip_header(frame)
    if not _is_made_here(frame) or frame[12:14] != IPV4 or end <= ETHERNET + 20:
        return frame
    length = struct.pack("!H", int.from_bytes(frame[16:18], "big") - (end - ETHERNET - 20))
    head = b"\x45" + frame[15:16] + length + frame[18 : ETHERNET + 20]
    return _resummed(frame[:ETHERNET] + head + frame[end:])


def _without_stamps(frame: bytes) -> bytes:
    """The values of record-route (7) and timestamp (68) options blanked."""
    if frame[12:14] != IPV4 or place(frame) == "cl":
        return frame
    out = bytearray(frame)
    at, end = ETHERNET + 20, ETHERNET + ip_header(frame)
    while at < end - 1 and out[at] != 0:
        length = 1 if out[at] == 1 else max(out[at + 1], 2)
        if out[at] in (7, 68):
            out[at + 2 : at + length] = bytes(length - 2)
        at += length
    return _resummed(bytes(out))


def _quoting_no_stamps(frame: bytes) -> bytes:
    """An ICMP error made here: what it quotes, without the values of such options."""
    quote = ETHERNET + 20 + 8
    if not _is_made_here(frame) or frame[12:14] != IPV4 or len(frame) < quote + 20:
        return frame
    inner = _without_stamps(bytes(12) + IPV4 + frame[quote:])[ETHERNET:]
    return frame[:36] + bytes(2) + frame[38:quote] + inner


def _is_made_here(frame: bytes) -> bool:
    return place(frame) == "cl" and frame[6:12] == DIRECTOR_MAC


def _without_identification(frame: bytes) -> bytes:
    if _is_made_here(frame) and frame[12:14] == IPV4 and frame[23] == ICMP:
        return _resummed(frame[:18] + bytes(4) + frame[22:])
    if _is_made_here(frame) and frame[12:14] == IPV6 and frame[20] == ICMPV6:
        return frame[:15] + bytes(3) + frame[18:]
    return frame


# In this order.
FRAMES = (
    FrameRule(
        "IP options stay as they come: who asks for a trace of hops gets none of the director.",
        _without_stamps,
    ),
    FrameRule(
        "An ICMP error has no IP options; the kernel's has those of the packet it is about.",
        _without_echoed_options,
    ),
    FrameRule(
        "Nor does what such an error quotes: it is the packet as it came.", _quoting_no_stamps
    ),
    FrameRule(
        "Ethernet padding stays: the frame leaves as long as it came.",
        _without_padding,
    ),
    FrameRule(
        "The identification (IPv6: flow label) of a packet made here is anybody's counter, and "
        "whether such a small one may be fragmented does not matter.",
        _without_identification,
    ),
)


# ---- Steps ----


def _says(*words: str) -> Callable[[dict[str, Any]], bool]:
    return lambda step: any(word in step["do"] for word in words)


STEPS = (
    StepRule("A remark, or the passing of time.", lambda step: step["do"] in ("note", "wait")),
    StepRule(
        "The kernel's sysctls are settings of the director.", _says("ls /proc/sys/net/ipv4/vs")
    ),
    StepRule(
        "Who may change the table is decided by the control socket's mode, not by ipvsadm.",
        _says("setpriv "),
    ),
    StepRule("The kernel's log: the director counts refusals by name instead.", _says("dmesg |")),
    StepRule(
        "Counters and neighbours of the kernel's own stack, which the director bypasses.",
        _says("/proc/net/snmp", "ip neigh", "neighbour table"),
    ),
    StepRule(
        "A route without a gateway, and the default one: the director uses no routes.",
        _says("ip route add unreachable", "ip route del default"),
    ),
    StepRule(
        "Local delivery of an address: what is sent to the director's MAC address is for it.",
        _says("ip route add local"),
    ),
)


# ---- Packets ----


def is_withheld(expected: str, source: str) -> bool:
    """A packet that is not sent at all.

    The kernel routed it like any other: its destination was not local to the director. Here an
    address is local when its frames come to the director, so there is nothing to tell apart.
    """
    host = source.rpartition(":")[0].strip("[]")
    return expected.startswith("client gets ") and expected.endswith(f" from {host}")


# ---- Connections ----

LATE = (
    "Timers fire on time. The kernel's timer wheel fires late, by an eighth of the time-out and "
    "more, shows 00:00 meanwhile and still counts the connection; rescheduled connections linger "
    "in the same way until the next timer interrupt. A template re-armed late stays behind."
)
LATE_REARM_S = 5
"""How much later than we the kernel may re-arm a template, each time."""
REARM_S = 60
"""What a template with connections is re-armed for."""
LOTS = frozenset({"twos"})
"""Schedulers that draw lots."""

MESSAGES = (
    "A synchronisation message leaves two seconds after it was begun; the kernel looks for those "
    "only once a second."
)
MISREAD = (
    "TCP flags behind an IPv6 extension header are read where they are; the kernel looks for them "
    "right behind the fixed header and so gets the connection's state wrong."
)


def is_misread(frame: bytes) -> bool:
    """Whether this is TCP, if not at once, of IPv6."""
    return frame[12:14] == IPV6 and frame[20] in EXTENSIONS


OUT = (
    "Nothing is counted as going out: servers answer clients directly. What the kernel counted are "
    "answers of its own stack (RST, ICMP)."
)

OWN_SERVER = (
    "A real server on the director itself: its answers would have to come from the kernel that is "
    "kept away, so nothing goes there and the state of such connections is not compared."
)


def is_own_server(server: str) -> bool:
    """Whether ``10.9.0.2:80`` is the director itself."""
    return server.startswith(f"{DIRECTOR_ADDRESS}:")


# ---- ipvsadm ----

REFUSED = (
    "Masquerading, tunneling and persistence engines are refused: this is direct routing. The "
    "refusal is seen to; then such a server is added as any other, under its own port, and such a "
    "service without engine, so that scheduling and all other lines can be compared."
)
OTHER_METHODS = frozenset({"-m", "--masquerading", "-i", "--ipip"})
ENGINES = frozenset({"sip"})
_AS_DIRECT = (
    (re.compile(r" (?:Masq   |Tunnel ) "), " Route   "),
    (re.compile(r" (?:ipip|gue:\S*|gre\S*) {2,}(?=\d+ +\d+ +\d+ +$)"), " n/a           "),
    (re.compile(r" -(?:m|i) -w (\d+)(?: --tun-\S+(?: (?!--)\S+)?)*$"), r" -g -w \1"),
    (re.compile(r" pe \w+(?= ops$|$)"), ""),
    (re.compile(r" --pe \w+"), ""),
    (re.compile(r"^(\S+ +\d+:\d+ +\S+ +\S+ +\S+ +\S+) +sip +\S+$"), r"\1"),
)

ORDER = (
    "Services as the kernel has them (--nosort, /proc/net/ip_vs) are in the order of a hash with a "
    "salt; here in that of a list. Connections are in no order at all."
)


def is_in_kernel_order(line: str) -> bool:
    """Whether a command shows services in the kernel's own order (ORDER)."""
    return line == "cat /proc/net/ip_vs" or ("--nosort" in line and "-c" not in line.split())


def as_direct(line: str) -> str:
    """A line as it would be had the server been one for direct routing."""
    for pattern, instead in _AS_DIRECT:
        line = pattern.sub(instead, line)
    return line


# ---- Which rules hold ----


def allows(case: Case) -> bool:
    """Whether a rule says that another outcome is right."""
    return any(rule.allows(case) for rule in OUTCOMES)


def allows_pieces(pieces: Pieces) -> bool:
    """Whether a rule says that these fragments may leave so."""
    return any(rule.allows(pieces) for rule in DATAGRAMS)


def normal(frame: bytes) -> bytes:
    """What must be equal of a frame."""
    for rule in FRAMES:
        frame = rule.normal(frame)
    return frame


def is_ignored(step: dict[str, Any]) -> bool:
    """Whether a step observes nothing of ours."""
    return any(rule.matches(step) for rule in STEPS)
