"""A director whose log nobody reads: a pager that was stopped, a terminal that was suspended."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from running import LIMIT_S, UNCHECKED, wait_until

from dr_forwarder.client import Client
from dr_forwarder.errors import NotRunning
from dr_forwarder.lab import Lab


def filled_pipe() -> tuple[int, int]:
    """A pipe that has no room for a single byte any more."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, bytes(4096))
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"\0")
    os.set_blocking(writing, True)
    return reading, writing


def test_a_director_whose_log_nobody_reads_starts_serves_reloads_and_ends(
    own_lab: Lab, tmp_path: Path
) -> None:
    config, state_dir = tmp_path / "ldirectord.cf", tmp_path / "state"
    config.write_text(UNCHECKED)
    client = Client(state_dir)

    def servers() -> int:
        try:
            return sum(len(row.servers) for row in client.services())
        except NotRunning:
            return 0

    reading, writing = filled_pipe()
    argv = [sys.executable, "-m", "dr_forwarder", "run", "-v", str(config)]
    process = own_lab.popen("director", [*argv, "--state-dir", str(state_dir)], stderr=writing)
    os.close(writing)
    try:
        wait_until(lambda: servers() == 2, "it runs")
        assert [answer.strip() for answer in own_lab.requests(2)] == ["This is VM3", "This is VM2"]
        config.write_text(UNCHECKED.replace("        real=10.10.10.63:80 gate\n", ""))
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: servers() == 1, "it has read its file again")
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0
    finally:
        process.kill()
        process.wait()
        os.close(reading)
