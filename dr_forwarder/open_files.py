"""Open files: room for all checks at once, asked of the system before they begin."""

from __future__ import annotations

import resource
from typing import Final

from .config.model import CheckType, Config, Virtual
from .errors import SetupError

VISITORS: Final = 256
"""Who talks at the control socket and at the TCP address, as many as their doors let in."""
_OTHERS: Final = 256
"""The rings, the state, the log, libraries, programs that are run beside."""
_EXTERNAL: Final = 6
"""The pipes of a program, at both ends, and what watches it."""


def needed(config: Config) -> int:
    """At the most, when every check has its connection."""
    return VISITORS + _OTHERS + sum(len(each.real) * _of_check(each) for each in config.virtuals)


def _of_check(virtual: Virtual) -> int:
    check = virtual.check
    if check.type in (CheckType.ON, CheckType.OFF):
        return 0
    if check.type in (CheckType.EXTERNAL, CheckType.EXTERNAL_PERL):
        return _EXTERNAL
    # FTP has a second connection, and a connection through the VIP a port that is kept quiet.
    return 2 if check.service == "ftp" or check.through_vip else 1


def make_room(count: int) -> None:
    """Raises the process's limit to this, if it is lower; SetupError where that is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY not in (soft, hard) and hard < count:
        raise SetupError(
            f"all checks together may need {count} open files, and {hard} are allowed here:"
            f" raise the limit (ulimit -Hn {count}; systemd: LimitNOFILE={count};"
            f" docker run --ulimit nofile={count})"
        )
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
