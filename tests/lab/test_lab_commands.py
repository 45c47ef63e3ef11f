"""The lab's commands, from processes of their own: as we are, and as nobody."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dr_forwarder.lab import LabError, down

ROOT = Path(__file__).parents[2]
NOBODY = 65534
LIMIT_S = 30.0

UP = """
import pathlib, sys
from dr_forwarder.lab import up
up(pathlib.Path(sys.argv[1]), say=lambda text: print(text, flush=True))
"""
EXECUTE = """
import pathlib, sys
from dr_forwarder.lab import execute
sys.exit(execute(pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
"""
BREAK_AND_CHECK = """
import pathlib, sys
from dr_forwarder.lab import Attached, break_, check
with Attached(pathlib.Path(sys.argv[1])) as network:
    print([finding.answered for finding in check(network)])
    for name in ("arp", "no-vip", "web"):
        break_(network, name)
    print([finding.answered for finding in check(network)])
"""
DOWN = """
import pathlib, sys
from dr_forwarder.lab import down
down(pathlib.Path(sys.argv[1]))
"""
ALONE = """
from ipaddress import IPv4Address
from dr_forwarder.lab import Lab
with Lab() as lab:
    vm2 = IPv4Address("10.10.10.62")
    print(lab.get(address=vm2), lab.upload(1_000_000, address=vm2).size_bytes)
"""


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs a script, and by which interpreter."""

    python: str = sys.executable
    identity: Mapping[str, object] = field(default_factory=dict)

    def start(self, script: str, *arguments: str | Path) -> subprocess.Popen[str]:
        # What we can import, so can an interpreter of the same version elsewhere.
        paths = os.pathsep.join((str(ROOT), *filter(None, sys.path)))
        process: subprocess.Popen[str] = subprocess.Popen(
            [self.python, "-c", script, *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **self.identity,  # type: ignore[call-overload] # user=, group=, extra_groups=
        )
        return process

    def run(self, script: str, *arguments: str | Path) -> tuple[int, str, str]:
        with self.start(script, *arguments) as process:
            said, complained = process.communicate(timeout=LIMIT_S)
        return process.returncode, said, complained


def nobody() -> Account:
    """The account without rights; skips where it cannot be had."""
    # An interpreter below somebody's home is closed to others; the system's may do.
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    reason = ""
    for python in (sys.executable, f"/usr/bin/{version}"):
        account = Account(python, identity)
        try:
            status, _, reason = account.run("import dr_forwarder.lab")
        except OSError as error:
            reason = str(error)
            continue
        if status == 0:
            return account
    pytest.skip(f"cannot run Python as nobody: {reason.strip().splitlines()[-1]}")


@pytest.fixture(scope="module", params=["ourselves", "nobody"])
def account(request: pytest.FixtureRequest, possible: None) -> Account:
    chosen = nobody() if request.param == "nobody" else Account()
    status, _, complained = chosen.run(ALONE)
    last = complained.strip().splitlines()[-1] if complained else ""
    if status and "LabUnavailable" in last:
        pytest.skip(last)
    return chosen


@pytest.fixture
def state_file() -> Iterator[Path]:
    # Not tmp_path: the directories above that one are closed to others, and nobody is another.
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o777)
        yield Path(place, "lab.json")


@contextmanager
def lab_up(account: Account, state_file: Path) -> Iterator[subprocess.Popen[str]]:
    with account.start(UP, state_file) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("Ctrl-C"):
                    break
            else:
                assert process.stderr is not None
                pytest.fail(process.stderr.read())
            yield process
        finally:
            process.kill()


def wait_until_gone(pid: int) -> None:
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([process], [], [], LIMIT_S)[0], f"pid {pid} is still there"
    finally:
        os.close(process)


def web_pids(state_file: Path) -> list[int]:
    hosts = json.loads(state_file.read_text())["hosts"].values()
    return [host["web_pid"] for host in hosts if host["web_pid"]]


def test_a_script_has_its_lab(account: Account) -> None:
    assert account.run(ALONE) == (0, "This is VM2\n 1000000\n", "")


def test_a_lab_that_is_up_is_entered_and_ended(account: Account, state_file: Path) -> None:
    with lab_up(account, state_file) as process:
        status, said, _ = account.run(EXECUTE, state_file, "vm3", "cat", "/proc/net/fib_trie")
        assert (status, "10.10.10.63" in said) == (0, True)
        assert account.run(EXECUTE, state_file, "client", "/nothing/there") == (
            *(127, ""),
            "dr-forwarder: /nothing/there: No such file or directory\n",
        )
        assert account.run(EXECUTE, state_file, "vm9", "true")[2].endswith(
            "the lab has no host 'vm9'; it has: client, director, vm2, vm3\n"
        )
        pids = web_pids(state_file)
        assert account.run(DOWN, state_file) == (0, "", "")
        assert process.wait(LIMIT_S) == 0
    assert not state_file.exists()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_lab_that_is_up_is_broken_from_outside(account: Account, state_file: Path) -> None:
    with lab_up(account, state_file):
        said = "[True, True]\n[False, True]\n"
        assert account.run(BREAK_AND_CHECK, state_file) == (0, said, "")


def test_a_second_lab_is_refused(account: Account, state_file: Path) -> None:
    with lab_up(account, state_file) as process:
        _, _, complained = account.run(UP, state_file)
        assert f"a lab is up already (pid {process.pid})" in complained


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_lab(account: Account, state_file: Path, number: signal.Signals) -> None:
    with lab_up(account, state_file) as process:
        process.send_signal(number)
        assert process.wait(LIMIT_S) == 0
        assert process.stdout is not None
        assert process.stdout.read() == "The lab is down.\n"
    assert not state_file.exists()


def test_a_killed_lab_takes_its_web_servers_along(account: Account, state_file: Path) -> None:
    with lab_up(account, state_file) as process:
        pids = web_pids(state_file)
        process.kill()
        process.wait(LIMIT_S)
    for pid in pids:
        wait_until_gone(pid)
    with pytest.raises(LabError, match="no lab is up any more"):
        down(state_file)


def test_down_without_a_lab_says_so(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no lab is up; start one"):
        down(tmp_path / "lab.json")
