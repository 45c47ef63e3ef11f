"""dr-ipvsadm as a program: what it prints where, how it ends, and that it needs nothing slow.

Its texts, errors and exit statuses are compared with the original's in tests/records.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from test_api import CONNECTIONS, SERVICES, while_serving

from dr_forwarder.ipvsadm import connections, listing

LIMIT_S = 60
PROGRAM = "from dr_forwarder.ipvsadm.shell import main; main()"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def ipvsadm(tmp_path: Path) -> Run:
    def run(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, *words],
            env={**os.environ, "DR_FORWARDER_STATE_DIR": str(tmp_path)},
            input=given,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    return run


def test_it_lists_what_the_director_has(ipvsadm: Run, tmp_path: Path) -> None:
    listed = while_serving(tmp_path, lambda: ipvsadm("-Ln"))
    assert (listed.returncode, listed.stdout, listed.stderr) == (0, listing.table(SERVICES), "")
    listed = while_serving(tmp_path, lambda: ipvsadm("-Lnc"))
    assert listed.stdout == connections.connections(CONNECTIONS)


def test_without_a_director_it_says_so_as_without_ip_vs(ipvsadm: Run, tmp_path: Path) -> None:
    ended = ipvsadm("-Ln")
    assert (ended.returncode, ended.stdout) == (2, "")
    first, second = ended.stderr.splitlines()
    assert first == "Can't initialize ipvs: Protocol not available"
    assert str(tmp_path) in second
    assert "dr-forwarder run" in second


@pytest.mark.parametrize("word", ["-h", "--version"])
def test_help_and_version_need_no_director(ipvsadm: Run, word: str) -> None:
    ended = ipvsadm(word)
    assert ended.returncode == 0
    assert ended.stdout.startswith("ipvsadm v1.31 2019/12/24")


def test_other_ways_of_forwarding_are_refused_with_the_reason(ipvsadm: Run) -> None:
    ended = ipvsadm("-a", "-t", "10.0.0.1:80", "-r", "10.0.0.2:80", "-m")
    assert (ended.returncode, ended.stdout) == (255, "")
    assert "direct routing (-g)" in ended.stderr


SLOW = ("aiohttp", "asyncio", "click", "pyroute2", "http.client", "email", "pathlib", "logging")


def test_it_imports_nothing_slow() -> None:
    """Each of these would take longer than all the rest; ldirectord starts it often."""
    program = (
        "import sys; before = set(sys.modules); import dr_forwarder.ipvsadm.shell;"
        " print(*(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=LIMIT_S
    )
    assert not set(SLOW) & set(done.stdout.split())
