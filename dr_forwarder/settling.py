"""Settling: waits until all is known that the first table needs, or for a while."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable

from .checks import Target
from .config.model import Address
from .health import Health

_LIMIT_S = 1.0
"""So that servers are added in the file's order; one whose check takes longer joins later."""


class Settling:
    """A result of every check, and a MAC address of every server that is up."""

    def __init__(
        self, health_of: Callable[[Target], Health], mac_of: Callable[[Address], bytes | None]
    ) -> None:
        self._health_of = health_of
        self._mac_of = mac_of
        self._unsettled: deque[Target] = deque()
        self._settled = asyncio.Event()

    def follow(self, targets: Iterable[Target]) -> None:
        """Waits for these checks from now on."""
        self._unsettled = deque(targets)
        self.note()

    def note(self) -> None:
        """Something has become known."""
        while self._unsettled and self._is_settled(self._unsettled[0]):
            self._unsettled.popleft()
        if not self._unsettled:
            self._settled.set()

    async def wait(self, *, limit_s: float = _LIMIT_S) -> None:
        """Until all is known, or so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._settled.wait()

    def _is_settled(self, what: Target) -> bool:
        up = self._health_of(what).up
        return up is False or (up is True and self._mac_of(what.address) is not None)
