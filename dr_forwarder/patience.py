"""Patience: a resolver for a start at boot, when the name service may not be there yet."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable

from .config.draft import Resolver
from .config.model import Address, Config, ConfigError
from .config.names import resolve
from .errors import TryAgain

_log = logging.getLogger(__name__)

AT_START_S = 30.0
"""Less than service managers wait for a start."""
_RETRY_S = 1.0


class Names:
    """Resolves like ``resolve``, and waits while the name service itself cannot be reached.

    When it cannot for so long, names fail without being asked for, because each would take the
    resolver's own time-out: the first failure holds for the whole file.
    """

    def __init__(
        self,
        patience_s: float,
        *,
        ask: Resolver = resolve,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._until_s = clock() + patience_s
        self._ask = ask
        self._clock = clock
        self._sleep = sleep
        self._told = False
        self._unreachable: socket.gaierror | None = None
        self.unknown = False
        """True when a name was not found: it may be when the file is read again."""

    def __call__(self, host: str, family: int) -> Address:
        """The first address of a host in family 4 or 6; raises OSError."""
        if self._unreachable is not None:
            raise self._unreachable
        while True:
            try:
                return self._ask(host, family)
            except socket.gaierror as error:
                if not self._may_wait(host, error):
                    self.unknown = True
                    raise
            self._sleep(_RETRY_S)

    def _may_wait(self, host: str, error: socket.gaierror) -> bool:
        if error.errno != socket.EAI_AGAIN:
            return False
        if self._clock() >= self._until_s:
            self._unreachable = error
            return False
        if not self._told:
            left_s = self._until_s - self._clock()
            _log.warning("Waiting for the name service, up to %.0f s: %s: %s", left_s, host, error)
        self._told = True
        return True


def at_start(read: Callable[[Resolver], Config], *, names: Names | None = None) -> Config:
    """Reads a configuration patiently; raises ConfigError, or TryAgain if a name was not found."""
    names = names or Names(AT_START_S)
    try:
        return read(names)
    except ConfigError as error:
        if names.unknown:
            raise TryAgain(str(error)) from error
        raise
