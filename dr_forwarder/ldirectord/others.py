"""Others: how another configuration's director (`execute`) is spoken to."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ..location import STATE_DIR_VARIABLE, default_state_dir

_ASKED_VARIABLE = "DR_LDIRECTORD_EXECUTED"


def command_of(name: str, action: str) -> tuple[str, ...]:
    """What has that director do something."""
    return (sys.executable, "-m", "dr_forwarder.ldirectord", name, action)


def environment_of(name: str) -> dict[str, str]:
    """Another director of this host needs a state directory of its own."""
    directory = f"{default_state_dir()}.{Path(name).name}"
    return {**os.environ, STATE_DIR_VARIABLE: directory, _ASKED_VARIABLE: "1"}


def is_asked() -> bool:
    """True if this process was itself asked by such a director: two may name each other."""
    return _ASKED_VARIABLE in os.environ
