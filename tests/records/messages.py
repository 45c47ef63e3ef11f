"""Synchronisation messages: what the master said against what the kernel's did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .compare import Found
from .world import World

_STEP_S = 0.1
_UDP_PAYLOAD = 14 + 20 + 8


@dataclass(slots=True)
class Messages:
    """Takes them from the master; remembers what the kernel has not said yet."""

    master: World
    hear: Callable[[bytes], None] = lambda message: None
    """Whoever listens: a backup."""
    owed: Counter[bytes] = field(default_factory=Counter)

    def seen(self, step: dict[str, Any], go_to: Callable[[float], None]) -> Found:
        """A step in which messages were waited for.

        The kernel looks once a second for messages to send, so they come up to a second later
        than ours (deviations.MESSAGES): what is too much here must come in the next such step.
        """
        theirs = [bytes.fromhex(packet["hex"])[_UDP_PAYLOAD:] for packet in step["packets"]]
        ours = self._taken(self.master.seconds + step["during"], go_to)
        entries = self.owed + Counter(entry for message in ours for entry in _entries(message))
        wanted = Counter(entry for message in theirs for entry in _entries(message))
        late, self.owed = self.owed, entries - wanted
        for entry in wanted - entries:
            yield "announced", entry.hex(), "(not)"
        for entry in late & self.owed:
            yield "announced", "(not)", entry.hex()
        if not late and not self.owed and len(ours) != len(theirs):
            yield "messages", len(theirs), len(ours)
        heads = {_head(message) for message in theirs}, {_head(message) for message in ours}
        if all(heads) and heads[0] != heads[1]:
            yield "version and syncid", *heads

    def _taken(self, until_s: float, go_to: Callable[[float], None]) -> Sequence[bytes]:
        taken = []
        while self.master.seconds < until_s - 1e-6:
            go_to(min(self.master.seconds + _STEP_S, until_s))
            for message in self.master.messages():
                taken.append(message)
                self.hear(message)
        return taken


def _is_old(message: bytes) -> bool:
    """Version 0 has its count of entries where version 1 has a zero."""
    return message[0] != 0


def _head(message: bytes) -> tuple[int, int]:
    return (0 if _is_old(message) else message[5]), message[1]


def _entries(message: bytes) -> list[bytes]:
    if _is_old(message):
        return [message[at : at + 24] for at in range(4, len(message), 24)]
    found, at = [], 8
    while at < len(message):
        length = int.from_bytes(message[at + 2 : at + 4], "big") & 0xFFF
        found.append(message[at : at + length])
        at += (length + 3) & ~3
    return found
