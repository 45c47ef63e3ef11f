"""Shell: ``dr-ipvsadm``, ipvsadm's command line for a running director. Imports nothing slow.

Which director is asked is said by DR_FORWARDER_STATE_DIR, else it is the one of this user.
"""

from __future__ import annotations

import os
import sys

from .. import standard_files
from ..client import Client
from ..errors import NotRunning, Refused
from ..location import default_state_dir
from ..printable import printable
from . import command
from .names import SystemNames

TYPE_CHECKING = False  # as in typing, whose import would take a quick command's time
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..table import Change
    from .proc import Totals

_CANNOT_START = 2
_NOBODY_READS = 128 + 13
"""As a shell tells of what SIGPIPE ended."""
_REFUSED = "Can't initialize ipvs: Permission denied (you must be root)"
_FORBIDDEN = 403


class Far:
    """A running director, over its control socket, as `Ipvs`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.services = client.services
        self.connections = client.each_connection
        self.timeouts = client.timeouts
        self.set_timeouts = client.set_timeouts
        self.zero = client.zero
        self.daemons = client.daemons
        self.start_daemon = client.start_daemon
        self.stop_daemon = client.stop_daemon

    def apply(self, changes: Sequence[Change]) -> tuple[int, ...]:
        """Says on a terminal what ipvsadm has no words for: addresses that cannot be served."""
        applied = self._client.apply_and_tell(changes)
        if sys.stderr.isatty():
            for warning in applied.warnings:
                print(f"warning: {warning}", file=sys.stderr)
        return applied.results

    def totals(self) -> Totals:
        """Give what was counted over all services."""
        from .proc import Totals

        stats = self._client.stats()
        return Totals(stats.counters, stats.rates)


def main() -> None:
    """The entry point. There is nothing to tidy up at the end, which would take a tenth longer."""
    standard_files.settle()
    try:
        status = run(sys.argv[1:])
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        status = _NOBODY_READS
    except OSError as error:
        status = _complain(f"ipvsadm: {error.strerror or error}")
    os._exit(status)


def run(words: Sequence[str]) -> int:
    """Carries out the words after ``ipvsadm``, prints, and gives the exit status."""
    ipvs = Far(Client(default_state_dir()))
    try:
        outcome = command.run(words, ipvs, SystemNames(), given=sys.stdin.read)
        sys.stdout.write(outcome.out)
        sys.stdout.writelines(outcome.lines)
    except NotRunning as error:
        if isinstance(error.__cause__, PermissionError):
            return _complain(f"{_REFUSED}\n{error}")
        return _complain(
            "Can't initialize ipvs: Protocol not available\n"
            f"Are you sure that a director runs? {error}; start one: dr-forwarder run"
        )
    except Refused as error:
        return _complain(f"{_REFUSED}\n{error}" if error.status == _FORBIDDEN else str(error))
    sys.stdout.flush()
    sys.stderr.write(printable(outcome.error))
    return outcome.status


def _complain(text: str) -> int:
    print(printable(text), file=sys.stderr)
    return _CANNOT_START
