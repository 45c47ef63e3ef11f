"""dr-ldirectord in the lab, as cluster agents and init scripts call it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import CONFIG, wait_until

from dr_forwarder.lab import Lab

LDIRECTORD = (sys.executable, "-m", "dr_forwarder.ldirectord")


class Ldirectord:
    """The command, on the lab's director, with its files in a directory of the test's."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        self.config = directory / "www.cf"
        self.log = directory / "ldirectord.log"
        self.pid_file = directory / "ldirectord.www.cf.pid"
        self.environment = {
            **os.environ,
            "DR_FORWARDER_STATE_DIR": str(directory / "state"),
            "DR_LDIRECTORD_PID_DIR": str(directory),
        }
        self.said = ""
        self.write(CONFIG)

    def write(self, text: str) -> None:
        self.config.write_text(f'logfile="{self.log}"\n{text}')

    def __call__(self, action: str) -> int:
        process = self.popen(action)
        self.said = process.communicate(timeout=30)[0]
        return process.returncode

    def popen(self, *arguments: str) -> subprocess.Popen[str]:
        argv = [*LDIRECTORD, str(self.config), *arguments]
        return self.lab.popen(
            "director",
            argv,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    @property
    def pid(self) -> int:
        return int(self.pid_file.read_text())


@pytest.fixture
def ldirectord(lab: Lab, tmp_path: Path) -> Iterator[Ldirectord]:
    command = Ldirectord(lab, tmp_path)
    yield command
    assert command("stop") == 0


BOTH = ["This is VM2\n", "This is VM3\n"]


def test_the_sequence_of_a_cluster_agent(lab: Lab, ldirectord: Ldirectord) -> None:
    assert ldirectord("status") == 3
    assert ldirectord("start") == 0, ldirectord.said
    assert ldirectord("status") == 0
    assert ldirectord.said.endswith(f"is running with pid: {ldirectord.pid}\n")
    # It is up when start has returned: nothing is waited for.
    assert sorted(lab.requests(2)) == BOTH
    assert b"ldirectord" in Path(f"/proc/{ldirectord.pid}/cmdline").read_bytes()
    pid = ldirectord.pid
    assert ldirectord("start") == 0
    assert ldirectord.pid == pid
    assert ldirectord("stop") == 0
    assert not ldirectord.pid_file.exists()
    assert ldirectord("status") == 3
    assert ldirectord("stop") == 0
    logged = ldirectord.log.read_text()
    assert f"|www.cf|{pid}] Added virtual server: 10.10.10.60:80\n" in logged
    end = logged.partition("terminated on signal: TERM")[2]
    assert "Purged virtual server (stop): 10.10.10.60:80" in end
    assert end.endswith("] Exiting with exit_status 0\n")


def test_the_sequence_of_an_init_script(lab: Lab, ldirectord: Ldirectord) -> None:
    assert ldirectord("try-restart") == 0
    assert not ldirectord.pid_file.exists()
    assert ldirectord("restart") == 0
    first = ldirectord.pid
    assert ldirectord("restart") == 0
    second = ldirectord.pid
    assert ldirectord("try-restart") == 0
    assert len({first, second, ldirectord.pid}) == 3
    ldirectord.write(CONFIG.replace("10.10.10.62:80 gate", "10.10.10.62:80 gate 3"))
    assert ldirectord("reload") == 0
    changed = "Restored real server: 10.10.10.62:80 (10.10.10.60:80) (Weight set to 3)"
    wait_until(lambda: changed in ldirectord.log.read_text(), "reloaded")
    pid = ldirectord.pid
    ldirectord.write("nonsense\n")
    for action in ("reload", "force-reload", "restart"):
        assert ldirectord(action) == 2
        assert f"{ldirectord.config}:2: error:" in ldirectord.said
        assert ldirectord.pid == pid
    assert sorted(lab.requests(4)) == [BOTH[0]] * 3 + [BOTH[1]]


def test_a_killed_director_is_stale_and_starts_again(ldirectord: Ldirectord) -> None:
    assert ldirectord("start") == 0
    pid = ldirectord.pid
    os.kill(pid, 9)
    wait_until(lambda: ldirectord("status") == 1, "stale")
    assert ldirectord("start") == 0
    assert ldirectord.pid != pid


def test_start_says_why_it_cannot(ldirectord: Ldirectord) -> None:
    ldirectord.write(CONFIG.replace("10.10.10.6", "10.99.0.6"))
    assert ldirectord("start") == 1
    assert ldirectord.said.startswith("ldirectord: ")
    assert not ldirectord.pid_file.exists()
    ldirectord.config.write_text(f'logfile="/nowhere/log"\n{CONFIG}')
    assert ldirectord("start") == 2
    assert "logfile /nowhere/log cannot be opened" in ldirectord.said


def test_a_second_name_for_the_same_host_does_not_start_a_second_director(
    ldirectord: Ldirectord, tmp_path: Path
) -> None:
    assert ldirectord("start") == 0
    other = Ldirectord(ldirectord.lab, tmp_path)
    other.config = tmp_path / "other.cf"
    other.write(CONFIG)
    assert other("start") == 1
    assert f"a director is running already in {tmp_path}/state (pid {ldirectord.pid})" in other.said
    assert not (tmp_path / "ldirectord.other.cf.pid").exists()


@pytest.mark.parametrize(
    ("text", "option"), [("supervised=yes\n", ()), ("", ("-d",))], ids=["supervised", "-d"]
)
def test_in_the_foreground_it_has_no_pid_file(
    ldirectord: Ldirectord, text: str, option: tuple[str, ...]
) -> None:
    ldirectord.write(text + CONFIG)
    argv = [*LDIRECTORD, *option, str(ldirectord.config), "start"]
    process = ldirectord.lab.popen(
        "director",
        argv,
        env=ldirectord.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with process:
        assert process.stdout is not None
        seen = ""
        while "Running: 1 virtual servers" not in seen:
            line = process.stdout.readline()
            assert line, seen
            assert line.startswith("[")
            seen += line
        assert not ldirectord.pid_file.exists()
        process.terminate()
    assert process.returncode == 0


def test_execute_starts_and_stops_another_configuration(
    ldirectord: Ldirectord, tmp_path: Path
) -> None:
    other, log = tmp_path / "other.cf", tmp_path / "other.log"
    log.touch()
    other.write_text(f'logfile="{log}"\n' + CONFIG.replace("60:80", "59:80"))
    ldirectord.write(f"execute={other}\n{CONFIG}")
    pid_file = tmp_path / "ldirectord.other.cf.pid"
    assert ldirectord("start") == 0
    wait_until(lambda: "Running: 1 virtual servers" in log.read_text(), "the other one runs")
    assert f"|other.cf|{pid_file.read_text().strip()}] Running" in log.read_text()
    assert ldirectord("stop") == 0
    assert not pid_file.exists()
