"""Standard files: input, output and errors as every command wants them. Imports nothing slow."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper


def settle() -> None:
    """Opens what was closed (``>&-``), and writes what a locale lacks as ``\\N`` escapes.

    A closed one would become the next file that is opened: a socket would get what is printed.
    Python has no object for it then; who has closed it wants nothing of it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if _is_closed(number):
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))
    for file in (sys.stdout, sys.stderr):
        if isinstance(file, TextIOWrapper):
            file.reconfigure(errors="backslashreplace")


def drop_what_nobody_reads() -> None:
    """To be called last: what cannot be written must not be tried again at the interpreter's end.

    It would complain there, and make the exit status 120.
    """
    for file in (sys.stdout, sys.stderr):
        try:
            file.flush()
        except OSError:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, file.fileno())
            os.close(nothing)


def _is_closed(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return True
    return False
