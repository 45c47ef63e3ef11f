"""What a lab needs, for the tests: as root, or as anybody in a user namespace entered here."""

from __future__ import annotations

import os

from dr_forwarder.lab import LabUnavailable, acquire_privileges


def enter() -> None:
    """To be called before anything has started a thread: the kernel's condition."""
    # In the user namespace we are uid 0, and pytest would look for its files under root's name.
    os.environ.setdefault("LOGNAME", f"uid-{os.getuid()}")
    try:
        acquire_privileges()
    except LabUnavailable:
        pass  # who makes a lab meets the same refusal, and skips with its reason
