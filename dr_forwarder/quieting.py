"""Quieting: which of the things that happen the log is told of.

However many servers there are and whatever they do, the lines about them are bounded; so are those
about an interface that goes up and down many times a second.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from .config.model import Address
from .event_log import level, log
from .events import (
    ChecksHindered,
    ChecksUnhindered,
    Event,
    FallbackEvent,
    Happening,
    HealthEvent,
    LinkEvent,
    MacLearned,
    ServerEvent,
    ServerFlapping,
    SoftFailure,
    SoftFailuresOver,
)
from .table import Key

_log = logging.getLogger(__name__)

_FALLBACK_S: Final = 60.0
"""So far apart are lines about the fallback of a service that has a server that flaps."""
_OF_SERVERS: Final = (HealthEvent, MacLearned, ServerEvent, SoftFailure, SoftFailuresOver)
_OF_NETWORK: Final = (LinkEvent, ChecksHindered, ChecksUnhindered)


@dataclass(slots=True)
class EventLog:
    """Listens to the bus. Ten thousand servers that start together are summed up, and what flaps
    is silent until it has calmed down.
    """

    most: int = 200
    """Lines about servers of one urgency within `window_s`; the others are counted."""
    most_of_network: int = 20
    """Lines about the interface within `window_s`; how it is at the end is said in any case."""
    window_s: float = 10.0
    _began_s: float = float("-inf")
    _written: Counter[int] = field(default_factory=Counter)
    _left: Counter[tuple[int, str]] = field(default_factory=Counter)
    _network_written: int = 0
    _last_left: dict[bool, Happening] = field(default_factory=dict)
    """What was left out last about the interface (True), and about the checks that need it."""
    _flapping: set[tuple[Key, Address]] = field(default_factory=set)
    _fell_back_s: dict[Key, float] = field(default_factory=dict)
    """When a line said so last, of services that have a server that flaps."""

    def heard(self, happening: Happening) -> None:
        """Takes an event."""
        event = happening.event
        if isinstance(event, ServerFlapping):
            who = {(key, event.address) for key in event.services}
            quiet = event.on and not event.held
            self._flapping = self._flapping | who if quiet else self._flapping - who
        if self._is_of_flapping(event, happening.at_s):
            return
        self.tick(happening.at_s)
        if isinstance(event, _OF_SERVERS) and not self._has_room(level(event), happening.kind):
            return
        if isinstance(event, _OF_NETWORK) and not self._network_has_room(happening):
            return
        log(happening)

    def tick(self, now_s: float) -> None:
        """Sums up what was left out, once its time is over; now is as in `Happening`."""
        if 0 <= now_s - self._began_s < self.window_s:
            return
        self._began_s = now_s
        self._written.clear()
        left, self._left = self._left, Counter()
        for urgency in sorted({each for each, _ in left}, reverse=True):
            counts = ", ".join(f"{n} {kind}" for (each, kind), n in left.items() if each == urgency)
            _log.log(urgency, "More lines like these were left out: %s", counts)
        self._network_written = 0
        last, self._last_left = self._last_left, {}
        for happening in last.values():
            log(happening)

    def _is_of_flapping(self, event: Event, now_s: float) -> bool:
        match event:
            case ServerEvent(service=service, server=server):
                return (service, server.address) in self._flapping
            case FallbackEvent(service) if any(key == service for key, _ in self._flapping):
                last_s = self._fell_back_s.get(service, float("-inf"))
                if now_s - last_s < _FALLBACK_S:
                    return True
                self._fell_back_s[service] = now_s
        return False

    def _has_room(self, urgency: int, kind: str) -> bool:
        self._written[urgency] += 1
        if self._written[urgency] <= self.most:
            return True
        self._left[urgency, kind] += 1
        return False

    def _network_has_room(self, happening: Happening) -> bool:
        self._network_written += 1
        if self._network_written <= self.most_of_network:
            return True
        self._left[level(happening.event), happening.kind] += 1
        of_link = isinstance(happening.event, LinkEvent)
        self._last_left.pop(of_link, None)  # the latest comes last
        self._last_left[of_link] = happening
        return False
