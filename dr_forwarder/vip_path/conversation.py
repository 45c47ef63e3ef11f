"""Conversation: our end of one TCP connection (RFC 9293), as small as a check can do with. Pure.

No window scaling, no selective acknowledgement, no congestion control beyond the peer's 64 KiB:
both ends are on one wire. It never ends in good order but by a RST, to which nobody answers.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from .segments import DEFAULT_MSS, Flag, Segment

_MASK = 0xFFFFFFFF
_HALF = 0x80000000


class State(enum.Enum):
    """How far it is."""

    OPENING = enum.auto()
    OPEN = enum.auto()
    ENDED = enum.auto()
    """The peer has said all that it will."""
    REFUSED = enum.auto()
    RESET = enum.auto()


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was said, and what is known of the peer; sequence numbers are modulo 2**32."""

    oldest: int
    """The first number that the peer has not acknowledged (SND.UNA); at first our SYN's."""
    most: int
    """Bytes of data that a segment may have, by our MTU."""
    state: State = State.OPENING
    waiting: bytes = b""
    """From ``oldest`` on: to be said, or said and not yet acknowledged."""
    said: int = 0
    """How many bytes of it have been said."""
    expected: int = 0
    """The next number of the peer's (RCV.NXT)."""
    window: int = 0
    """Bytes that the peer takes."""

    # ---- Saying ----

    def say(self, data: bytes) -> Conversation:
        """With more to be said."""
        return replace(self, waiting=self.waiting + data)

    def again(self) -> Conversation:
        """All that was not acknowledged is to be said again."""
        return replace(self, said=0)

    def due(self) -> tuple[Conversation, tuple[Segment, ...]]:
        """What is to be said now, and the conversation in which it is said."""
        if self.state is State.OPENING:
            return self, (Segment(self.oldest, 0, Flag.SYN, mss=self.most),)
        until = max(self.said, min(self.window, len(self.waiting)))
        segments = tuple(
            self._segment(Flag.PSH | Flag.ACK, self.waiting[at : min(at + self.most, until)], at)
            for at in range(self.said, until, self.most)
        )
        return replace(self, said=until), segments

    @property
    def is_waiting(self) -> bool:
        """True until the peer has acknowledged everything."""
        return self.state is State.OPENING or bool(self.waiting)

    def acknowledgement(self) -> Segment:
        """That we have heard."""
        return self._segment(Flag.ACK)

    def reset(self) -> Segment:
        """The end of it, whatever the peer thinks."""
        if self.state is State.OPENING:
            return Segment((self.oldest + 1) & _MASK, 0, Flag.RST)
        return self._segment(Flag.RST | Flag.ACK)

    def _segment(self, flags: Flag, data: bytes = b"", at: int | None = None) -> Segment:
        at = self.said if at is None else at
        return Segment((self.oldest + at) & _MASK, self.expected, flags, data)

    # ---- Hearing ----

    def heard(self, segment: Segment) -> tuple[Conversation, bytes]:
        """After a segment, with the data that is new; a gap is left to be said again."""
        if self.state is State.OPENING:
            return self._opened(segment), b""
        if Flag.RST in segment.flags:
            # RFC 5961 section 3.2: any other number may be an old one, or a guess.
            exact = segment.sequence == self.expected
            return (replace(self, state=State.RESET) if exact else self), b""
        if Flag.ACK not in segment.flags or Flag.SYN in segment.flags:
            return self, b""
        return self._acknowledged(segment)._received(segment)

    @staticmethod
    def is_answered(segment: Segment) -> bool:
        """Whether the peer waits to hear that this was heard, new or not."""
        speaks = segment.data or segment.flags & (Flag.SYN | Flag.FIN)
        return bool(speaks) and Flag.RST not in segment.flags

    def _opened(self, segment: Segment) -> Conversation:
        """Section 3.10.7.3; both at once (a SYN alone) is nothing a server does."""
        ours = (self.oldest + 1) & _MASK
        if Flag.ACK not in segment.flags or segment.acknowledgement != ours:
            return self
        if Flag.RST in segment.flags:
            return replace(self, state=State.REFUSED)
        if Flag.SYN not in segment.flags:
            return self
        return replace(
            self,
            state=State.OPEN,
            oldest=ours,
            expected=(segment.sequence + 1) & _MASK,
            window=segment.window,
            most=max(1, min(self.most, segment.mss or DEFAULT_MSS)),
        )

    def _acknowledged(self, segment: Segment) -> Conversation:
        count = (segment.acknowledgement - self.oldest) & _MASK
        if count > len(self.waiting):
            return self
        return replace(
            self,
            oldest=segment.acknowledgement,
            waiting=self.waiting[count:],
            said=max(0, self.said - count),
            window=segment.window,
        )

    def _received(self, segment: Segment) -> tuple[Conversation, bytes]:
        known = (self.expected - segment.sequence) & _MASK
        is_last = Flag.FIN in segment.flags
        if known >= _HALF or known >= len(segment.data) + is_last or self.state is not State.OPEN:
            return self, b""
        fresh = segment.data[known:]
        expected = (self.expected + len(fresh) + is_last) & _MASK
        state = State.ENDED if is_last else self.state
        return replace(self, state=state, expected=expected), fresh
