"""What a lab needs, for the tests: as root, or as anybody in a user namespace entered here."""

from __future__ import annotations

import os
from pathlib import Path

from dr_forwarder.lab import LabUnavailable, acquire_privileges

_REFUSED = "DR_TESTS_NO_LAB"


def reason(refusal: LabUnavailable) -> str:
    """Why there can be no lab."""
    return os.environ.get(_REFUSED, str(refusal))


def enter() -> None:
    """To be called before anything has started a thread: the kernel's condition."""
    # In the user namespace we are uid 0, and pytest would look for its files under root's name.
    os.environ.setdefault("LOGNAME", f"uid-{os.getuid()}")
    try:
        acquire_privileges()
    except LabUnavailable as refusal:
        # Who makes a lab in a process with threads, as those are that share the tests, would learn
        # only that it has some.
        os.environ.setdefault(_REFUSED, str(refusal))


NOBODY = 65534


def may_become_others() -> bool:
    """Whether we are root, and not only the user 0 of a namespace in which there is nobody else."""
    known = (map(int, line.split()) for line in Path("/proc/self/uid_map").read_text().splitlines())
    return os.geteuid() == 0 and any(first <= NOBODY < first + count for first, _, count in known)
