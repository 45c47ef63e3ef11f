"""Maintenance watch: looks into `maintenancedir` every second, asks for names if it must."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future

from ..config.model import Address
from ..director import Director
from . import maintenance
from .background import Background

_log = logging.getLogger(__name__)

_TICK_S = 1.0
_KEPT_S = 300.0
"""A host's name is looked up again after this."""
_FIRST_S = 3.0
"""So long the director waits for the first look, so that nobody in maintenance is added."""


def host_name(address: Address) -> str | None:
    """The name that the resolver has for an address; blocks."""
    try:
        return socket.getnameinfo((str(address), 0), socket.NI_NAMEREQD)[0]
    except OSError:
        return None


class Names:
    """Names of addresses, looked up in the background and remembered."""

    def __init__(
        self,
        *,
        look_up: Callable[[Address], str | None] = host_name,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look_up = look_up
        self._clock = clock
        self._known: dict[Address, tuple[str | None, float]] = {}
        self._asked: dict[Address, Future[None]] = {}
        self._background = Background("reverse look-ups")

    def of(self, address: Address) -> str | None:
        """What is known; what is not, or not any more, is asked for."""
        name, until_s = self._known.get(address, (None, 0.0))
        if self._clock() >= until_s and address not in self._asked:
            self._asked[address] = self._background.ask(lambda: self._learn(address))
        return name

    async def known(self) -> None:
        """Waits for all answers that are outstanding."""
        outstanding = tuple(self._asked.values())
        await asyncio.gather(*map(asyncio.wrap_future, outstanding))

    def _learn(self, address: Address) -> None:
        name = self._look_up(address)
        self._known[address] = (name, self._clock() + _KEPT_S)
        self._asked.pop(address, None)


class MaintenanceWatch:
    """Tells a director who is in maintenance."""

    def __init__(self, director: Director, names: Names | None = None) -> None:
        self._director = director
        self._names = names or Names()
        self._background = Background("maintenancedir")
        self._broken = ""

    async def look(self) -> None:
        """Looks once."""
        config = self._director.config
        directory = config.maintenance_dir
        if directory is None:
            self._director.maintain({})
            return
        files = await asyncio.wrap_future(self._background.ask(lambda: self._list(directory)))
        reals = {real.address for virtual in config.virtuals for real in virtual.real}
        ask = maintenance.by_name(files, reals)
        host_of = self._names.of if ask else _nobody
        self._director.maintain(maintenance.find(config, files, directory, host_of))

    async def first_look(self) -> None:
        """Looks until the names that matter are known, or for a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_S):
                await self.look()
                await self._names.known()
                await self.look()

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            await asyncio.sleep(_TICK_S)
            await self.look()

    def _list(self, directory: str) -> frozenset[str]:
        try:
            files, reason = frozenset(os.listdir(directory)), ""
        except OSError as error:
            files, reason = frozenset(), error.strerror or str(error)
        if reason and reason != self._broken:
            _log.warning("maintenancedir %s: %s; nobody is in maintenance", directory, reason)
        self._broken = reason
        return files


def _nobody(_: Address) -> str | None:
    return None


@contextlib.asynccontextmanager
async def maintaining(director: Director) -> AsyncIterator[None]:
    """Watches as long as the context lasts."""
    watch = MaintenanceWatch(director)
    await watch.first_look()
    watching = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        watching.cancel()
