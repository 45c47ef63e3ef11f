"""Announcements: when each VIP is said to the network. No I/O, no clock.

One announcement may be lost, or overtaken by frames that were on their way, so each is repeated
soon; then it is said again and again, because switches forget a MAC address that sends nothing.
Very many VIPs have their turns one after the other, since switches police bursts of broadcasts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from math import inf

from .config.model import Address

REPEATS_S = (0.0, 0.1, 0.3, 1.0, 2.0, 5.0)
"""After a VIP is new, or the network has changed."""
PER_SECOND = 100
ANSWERED_EVERY_S = 1.0
_BURST_S = 0.1
_GOLDEN_RATIO = 0.6180339887498949
"""The fractions of its multiples are spread evenly, however many there are."""


@dataclass(frozen=True, slots=True)
class _Turn:
    number: int
    """Of this turn; an earlier number in a queue is no longer a turn."""
    place: int
    """Of the VIP, in the order in which they came."""
    round: int
    """How often it has been said since then."""
    since_s: float


class Announcements:
    """The turns of each VIP: at ``repeats_s`` seconds from when it is added, then again within
    each ``interval_s`` seconds; with none, it is done with after its repeats.

    Not more than ``per_second`` are due in any second. Where more want a turn, those that have
    been said least often since they were added come first, in the order they were added in.
    """

    def __init__(
        self,
        interval_s: float | None,
        *,
        repeats_s: Sequence[float] = REPEATS_S,
        per_second: int = PER_SECOND,
    ) -> None:
        burst = max(1, round(per_second * _BURST_S))
        self._interval_s = interval_s
        self._repeats_s = tuple(repeats_s)
        self._pause_s = burst / per_second
        self._taken_s: deque[float] = deque([-inf] * burst, maxlen=burst)
        self._turns: dict[Address, _Turn] = {}
        self._queues: list[list[tuple[float, int, Address]]] = [[] for _ in range(len(repeats_s))]
        self._refreshes: list[tuple[float, int, Address]] = []
        self._answers: list[tuple[float, Address]] = []
        self._answer_s: dict[Address, float] = {}
        """When each was answered last, or will be next."""
        self._numbered = 0

    def add(self, vips: Iterable[Address], now_s: float) -> None:
        """These are new, or are to be said again as if they were."""
        for vip in vips:
            turn = self._turns.get(vip)
            # One that still waits to be said at all keeps its place.
            if turn is None or turn.round > 0:
                number = self._number()
                place = number if turn is None else turn.place
                self._push(vip, _Turn(number, place, 0, now_s), now_s + self._repeats_s[0])

    def keep(self, vips: Collection[Address]) -> None:
        """Of those that were added, only these are still to be said."""
        self.drop(self._turns.keys() - {*vips})

    def drop(self, vips: Iterable[Address]) -> None:
        """These are no longer to be said."""
        for vip in vips:
            self._turns.pop(vip, None)
            self._answer_s.pop(vip, None)

    def answer(self, vip: Address, now_s: float) -> None:
        """Somebody else claims this VIP: it is said once more, but only once in a second.

        A claim that comes sooner is answered when the second is over, so that ours is the last
        word (RFC 5227 section 2.4 bounds how often an address is defended, and we cannot give
        ours up).
        """
        last_s = self._answer_s.get(vip, -inf)
        if vip in self._turns and last_s <= now_s:
            self._answer_s[vip] = max(now_s, last_s + ANSWERED_EVERY_S)
            heappush(self._answers, (self._answer_s[vip], vip))

    def take(self, now_s: float) -> list[Address]:
        """Those to be said now."""
        due: list[Address] = []
        while self._taken_s[0] + self._pause_s <= now_s:
            vip = self._pop(now_s)
            if vip is None:
                break
            self._taken_s.append(now_s)
            due.append(vip)
        return due

    @property
    def next_s(self) -> float:
        """When ``take`` has something the next time; infinity when nothing is to be said."""
        turns_s = (self._first_s(queue) for queue in (*self._queues, self._refreshes))
        return max(min(self._first_answer_s(), *turns_s), self._taken_s[0] + self._pause_s)

    def _push(self, vip: Address, turn: _Turn, due_s: float) -> None:
        self._turns[vip] = turn
        queue = self._queues[turn.round] if turn.round < len(self._queues) else self._refreshes
        heappush(queue, (due_s, turn.number, vip))

    def _number(self) -> int:
        self._numbered += 1
        return self._numbered

    def _first_s(self, queue: list[tuple[float, int, Address]]) -> float:
        while queue:
            due_s, number, vip = queue[0]
            if vip in self._turns and self._turns[vip].number == number:
                return due_s
            heappop(queue)  # it has another turn by now, or none
        return inf

    def _first_answer_s(self) -> float:
        while self._answers:
            due_s, vip = self._answers[0]
            if self._answer_s.get(vip) == due_s:
                return due_s
            heappop(self._answers)  # it is no longer ours
        return inf

    def _pop(self, now_s: float) -> Address | None:
        if self._first_answer_s() <= now_s:
            return heappop(self._answers)[1]
        for queue in (*self._queues, self._refreshes):
            if self._first_s(queue) <= now_s:
                vip = heappop(queue)[2]
                self._again(vip, now_s)
                return vip
        return None

    def _again(self, vip: Address, now_s: float) -> None:
        last = self._turns[vip]
        round_ = min(last.round + 1, len(self._queues))
        if round_ < len(self._queues):
            due_s = last.since_s + self._repeats_s[round_]
        elif self._interval_s is not None:
            due_s = _next_s(self._interval_s, last.place, now_s)
        else:
            del self._turns[vip]
            return
        self._push(vip, replace(last, number=self._number(), round=round_), due_s)


def _next_s(interval_s: float, place: int, now_s: float) -> float:
    """The next time that is this VIP's own; together they are spread over the interval."""
    own_s = place * _GOLDEN_RATIO % 1 * interval_s
    return now_s + interval_s - (now_s - own_s) % interval_s
