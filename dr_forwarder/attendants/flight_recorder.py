"""Flight recorder: when a server goes down, the last dropped frames of each reason in a file.

They are kept all the time; `dr-forwarder trace --dropped` has them whenever it is asked.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from .. import record_file
from ..director import Director
from ..endpoints import endpoint
from ..events import Happening, HealthEvent
from ..records import Record
from .background import Background

_log = logging.getLogger(__name__)

KEPT_FILES = 50
_APART_S = 10.0
"""Servers often go down together, and see the same frames."""
_SUFFIX = "_down.pcapng"


@contextlib.contextmanager
def recording(director: Director) -> Iterator[None]:
    """Writes as long as the context lasts, where the configuration has `flight_recorder_dir`."""
    background, due_s = Background("flight recorder"), 0.0

    def hear(happening: Happening) -> None:
        nonlocal due_s
        event, directory = happening.event, director.config.settings.flight_recorder_dir
        if directory is None or not isinstance(event, HealthEvent) or event.up:
            return
        if happening.at_s < due_s or not (records := director.drops()):
            return
        due_s = happening.at_s + _APART_S
        name = file_name(happening.at_s, endpoint(event.address, event.port))
        background.do(functools.partial(_write, directory, name, records))

    deafen = director.events.listen(hear)
    try:
        yield
    finally:
        deafen()
        background.close(limit_s=2)


def file_name(at_s: float, server: str) -> str:
    """``2026-11-26T02-10-11Z_10.10.10.62-80_down.pcapng``: in the order of time, for any system."""
    stamp = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime(at_s))
    return f"{stamp}_{server.translate(str.maketrans(':', '-', '[]'))}{_SUFFIX}"


def _write(directory: Path, name: str, records: Sequence[Record]) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for old in sorted(directory.glob(f"*{_SUFFIX}"))[: -(KEPT_FILES - 1)]:
            old.unlink()
        (directory / name).touch(mode=0o600)
        (directory / name).write_bytes(record_file.contents(records))
    except OSError as error:
        _log.error("flight_recorder_dir %s: %s", directory, error.strerror)
    else:
        _log.info("The last %d dropped frames are in %s", len(records), directory / name)
