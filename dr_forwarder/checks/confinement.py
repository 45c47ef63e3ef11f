"""Confinement: what a worker gives up before it reads a stranger's bytes, and its limits."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from pathlib import Path
from typing import Final

DATA_BYTES: Final = 64 * 1024 * 1024
"""What all answers together may take of a worker's memory, above what its libraries take."""
BUSY_S: Final = 1.0
"""CPU time until a worker must have turned to its next event."""
EXIT_MEMORY: Final = 77
"""The exit status of a worker whose memory was not enough."""

_LIBRARIES_BYTES: Final = 192 * 1024 * 1024
"""More than any takes by itself, for where there is no /proc."""

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION_3: Final = 0x20080522
_libc = ctypes.CDLL(None, use_errno=True)


def give_up() -> None:
    """All capabilities, and the means to get any: it connects to ports, and nothing else."""
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    if _libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def end_with_parent() -> None:
    """Also where the worker hears nothing any more."""
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def adopt_orphans() -> None:
    """Whatever the programs of this process leave behind becomes its own child."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def limit_memory() -> None:
    """From here on `DATA_BYTES` more, once the libraries are there."""
    most = _data_bytes() + DATA_BYTES
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def _data_bytes() -> int:
    """What `RLIMIT_DATA` counts (proc(5), VmData)."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return _LIBRARIES_BYTES


def must_turn() -> None:
    """The kernel ends this process unless it is called again within `BUSY_S` of CPU time."""
    signal.setitimer(signal.ITIMER_PROF, BUSY_S)


def may_rest() -> None:
    """It no longer needs to be called."""
    signal.setitimer(signal.ITIMER_PROF, 0)
