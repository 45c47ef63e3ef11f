"""Location: where a director of this user keeps its run-time files. Imports nothing slow."""

from __future__ import annotations

import os

STATE_DIR_VARIABLE = "DR_FORWARDER_STATE_DIR"
_SYSTEM = "/run/dr-forwarder"


def default_state_dir() -> str:
    """What DR_FORWARDER_STATE_DIR says, else that of root, else a directory of the user's own."""
    if told := os.environ.get(STATE_DIR_VARIABLE):
        return told
    if os.geteuid() == 0:
        return _SYSTEM
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return os.path.join(runtime, "dr-forwarder") if runtime else f"/tmp/dr-forwarder-{os.getuid()}"
