"""What conftest.py sees to: no test goes on for ever, or fails for want of a program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ENDED = """
import signal, subprocess, time

def test_waits():
    time.sleep(60)

def test_starts_a_program_that_is_not_installed():
    subprocess.run(["no-such-program"])

def test_opens_a_file_that_is_not_there():
    open("no-such-file")

def test_heeds_no_signal():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    signal.sigwait([signal.SIGUSR1])
"""


def test_there_is_a_limit(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.pluginmanager.hasplugin("timeout")
    assert 0 < float(pytestconfig.getini("timeout")) <= 300


def test_a_test_that_does_not_end_is_ended_and_a_missing_program_skipped(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(ENDED)
    options = ["-v", "-rs", "-p", "conftest", "-o", "timeout=1", "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "test_it.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(TESTS), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    for ended in (
        "test_waits FAILED",
        "test_starts_a_program_that_is_not_installed SKIPPED (needs no-such-program",
        "test_opens_a_file_that_is_not_there FAILED",
    ):
        assert ended in done.stdout
    assert done.returncode == 1
    assert "Timeout (0:00:02)!" in done.stderr
    assert "in test_heeds_no_signal" in done.stderr
