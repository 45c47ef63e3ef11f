"""Errors by whose fault they are; a configuration's own is ``config.ConfigError``."""

from __future__ import annotations

import errno
import os
from typing import Final

_CURES: Final = {errno.ENOMEM: "; allow the director more (ulimit -v, MemoryMax=)"}


STARTING: Final = "the director is starting"
"""The whole of what is answered until it has started."""


class ForwarderError(Exception):
    """Something to tell the user in one line; a command then ends with status 1."""


class SetupError(ForwarderError):
    """The host is not as direct routing needs it; the text says what to do about it."""


class NotYet(SetupError):  # noqa: N818 - a state of the host, and read as one
    """The host may become so by itself: an interface or an address is not there yet."""


class TryAgain(ForwarderError):  # noqa: N818 - what to do, and read as that
    """Not so yet, and the next try may find it so; `run` then ends with status 75."""


class DataplaneError(OSError):
    """The system refused something the core needs; carries the errno."""


def check(result: int, what: str) -> None:
    """Raises DataplaneError for what the core answered: 0 or more is fine, else it is -errno."""
    if result < 0:
        text = f"{what}: {os.strerror(-result)}{_CURES.get(-result, '')}"
        raise DataplaneError(-result, text)


class NotRunning(ForwarderError):  # noqa: N818 - a state of the host, and read as one
    """No director answers in this state directory."""


class Refused(ForwarderError):  # noqa: N818 - an answer, and read as one
    """A running director does not do what it was asked for; ``field`` names what is wrong."""

    def __init__(self, reason: str, *, status: int, field: str | None = None) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.status = status
        """HTTP's: 400 a wrong value, 404 nothing of that name, 409 there already."""
        self.field = field
