"""A Linux kernel with IPVS as a process (user-mode Linux): carries out stories and records them.

Nothing of the host's kernel is touched, and the guest has no network but its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
PROGRAMS = {"linux.uml": "user-mode-linux", "ipvsadm": "ipvsadm", "modprobe": "kmod"}
"""What it takes, and the Debian package that has it."""
LIMIT_S = 300

Record = dict[str, Any]


class NoKernelError(Exception):
    """This machine cannot run one; says why."""


def _stay_on_one_cpu() -> None:
    """The guest's kernel and its programs are processes that take turns at each system call.

    From one CPU to another that takes three times as long, at least where these are virtual too.
    """
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def recorded(stories: Sequence[Record], folder: Path) -> list[Record]:
    """Each story as the kernel answered it, in the recordings' format. Raises NoKernelError."""
    for program, package in PROGRAMS.items():
        if shutil.which(program, path=PATH) is None:
            raise NoKernelError(f"{program} is not installed (Debian: {package})")
    (folder / "stories.json").write_text(json.dumps(stories))
    command = [
        *("linux.uml", "mem=512M", "rootfstype=hostfs", "rw", f"init={HERE / 'init'}"),
        *("con=null", "con0=null,fd:1", "ssl=null", "quiet"),
        *(f"dr_python={Path(sys.executable).resolve()}", f"dr_program={HERE / 'guest.py'}"),
        f"dr_folder={folder}",
    ]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        preexec_fn=_stay_on_one_cpu,
    )
    records = folder / "records.json"
    if not records.exists():
        log = folder / "log"
        if log.exists():
            raise AssertionError(f"the guest's program failed:\n{log.read_text()}")
        raise NoKernelError(f"it did not boot: {done.stdout[-500:]}{done.stderr[-500:]}")
    return list(json.loads(records.read_text()))
