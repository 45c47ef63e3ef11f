"""The clients' way to a VIP: frames, the conversation in them, and the transport around it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from dr_forwarder.checksum import internet_checksum
from dr_forwarder.vip_path.connection import Connection
from dr_forwarder.vip_path.conversation import Conversation, State
from dr_forwarder.vip_path.segments import Ends, Flag, Segment, frame, parse

OURS, THEIRS = bytes.fromhex("02000a0a0a3d"), bytes.fromhex("02000a0a0a3e")
FOUR = (ip_address("10.10.10.61"), ip_address("10.10.10.60"))
SIX = (ip_address("fd77::61"), ip_address("fd77::60"))
NUMBER = st.integers(0, 0xFFFFFFFF)
SEGMENTS = st.builds(
    Segment,
    sequence=NUMBER,
    acknowledgement=NUMBER,
    flags=st.integers(0, 0x1F).map(Flag),
    data=st.binary(max_size=50),
    window=st.integers(0, 0xFFFF),
    mss=st.integers(0, 0xFFFF),
)
ENDS = st.builds(
    lambda pair, ours, theirs: Ends(OURS, THEIRS, *pair, ours, theirs),
    st.sampled_from([FOUR, SIX]),
    st.integers(1, 0xFFFF),
    st.integers(1, 0xFFFF),
)

# ---- Frames ----


@given(ENDS, SEGMENTS)
def test_what_is_put_into_a_frame_comes_out_of_it(ends: Ends, segment: Segment) -> None:
    assert parse(frame(ends, segment) + bytes(6)) == (ends, segment)


@given(ENDS, SEGMENTS)
def test_scapy_reads_the_same_and_finds_the_checksums_right(ends: Ends, segment: Segment) -> None:
    made = frame(ends, segment)
    seen = Ether(made)
    header = seen[IP] if ends.source.version == 4 else seen[IPv6]
    assert (header.src, header.dst) == (str(ends.source), str(ends.destination))
    tcp = seen[TCP]
    assert (tcp.sport, tcp.dport, tcp.seq) == (
        ends.source_port,
        ends.destination_port,
        segment.sequence,
    )
    assert bytes(tcp.payload) == segment.data
    del tcp.chksum
    if ends.source.version == 4:
        del header.chksum
    assert bytes(seen) == made


@given(ENDS, SEGMENTS, st.data())
def test_a_frame_that_is_cut_off_says_nothing(
    ends: Ends, segment: Segment, data: st.DataObject
) -> None:
    made = frame(ends, segment)
    assert parse(made[: data.draw(st.integers(0, len(made) - 1))]) is None


@given(st.binary(max_size=120))
def test_any_bytes_are_survived(data: bytes) -> None:
    parse(data)
    parse(OURS + THEIRS + b"\x08\x00" + data)
    parse(OURS + THEIRS + b"\x86\xdd" + data)


def test_the_checksum_is_that_of_the_standard() -> None:
    # RFC 1071 section 3: its example sums to ddf2.
    assert internet_checksum(bytes.fromhex("0001f203f4f5f6f7")) == ~0xDDF2 & 0xFFFF


# ---- The conversation ----


class Peer:
    """A server's TCP as the standard has it, with room for as much as its window says."""

    def __init__(self, answer: bytes, *, window: int, most: int, first: int) -> None:
        self.heard = b""
        self._answer = answer
        self._window = window
        self._most = most
        self._first = first
        self._expected: int | None = None

    def hear(self, segment: Segment) -> list[Segment]:
        """What it says to a segment: all that was not acknowledged, again and again."""
        if Flag.SYN in segment.flags:
            self._expected = (segment.sequence + 1) & 0xFFFFFFFF
            return [self._say(0, Flag.SYN | Flag.ACK, mss=self._most)]
        if self._expected is None:
            return []
        if segment.sequence == self._expected and segment.data:
            taken = segment.data[: self._window]
            self.heard += taken
            self._expected = (self._expected + len(taken)) & 0xFFFFFFFF
        acknowledged = (segment.acknowledgement - self._first - 1) & 0xFFFFFFFF
        said = [self._say(1 + acknowledged, Flag.ACK)]
        for at in range(acknowledged, len(self._answer), self._most):
            data = self._answer[at : at + self._most]
            said.append(self._say(1 + at, Flag.ACK, data))
        if acknowledged <= len(self._answer):
            said.append(self._say(1 + len(self._answer), Flag.FIN | Flag.ACK))
        return said

    def _say(self, at: int, flags: Flag, data: bytes = b"", mss: int = 0) -> Segment:
        assert self._expected is not None
        number = (self._first + at) & 0xFFFFFFFF
        return Segment(number, self._expected, flags, data, self._window, mss)


