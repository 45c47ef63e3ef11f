"""Early signals: those that come while a director is being put together. Imports nothing slow.

Python's own start and a director's imports take a good part of a second, and names in a file may
take more to be found. SIGHUP's default would end the process, and SIGINT's print a traceback.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False  # as in typing, whose import would take a quick command's time
if TYPE_CHECKING:
    from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def hold() -> None:
    """From now on SIGHUP waits for ``release``, and what asks for the end has it at once."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP,))
    for number in ENDING:
        signal.signal(number, _end)


def release() -> None:
    """Lets a SIGHUP come that has been waiting; who calls this takes all four from now on."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGHUP,))


def _end(_number: int, _frame: FrameType | None) -> None:
    """Nothing has begun that would have to be ended; and an exception might come anywhere."""
    os._exit(0)
