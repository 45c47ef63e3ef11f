"""Ending: what went wrong as one line, and the exit status; never a traceback but for our bugs."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator

from ..config.model import ConfigError
from ..errors import DataplaneError, ForwarderError, TryAgain
from ..printable import printable
from ..standard_files import drop_what_nobody_reads

_log = logging.getLogger(__name__)

WRONG, USAGE, TEMPORARY = 1, 2, 75
"""75 is EX_TEMPFAIL of sysexits.h."""


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """Ends the program by what is raised inside; what was printed is out before."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except ConfigError as error:
        _end(str(error), USAGE)
    except TryAgain as error:
        _end(str(error), TEMPORARY)
    except (ForwarderError, DataplaneError) as error:
        _end(f"dr-forwarder: {error}", WRONG)
    except BrokenPipeError:
        _end(None, WRONG)  # whoever read our output has seen enough
    except OSError as error:
        _log.debug("Where it happened:", exc_info=True)
        _end(f"dr-forwarder: {_of(error)}", WRONG)
    except MemoryError:
        _end("dr-forwarder: there is not enough memory", WRONG)


def _of(error: OSError) -> str:
    return f"{error.filename or 'a file'}: {error.strerror or error}"


def _end(text: str | None, status: int) -> None:
    if text is not None:
        with contextlib.suppress(OSError):
            print(printable(text), file=sys.stderr, flush=True)
    drop_what_nobody_reads()
    sys.exit(status)