@given(
    request=st.binary(max_size=300),
    answer=st.binary(max_size=300),
    oldest=NUMBER,
    first=NUMBER,
    window=st.integers(1, 100),
    most=st.integers(1, 100),
    chance=st.randoms(use_true_random=False),
)
def test_both_sides_hear_everything_once_however_much_is_lost(
    request: bytes, answer: bytes, oldest: int, first: int, window: int, most: int, chance: object
) -> None:
    """Segments are lost, doubled and mixed; what is left goes through when it is said again."""
    peer = Peer(answer, window=window, most=most, first=first)
    ours = Conversation(oldest=oldest, most=most).say(request)
    heard = b""
    for turn in range(2000):
        is_bad = turn < 30
        ours, said = ours.again().due()
        answers = [each for one in said or (ours.acknowledgement(),) for each in peer.hear(one)]
        for segment in _mangled(answers, chance) if is_bad else answers:
            ours, data = ours.heard(segment)
            heard += data
        if ours.state is State.ENDED and not ours.is_waiting:
            break
    assert (peer.heard, heard) == (request, answer)
    assert ours.state is State.ENDED


def _mangled(segments: list[Segment], chance: object) -> list[Segment]:
    kept = [each for each in segments for _ in range(chance.choice((0, 1, 2)))]  # type: ignore[attr-defined]
    chance.shuffle(kept)  # type: ignore[attr-defined]
    return kept


@given(NUMBER, st.lists(SEGMENTS, max_size=8))
def test_any_segments_are_survived(oldest: int, segments: list[Segment]) -> None:
    ours = Conversation(oldest=oldest, most=1000).say(b"hello")
    for segment in segments:
        ours, _ = ours.heard(segment)
        ours, _ = ours.due()
    assert 0 <= ours.said <= len(ours.waiting) <= 5


SYN_ACK = Flag.SYN | Flag.ACK
OPEN = Conversation(oldest=100, most=1000).heard(Segment(500, 101, SYN_ACK))[0]
TURNS = [
    pytest.param(Segment(7, 101, Flag.RST | Flag.ACK), State.REFUSED, id="refuses"),
    pytest.param(Segment(7, 99, Flag.RST | Flag.ACK), State.OPENING, id="refuses another"),
    pytest.param(Segment(7, 102, SYN_ACK), State.OPENING, id="accepts another"),
    pytest.param(Segment(7, 0, Flag.SYN), State.OPENING, id="calls itself"),
    pytest.param(Segment(7, 101, Flag.ACK), State.OPENING, id="takes it for an old one"),
]


@pytest.mark.parametrize(("segment", "state"), TURNS)
def test_only_an_answer_to_our_call_opens_or_refuses(segment: Segment, state: State) -> None:
    assert Conversation(oldest=100, most=1000).heard(segment)[0].state is state


def test_a_reset_counts_only_with_the_exact_number() -> None:
    assert OPEN.heard(Segment(502, 101, Flag.RST))[0].state is State.OPEN
    assert OPEN.heard(Segment(501, 101, Flag.RST))[0].state is State.RESET


def test_segments_are_no_longer_than_either_side_takes() -> None:
    small = Conversation(oldest=0, most=1000).heard(Segment(0, 1, SYN_ACK, window=9, mss=4))[0]
    assert [each.data for each in small.say(b"0123456789").due()[1]] == [b"0123", b"4567", b"8"]


# ---- The transport ----


def talked(then: Callable[[Connection, list[Segment]], object]) -> list[Segment]:
    """What a connection said while a server opened it and something was done with it."""

    async def talk() -> list[Segment]:
        said: list[Segment] = []
        connection = Connection(most=1000, send=said.append, on_end=lambda: None)
        ours = (said[0].sequence + 1) & 0xFFFFFFFF
        connection.heard(Segment(500, ours, SYN_ACK))
        await connection.opened
        then(connection, said)
        connection.abort()
        return said

    return asyncio.run(talk())


def test_a_connection_calls_acknowledges_and_ends_by_a_reset() -> None:
    said = talked(lambda connection, _: connection.write(b"GET /"))
    flags = [each.flags for each in said]
    assert flags == [Flag.SYN, Flag.ACK, Flag.PSH | Flag.ACK, Flag.RST | Flag.ACK]
    assert said[2].data == b"GET /"


def test_it_ends_once_and_says_nothing_after() -> None:
    def end_twice(connection: Connection, said: list[Segment]) -> None:
        connection.close()
        connection.write(b"more")
        connection.heard(Segment(501, said[0].sequence + 1, Flag.ACK, b"late"))

    assert [each.flags for each in talked(end_twice)].count(Flag.RST | Flag.ACK) == 1


def test_a_refusal_is_an_error_of_the_system() -> None:
    async def call() -> None:
        said: list[Segment] = []
        connection = Connection(most=1000, send=said.append, on_end=lambda: None)
        connection.heard(Segment(0, (said[0].sequence + 1) & 0xFFFFFFFF, Flag.RST | Flag.ACK))
        with pytest.raises(ConnectionRefusedError):
            await connection.opened
        assert connection.is_closing()

    asyncio.run(call())
