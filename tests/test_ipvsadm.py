"""dr-ipvsadm as a program: what it prints where, how it ends, and that it needs nothing slow.

Its texts, errors and exit statuses are compared with the original's in tests/records.
"""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
from test_api import CONNECTIONS, SERVICES, while_serving

from dr_forwarder.ipvsadm import command, connections, listing
from dr_forwarder.ipvsadm.names import SystemNames
from dr_forwarder.table import Change

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


def test_whoever_may_not_ask_is_told_so_as_by_ipvsadm(ipvsadm: Run, tmp_path: Path) -> None:
    def refused(ask: Callable[[], object]) -> subprocess.CompletedProcess[str]:
        async def no(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b'HTTP/1.1 403 Forbidden\r\nContent-Length: 15\r\n\r\n{"error": "no"}')
            writer.close()

        async def scenario() -> subprocess.CompletedProcess[str]:
            async with await asyncio.start_unix_server(no, str(tmp_path / "control")):
                return await asyncio.to_thread(ask)

        return asyncio.run(scenario())

    ended = refused(lambda: ipvsadm("-C"))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.splitlines() == [
        "Can't initialize ipvs: Permission denied (you must be root)",
        "no",
    ]


def test_it_ends_where_nobody_reads_on(tmp_path: Path) -> None:
    def ask() -> subprocess.CompletedProcess[bytes]:
        here, there = os.pipe()
        os.close(here)
        environment = {**os.environ, "DR_FORWARDER_STATE_DIR": str(tmp_path)}
        words = [sys.executable, "-c", PROGRAM, "-Lnc"]
        try:
            return subprocess.run(
                words, env=environment, stdout=there, stderr=subprocess.PIPE, check=False
            )
        finally:
            os.close(there)

    ended = while_serving(tmp_path, ask)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_a_restored_table_is_asked_for_in_few_requests() -> None:
    class Counting:
        asked: ClassVar[list[int]] = []

        def apply(self, changes: Sequence[Change]) -> list[int]:
            self.asked.append(len(changes))
            return [errno.EEXIST if change.server is None else 0 for change in changes]

        def timeouts(self) -> tuple[int, int, int]:
            return 1, 2, 3

    lines = ["-A -t 10.0.0.1:80", "-a -t 10.0.0.1:80 -r 10.0.0.2", "-L --timeout", "-A -u :x"]
    lines[3:3] = [f"-a -t 10.0.0.1:80 -r 10.1.{n // 250}.{n % 250}" for n in range(5000)]
    ipvs = Counting()
    done = command.run(["-R"], ipvs, SystemNames(), given=lambda: "\n".join(lines))  # type: ignore[arg-type]
    assert ipvs.asked == [2, 4096, 904]
    assert done.out == "Timeout (tcp tcpfin udp): 1 2 3\n"
    assert done.error.splitlines() == [
        "Service already exists",
        "illegal virtual server address[:port] specified",
    ]
    assert done.status == 2


@pytest.mark.parametrize("word", ["-h", "--version"])
def test_help_and_version_need_no_director(ipvsadm: Run, word: str) -> None:
    ended = ipvsadm(word)
    assert ended.returncode == 0
    assert ended.stdout.startswith("ipvsadm v1.31 2019/12/24")


def test_other_ways_of_forwarding_are_refused_with_the_reason(ipvsadm: Run) -> None:
    ended = ipvsadm("-a", "-t", "10.0.0.1:80", "-r", "10.0.0.2:80", "-m")
    assert (ended.returncode, ended.stdout) == (255, "")
    assert "direct routing (-g)" in ended.stderr


SLOW = (
    *("inspect", "aiohttp", "asyncio", "click", "pyroute2", "http.client", "email", "pathlib"),
    "logging",
)


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


def test_classes_without_a_docstring_are_described_all_the_same() -> None:
    program = (
        "import sys, dr_forwarder.ipvsadm.shell; from dataclasses import make_dataclass;"
        " print('inspect' in sys.modules, make_dataclass('Plain', [('field', int)]).__doc__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=LIMIT_S
    )
    assert done.stdout == "False Plain(field: int)\n"
