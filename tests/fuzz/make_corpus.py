"""Writes the corpus of each fuzz target anew: ``python tests/fuzz/make_corpus.py``."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

import captures  # noqa: E402 -- the tests' directory is no package
from frames import FRAMES  # noqa: E402
from sync_messages import (  # noqa: E402
    FIN_WAIT,
    INACTIVE,
    TEMPLATE,
    connection,
    connection6,
    message,
    old_connection,
)

ADD_SERVICE, EDIT_SERVICE, DELETE_SERVICE, ADD_SERVER, EDIT_SERVER, DELETE_SERVER = range(6)
RR, WRR, LC, WLC = range(4)
KEEP, DROP, RESET, REHASH = range(1, 5)
PERSISTENT, SHORT, NETWORK, ONE_PACKET = 4, 8, 16, 32
REUSE, NO_SERVER, QUIESCENT, SLOPPY, SECURE, SLOPPY_SCTP = 1, 4, 8, 16, 96, 128
DROP_ENTRY, DROP_PACKET = 64, 128
DECREMENT = 1
WEB, ALL_PORTS, FTP, LAST_PORT = range(4)
OVER_UDP, OVER_SCTP, OVER_IPV6, BY_MARK = 4, 8, 16, 32
TO_UDP, TO_SCTP, TO_IPV6, FIRST, LATER = 8, 16, 32, 64, 128
SYN, ACK, FIN, RST = 2, 16, 1, 4
JUMPS_S = {0: 0, 0.3: 2, 1: 3, 3: 4, 10: 5, 60: 6, 120: 7, 300: 8, 900: 9, 1100: 11, 86400: 13}
CLIENT_PORTS = {1000: 0, 1001: 1, 0: 2, 20: 3, 65535: 4}


def change(
    operation: int,
    *,
    service: int = WEB,
    how: int = RR,
    server: int = 1,
    weight: int = 1,
    upper: int = 0,
    lower: int = 0,
    drain: int = 0,
) -> bytes:
    scheduler = how & 3
    if drain == REHASH:
        weight, drain = 8, drain - 1
    thresholds = lower << 5 | drain << 3 | upper
    return bytes([0, operation, service, how, scheduler, weight << 4 | server, thresholds])


def wait(seconds: float) -> bytes:
    return bytes([1, JUMPS_S[seconds]])


def tcp(flags: int, *, client: int = 1, port: int = 1000, to: int = 0) -> bytes:
    return bytes([4, client << 5 | CLIENT_PORTS[port], to, flags])


def udp(*, client: int = 1, port: int = 1000, to: int = 0) -> bytes:
    return bytes([4, client << 5 | CLIENT_PORTS[port], to | TO_UDP, 64])


def sctp(chunk: int, *, bundled: int = 0, client: int = 1, port: int = 1000) -> bytes:
    return bytes([4, client << 5 | CLIENT_PORTS[port], TO_SCTP, bundled << 4 | chunk])


def error(kind: int, *, port: int = 1000, ipv6: bool = False) -> bytes:
    return bytes([11, kind << 3 | ipv6 << 2 | CLIENT_PORTS[port]])


def servers(service: int = WEB, how: int = RR, weights: tuple[int, ...] = (1, 2)) -> bytes:
    return change(ADD_SERVICE, service=service, how=how) + b"".join(
        change(ADD_SERVER, service=service, how=how, server=number, weight=weight)
        for number, weight in enumerate(weights, start=1)
    )


def tune(bits: int, more: int = 0) -> bytes:
    return bytes([8, bits, more])


def marks(*each: tuple[int, int]) -> bytes:
    return bytes([9, len(each)]) + b"".join(bytes(one) for one in each)


def mtu(*, large: bool) -> bytes:
    return bytes([10, large])


MANY = b"".join(tcp(SYN, client=client, port=port) for client in range(8) for port in (1000, 1001))

STORIES = {
    "open_and_close": servers() + tcp(SYN) + tcp(ACK) + tcp(FIN) + wait(120) + tcp(ACK),
    "reset_and_reuse": servers() + tcp(SYN) + tcp(ACK) + tcp(RST) + tcp(SYN) + wait(10) + tcp(ACK),
    "table_full": servers(how=WLC) + MANY + wait(60) + MANY,
    "wrr_changes": servers(how=WRR, weights=(5, 3, 2))
    + MANY
    + change(EDIT_SERVER, server=1, weight=0)
    + MANY
    + change(DELETE_SERVER, server=2)
    + MANY,
    "lc_with_thresholds": servers(how=LC)
    + change(EDIT_SERVER, server=1, upper=2, lower=1)
    + change(EDIT_SERVER, server=2, upper=3)
    + MANY
    + wait(60)
    + MANY,
    "server_removed_and_back": servers()
    + tcp(SYN)
    + change(DELETE_SERVER, server=2)
    + tcp(ACK)
    + change(ADD_SERVER, server=2)
    + tcp(ACK)
    + change(DELETE_SERVER, server=2)
    + wait(900)
    + tcp(SYN)
    + change(ADD_SERVER, server=2),
    "service_deleted_and_back": servers()
    + MANY
    + change(DELETE_SERVICE)
    + MANY
    + servers()
    + MANY
    + wait(1100)
    + tcp(SYN),
    "persistent": servers(how=RR | PERSISTENT | SHORT | NETWORK)
    + MANY
    + tcp(ACK)
    + wait(10)
    + tcp(SYN, port=1001)
    + wait(60)
    + MANY
    + wait(900),
    "persistent_server_removed": servers(how=RR | PERSISTENT)
    + tcp(SYN)
    + change(DELETE_SERVER, server=2)
    + tcp(SYN, port=1001)
    + wait(300)
    + tcp(SYN),
    "persistent_then_not": servers(how=WLC | PERSISTENT)
    + tcp(SYN)
    + change(EDIT_SERVICE, how=WRR)
    + MANY,
    "all_ports": servers(ALL_PORTS, RR | PERSISTENT) + tcp(SYN) + tcp(SYN, to=1) + tcp(SYN, to=3),
    "ftp": servers(FTP, RR | PERSISTENT) + tcp(SYN, to=2) + tcp(SYN, port=20, to=2),
    "last_port": servers(LAST_PORT, RR | PERSISTENT)
    + tcp(SYN, to=3)
    + change(DELETE_SERVER, service=LAST_PORT, server=2)
    + tcp(SYN, port=1001, to=3)
    + tcp(SYN, port=65535, to=3),
    "client_port_0": servers(how=RR | PERSISTENT)
    + tcp(SYN, port=1000)
    + tcp(SYN, port=0)
    + tcp(SYN, port=1001)
    + tcp(FIN, port=0)
    + wait(300),
    "udp": servers(WEB | OVER_UDP, WLC) + udp() + udp(client=1) + wait(300) + udp() + wait(86400),
    "one_packet": servers(WEB | OVER_UDP, WLC | ONE_PACKET) + udp() * 5 + wait(300),
    "one_packet_persistent": servers(WEB | OVER_UDP, RR | PERSISTENT | ONE_PACKET)
    + udp() * 5
    + wait(300),
    "removed_and_swept": servers(how=RR | PERSISTENT)
    + tune(REUSE | NO_SERVER)
    + MANY
    + change(DELETE_SERVER, server=2)
    + MANY
    + change(EDIT_SERVER, server=1, weight=0)
    + MANY,
    "quiescent": servers(how=RR | PERSISTENT)
    + tune(REUSE | QUIESCENT)
    + tcp(SYN)
    + change(EDIT_SERVER, server=2, weight=0)
    + tcp(SYN, port=1001)
    + tcp(SYN, port=1001, client=1),
    "drained": servers(how=RR | PERSISTENT)
    + MANY
    + change(EDIT_SERVER, server=2, drain=KEEP)
    + tcp(ACK)
    + tcp(FIN)
    + tcp(SYN)
    + MANY
    + change(EDIT_SERVER, server=2, drain=DROP)
    + tcp(ACK)
    + wait(1)
    + MANY
    + change(EDIT_SERVER, server=2)
    + MANY,
    "drained_and_reset": servers()
    + MANY
    + tcp(SYN, port=1001)
    + change(EDIT_SERVER, server=2, drain=RESET)
    + error(3)
    + tcp(ACK)
    + tcp(ACK)
    + tcp(RST, port=1001)
    + MANY,
    "drained_and_rehashed": servers(WEB | OVER_UDP)
    + servers(how=WLC | PERSISTENT)
    + udp() * 2
    + MANY
    + change(EDIT_SERVER, server=2, drain=REHASH)
    + change(EDIT_SERVER, service=WEB | OVER_UDP, server=2, drain=REHASH)
    + tcp(ACK)
    + tcp(ACK, client=2)
    + udp() * 2
    + wait(1)
    + MANY,
    "drained_datagrams": servers(WEB | OVER_UDP | OVER_IPV6)
    + udp(to=TO_IPV6) * 3
    + change(EDIT_SERVER, service=WEB | OVER_UDP | OVER_IPV6, server=2, drain=RESET)
    + udp(to=TO_IPV6) * 3,
    "sloppy": servers() + tune(SLOPPY) + tcp(ACK) + tcp(FIN, client=1) + tcp(RST, client=2),
    "secure": servers(how=LC) + tune(SECURE) + MANY + tcp(ACK) + wait(60) + MANY,
    "drop_entry": servers(how=RR | PERSISTENT)
    + tune(REUSE, DROP_ENTRY)
    + MANY
    + wait(1) * 40
    + tcp(ACK)
    + wait(60)
    + wait(1) * 40,
    "drop_packet": servers() + tune(REUSE, DROP_PACKET) + MANY + tcp(ACK) + MANY,
    "time_outs": servers() + bytes([2, 1, 1, 1]) + tcp(SYN) + tcp(ACK) + wait(1) + tcp(ACK),
    "odd_frames": servers() + b"".join(bytes([3, kind, 14, 0x45, 1]) for kind in range(28)),
    "odd_bytes": servers() + b"".join(bytes([3, kind, 40, 0xFF, 3]) for kind in range(28)),
    "sctp": servers(WEB | OVER_SCTP, WLC)
    + sctp(1)
    + sctp(10)
    + sctp(11, bundled=6)
    + sctp(1)
    + wait(60)
    + tune(SLOPPY_SCTP)
    + sctp(0, client=2)
    + sctp(7)
    + sctp(14),
    "ipv6": servers(WEB | OVER_IPV6, RR | PERSISTENT | NETWORK)
    + tcp(SYN, to=TO_IPV6)
    + tcp(ACK, to=TO_IPV6)
    + tcp(SYN, to=TO_IPV6, client=2)
    + error(2, ipv6=True)
    + wait(900),
    "errors": servers() + tcp(SYN) + error(3) + error(4) + error(11) + error(5) + tcp(ACK),
    "fragments": servers(WEB | OVER_UDP)
    + udp(to=FIRST)
    + udp(to=LATER)
    + udp(to=LATER, client=2)
    + udp(to=LATER, client=2)
    + udp(to=FIRST, client=2)
    + wait(60)
    + udp(to=LATER, client=2),
    "fragments6": servers(WEB | OVER_UDP | OVER_IPV6)
    + udp(to=TO_IPV6 | LATER)
    + udp(to=TO_IPV6 | FIRST)
    + udp(to=TO_IPV6 | LATER)
    + change(DELETE_SERVER, service=WEB | OVER_UDP | OVER_IPV6, server=2)
    + udp(to=TO_IPV6 | LATER),
    "fragments_without_their_first": servers(WEB | OVER_UDP)
    + b"".join(udp(to=LATER, client=client) for client in range(8)) * 33
    + wait(60)
    + udp(to=LATER),
    "no_server": change(ADD_SERVICE) + tune(REUSE, 0) + tcp(SYN) + tcp(SYN, to=1) + tcp(ACK),
    "marks": marks((31, 80), (8 | 4, 0))
    + servers(WEB | BY_MARK, RR | PERSISTENT)
    + servers(WEB | BY_MARK | OVER_IPV6, RR)
    + servers(WEB, WLC)
    + MANY
    + marks((1, 80))
    + tcp(SYN, to=1)
    + marks()
    + MANY,
    "too_big": servers() + mtu(large=False) + tcp(SYN) + udp() + mtu(large=True) + tcp(ACK),
    "time_to_live": servers(WEB | OVER_UDP)
    + tune(REUSE, DECREMENT)
    + b"".join(bytes([4, 32, TO_UDP | part, ttl]) for part in (0, 64, 128) for ttl in (0, 1, 2)),
}


def write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)


REPAIR, ONE_PAIR = 1, 2


def told(*messages: bytes, how: int = 0) -> bytes:
    return bytes([how]) + b"".join(bytes([len(each)]) + each for each in messages)


MESSAGES = {
    "established": told(message(connection())),
    "its-end": told(
        message(connection()), message(connection(state=FIN_WAIT, flags=INACTIVE, timeout_s=120))
    ),
    "another-server": told(message(connection()), message(connection(server=2))),
    "end-of-another": told(message(connection()), message(connection(server=2, flags=INACTIVE))),
    "stranger": told(message(connection(server=7)), message(connection(server=8, port=1001))),
    "template": told(message(connection(flags=TEMPLATE, port=0, timeout_s=360), connection())),
    "impossible-state": told(message(connection(state=15), connection(flags=TEMPLATE, state=9))),
    "masquerading": told(message(connection(flags=0x100, server=7))),
    "udp": told(message(connection(protocol=17, state=0, flags=INACTIVE, timeout_s=300))),
    "sctp": told(message(connection(protocol=132, state=4))),
    "unknown-protocol": told(message(connection(protocol=50))),
    "many": told(message(*(connection(port=1000 + n, server=n) for n in range(6)))),
    "no-timeout": told(message(connection(timeout_s=0))),
    "longest-timeout": told(message(connection(timeout_s=0xFFFFFFFF))),
    "sequence-option": told(message(connection(options=bytes([1, 24]) + bytes(24)))),
    "option-to-ignore": told(message(connection(options=bytes([0x45, 3, 1, 2, 3])))),
    "option-of-no-length": told(message(connection(options=bytes([0x45, 0])))),
    "ipv6": told(message(connection6(), connection6(flags=INACTIVE, state=FIN_WAIT))),
    "another-pair": told(message(connection(), syncid=6), how=ONE_PAIR),
    "old": told(message(old_connection(), version=0)),
    "old-sequence": told(message(old_connection(flags=0x683) + bytes(24), version=0)),
    "cut": told(message(connection())[:-3], how=REPAIR),
    "more-announced": told(message(connection())[:4] + b"\xff" + message(connection())[5:]),
    "empty": told(b"", message(), message(version=0)),
}


def in_pieces(capture: bytes, *, piece_bytes: int = 256) -> bytes:
    return bytes([piece_bytes - 1]) + capture


SOME = [(captures.BEGAN_NS + n * 1_000_001, bytes([n]) * (13 * n)) for n in range(5)]
CAPTURES = {
    "pcap": in_pieces(captures.pcap(SOME)),
    "pcap-big-endian": in_pieces(captures.pcap(SOME, order=">"), piece_bytes=7),
    "pcap-ns": in_pieces(captures.pcap(SOME, nanoseconds=True), piece_bytes=1),
    "pcap-snapped": in_pieces(captures.pcap(SOME, snap=20)),
    "pcap-cooked": in_pieces(captures.pcap(SOME, link=captures.COOKED)),
    "pcap-version": in_pieces(captures.pcap(SOME, version=3)),
    "pcap-cut": in_pieces(captures.pcap(SOME)[:-3]),
    "pcap-length": in_pieces(captures.pcap([])[:24] + bytes(8) + b"\xff" * 8),
    "gzip": in_pieces(b"\x1f\x8b\x08\x00" + bytes(20)),
    "pcapng": in_pieces(captures.pcapng(SOME)),
    "pcapng-big-endian": in_pieces(captures.pcapng(SOME, order=">"), piece_bytes=5),
    "pcapng-ns": in_pieces(captures.pcapng(SOME, nanoseconds=True), piece_bytes=64),
    "pcapng-two-sections": in_pieces(
        captures.pcapng(SOME) + captures.pcapng(SOME, order=">", nanoseconds=True)
    ),
    "pcapng-binary-time": in_pieces(
        captures.section()
        + captures.interface(options=captures.resolution(0x80 | 20))
        + captures.packet(5 << 20, bytes(60), comment="why")
    ),
    "pcapng-offset": in_pieces(
        captures.section()
        + captures.interface(options=captures.option(14, (99).to_bytes(8, "little")))
        + captures.packet(5, bytes(60))
    ),
    "pcapng-old-and-simple": in_pieces(
        captures.section()
        + captures.interface(snap=30)
        + captures.obsolete(7, bytes(21))
        + captures.simple(bytes(29))
        + captures.block(5, bytes(40))
    ),
    "pcapng-no-interface": in_pieces(captures.section() + captures.packet(5, bytes(60))),
    "pcapng-cut": in_pieces(captures.pcapng(SOME)[:-9], piece_bytes=33),
}


SET_BYTE, FLIP, SET_HALF, SET_WORD, COPY_ENTRY, FILL, ALL_ONES = range(7)


def injury(at: int, how: int, what: int = 0) -> bytes:
    return struct.pack("<HBH", at, how, what)


def injured(*injuries: bytes, ahead_days: int = 0) -> bytes:
    """Bytes of a state file exchanged; then it meets a clock so far ahead."""
    return bytes([ahead_days << 1 | 1]) + b"".join(injuries)


def everywhere(how: int, what: int, *, step: int, first: int = 0, end: int = 16_000) -> bytes:
    return injured(*(injury(at, how, what) for at in range(first, end, step)[:63]))


def copied(entry: int, to: int) -> bytes:
    return bytes([to, entry, COPY_ENTRY, 0, 0])


STATES = {
    "as-it-was": injured(),
    "a-day-later": injured(ahead_days=1),
    "a-day-earlier": bytes([8 << 1]),
    "magic": injured(injury(0, FLIP, 3)),
    "format": injured(injury(4, SET_BYTE, 99)),
    "header-of-ones": injured(*(injury(at, ALL_ONES) for at in range(48, 700, 8)[:63])),
    "header-of-zeros": injured(*(injury(at, SET_WORD) for at in range(48, 300, 4)[:63])),
    **{
        f"bytes-{first:05}": everywhere(SET_BYTE, 0xFF, step=37, first=first)
        for first in range(0, 16_000, 2_000)
    },
    "small-numbers": everywhere(SET_WORD, 1, step=180),
    "words-of-ones": everywhere(SET_WORD, 0xFFFF, step=180),
    "one-entry-everywhere": injured(*(copied(1, to) for to in range(2, 25))),
    "templates-everywhere": injured(*(copied(7, to) for to in range(2, 25))),
    "fill-with-zeros": everywhere(FILL, 0x00FF, step=900),
    "fill-with-ones": everywhere(FILL, 0x01FF, step=900),
}


def main() -> None:
    frames = {f"{i:02}": case.frame for i, case in enumerate(FRAMES) if len(case.frame) < 512}
    write(HERE / "corpus" / "frame", frames)
    write(HERE / "corpus" / "sequence", STORIES)
    write(HERE / "corpus" / "sync", MESSAGES)
    write(HERE / "corpus" / "capture", CAPTURES)
    write(HERE / "corpus" / "state", STATES)


if __name__ == "__main__":
    main()
