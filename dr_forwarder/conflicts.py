"""Conflicts: which claims of an address are news, and which MAC addresses no server can have. Pure.

The clock is an argument.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from math import inf

from .config.model import Address

_FORGOTTEN_S = 120.0
"""One that claims an address again after so long a silence is news again."""
_REMEMBERED = 1024
_TOLD_AT_ONCE, _TOLD_WITHIN_S = 10, 60.0


class Culprits:
    """Who claims an address that is not theirs: each is news once, and not too many are."""

    def __init__(self) -> None:
        self._heard_s: dict[tuple[Address, bytes], float] = {}
        """The one that was silent longest comes first."""
        self._told_s: deque[float] = deque([-inf] * _TOLD_AT_ONCE, maxlen=_TOLD_AT_ONCE)

    def is_news(self, address: Address, mac: bytes, now_s: float) -> bool:
        """Whether this claim is to be told of; it counts as told then."""
        self._forget(now_s)
        known = self._heard_s.pop((address, mac), None) is not None
        if not known:
            if now_s - self._told_s[0] < _TOLD_WITHIN_S:
                return False
            self._told_s.append(now_s)
        self._heard_s[address, mac] = now_s
        return not known

    def _forget(self, now_s: float) -> None:
        for culprit, heard_s in tuple(self._heard_s.items()):
            if now_s - heard_s < _FORGOTTEN_S and len(self._heard_s) < _REMEMBERED:
                return
            del self._heard_s[culprit]


def whose(
    mac: bytes, *, of_vips: bytes, nic: bytes, peers: Collection[bytes], before: bytes | None
) -> str | None:
    """Whose this MAC address is, if it is one that a real server cannot have; else None.

    Frames to our own would go round in the host for ever, those to another director's to that.
    A director may be a real server of the other one; but then it is from the beginning, and no
    server that was at another MAC address, ``before``, moves there.
    """
    if mac == of_vips:
        return "that of the VIPs themselves"
    if mac == nic:
        return "that of our own interface"
    if mac in peers and before not in (None, mac):
        return "that of another director"
    return None
