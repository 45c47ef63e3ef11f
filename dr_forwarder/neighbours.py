"""Neighbours: which MAC address a real server has, and when to doubt it. No I/O, no clock.

The kernel alone notices a moved MAC address after some 40 s. So each server is asked by ARP once a
second, at its address; one that does not answer within half a second is asked again by broadcast,
and whoever answers then is believed. Two that answer for one address are a duplicate: the old one
is kept and the other named.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

TICK_S = 0.5
"""How often ``tick`` is to be called; every second one asks anew."""


class Ask(enum.Enum):
    """What to send now."""

    NOTHING = enum.auto()
    AT_ITS_MAC = enum.auto()
    EVERYBODY = enum.auto()


@dataclass(frozen=True, slots=True)
class Neighbour:
    """What is known of one server's MAC address."""

    mac: bytes | None = None
    answered: bool = False
    """Since it was last asked."""
    asked: bool = False
    """The last tick asked, so this one looks whether it answered."""
    rival: bytes | None = None
    """Another MAC address that claims the same IP address."""
    grace: bool = False
    """The rival was heard just now: the known one gets a whole tick to answer."""
    duplicate: bytes | None = None
    """A rival that claims it while the known one still answers."""

    def tick(self) -> tuple[Neighbour, Ask]:
        """Half a second has passed."""
        if not self.asked:
            ask = Ask.EVERYBODY if self.mac is None else Ask.AT_ITS_MAC
            return replace(self, asked=True, answered=False), ask
        if self.grace and not self.answered:
            return replace(self, grace=False), Ask.NOTHING
        if self.answered or self.mac is None:
            duplicate = self.rival if self.answered else None
            calm = replace(self, asked=False, rival=None, grace=False, duplicate=duplicate)
            return calm, Ask.NOTHING
        if self.rival is not None:
            return Neighbour(mac=self.rival, answered=True), Ask.NOTHING
        return replace(self, asked=False), Ask.EVERYBODY

    def heard(self, mac: bytes) -> tuple[Neighbour, Ask]:
        """An ARP packet from this server's IP address came from ``mac``."""
        if self.mac is None:
            return Neighbour(mac=mac, answered=True, asked=self.asked), Ask.NOTHING
        if mac == self.mac:
            return replace(self, answered=True), Ask.NOTHING
        if not self.asked and not self.answered:
            # The known one was asked and kept silent; this is the answer to the broadcast.
            return Neighbour(mac=mac, answered=True), Ask.NOTHING
        if mac == self.rival:
            return self, Ask.NOTHING
        # Further rivals gain no further grace: a few that speak in turn would gain it for ever.
        first = self.rival is None
        claimed = replace(
            self,
            rival=mac,
            asked=True,
            answered=self.answered and not first,
            grace=self.grace or first,
        )
        return claimed, Ask.AT_ITS_MAC
