"""The command `dr-forwarder`: parses arguments, prints, and decides the exit status.

0: fine. 1: the thing asked for is not so. 2: usage or configuration error. 75: not so yet, and a
second try may find it so (EX_TEMPFAIL of sysexits.h), which a service manager then makes.
"""

from __future__ import annotations

import sys

from .. import early_signals, standard_files

_INTERRUPTED = 128 + 2
"""As a shell tells of what SIGINT ended."""


def main() -> None:
    """The entry point."""
    standard_files.settle()
    if sys.argv[1:2] == ["run"]:
        early_signals.hold()  # before anything slow is imported
    try:
        from .ending import ending
        from .program import program

        with ending():
            program(prog_name="dr-forwarder")
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
