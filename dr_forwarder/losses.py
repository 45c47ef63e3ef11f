"""Losses: frames that found no room, said at once, then once a minute, and at the end. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from .events import FramesLost, FramesLostNoMore, Room
from .table import Stats

APART_S = 60.0
"""Between two events about one loss; without one for so long it is over."""


@dataclass(slots=True)
class _Episode:
    told: int
    """The counter when it was last told."""
    told_s: float
    began: int
    latest: int
    latest_s: float


@dataclass(slots=True)
class Losses:
    """Of one director, by looks at its counters, which only grow."""

    room: int
    """For connections."""
    _seen: dict[Room, int] | None = None
    _episodes: dict[Room, _Episode] = field(default_factory=dict)

    def look(self, stats: Stats, now_s: float) -> list[FramesLost | FramesLostNoMore]:
        """What is to be told now. Losses before the first look are an earlier process's."""
        counters = {
            Room.TABLE: stats.verdicts["table_full"],
            Room.UNPROVED: stats.displaced,
            Room.RING: stats.ring_dropped,
        }
        before, self._seen = self._seen or counters, counters
        told: list[FramesLost | FramesLostNoMore] = []
        for where, count in counters.items():
            detail = ""
            if where is Room.TABLE:
                detail = f"{stats.connections} of {self.room} connections"
            elif where is Room.UNPROVED:
                detail = f"{stats.unproved} of {stats.connections} connections are unproved"
            told += self._follow(where, before[where], count, now_s, detail)
        return told

    def _follow(
        self, where: Room, before: int, count: int, now_s: float, detail: str
    ) -> list[FramesLost | FramesLostNoMore]:
        episode = self._episodes.get(where)
        if count > before and episode is None:
            self._episodes[where] = _Episode(count, now_s, before, count, now_s)
            return [FramesLost(where, count - before, 0.0, detail)]
        if episode is None:
            return []
        if count > before:
            episode.latest, episode.latest_s = count, now_s
        if now_s - episode.latest_s >= APART_S:
            del self._episodes[where]
            return [FramesLostNoMore(where, episode.latest - episode.began)]
        if now_s - episode.told_s < APART_S or count == episode.told:
            return []
        lost, seconds = count - episode.told, now_s - episode.told_s
        episode.told, episode.told_s = count, now_s
        return [FramesLost(where, lost, seconds, detail)]
