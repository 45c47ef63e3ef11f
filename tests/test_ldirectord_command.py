"""dr-ldirectord's command line: actions, messages, exit statuses and the pid file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dr_forwarder.config import ConfigError
from dr_forwarder.errors import SetupError
from dr_forwarder.ldirectord import daemon, service
from dr_forwarder.ldirectord.__main__ import run
from dr_forwarder.ldirectord.command_line import Action, Invocation, UsageError, parse
from dr_forwarder.ldirectord.pid_file import DIRECTORY_VARIABLE, PidFile

FINE = "virtual=10.10.10.60:80\n        real=10.10.10.62:80 gate\n"
GONE = 2**22 + 1
"""More than the kernel's highest process number."""

LINES = [
    pytest.param(["start"], Invocation(Action.START), id="an action alone"),
    pytest.param(["a.cf", "stop"], Invocation(Action.STOP, "a.cf"), id="with a file"),
    pytest.param(["a.cf", "status", "x"], Invocation(Action.STATUS, "a.cf"), id="and more"),
    pytest.param(["-d", "a.cf", "start"], Invocation(Action.START, "a.cf", True), id="-d"),
    pytest.param(["--debug", "--", "start"], Invocation(Action.START, None, True), id="--"),
    pytest.param(["--", "-a", "start"], Invocation(Action.START, "-a"), id="a dash after --"),
    pytest.param(["-h"], Invocation(Action.HELP), id="-h"),
    pytest.param(["-?"], Invocation(Action.HELP), id="-?"),
    pytest.param(["-v", "nonsense"], Invocation(Action.VERSION), id="-v"),
    pytest.param(["try-restart"], Invocation(Action.TRY_RESTART), id="try-restart"),
    pytest.param(["force-reload"], Invocation(Action.FORCE_RELOAD), id="force-reload"),
]


@pytest.mark.parametrize(("arguments", "expected"), LINES)
def test_a_command_line_is_understood(arguments: list[str], expected: Invocation) -> None:
    assert parse(arguments) == expected


@pytest.mark.parametrize("arguments", [[], ["-x", "start"], ["begin"], ["a.cf", "begin"], ["help"]])
def test_anything_else_is_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError):
        parse(arguments)
    assert run(arguments) == 255
    assert "Usage: dr-ldirectord" in capsys.readouterr().err


def test_a_configuration_is_looked_for_where_ldirectord_does() -> None:
    asked = Invocation(Action.START, "www.cf")
    assert asked.candidates == ("/etc/ha.d/www.cf", "/etc/ha.d/conf/www.cf", "www.cf")
    assert Invocation(Action.START).candidates[0] == "/etc/ha.d/ldirectord.cf"


NAMES = [(None, "ldirectord"), ("www.cf", "www.cf"), ("/etc/ha.d/www.cf", "www.cf")]


@pytest.mark.parametrize(("config", "expected"), NAMES)
def test_the_pid_file_is_named_after_the_file(config: str | None, expected: str) -> None:
    assert Invocation(Action.START, config).name == expected


# ---- Statuses ----


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    (tmp_path / "a.cf").write_text(FINE)
    return tmp_path


@pytest.fixture
def live(directory: Path) -> Iterator[int]:
    """A process that looks like a director's, and its pid file."""
    waiting = "import time; print(flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", waiting, "ldirectord"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        pid_file(directory).write_text(f"{process.pid}\n")
        yield process.pid
        process.kill()


def pid_file(directory: Path) -> Path:
    return directory / "ldirectord.a.cf.pid"


def act(directory: Path, action: str) -> int:
    return run([str(directory / "a.cf"), action])


NOT_RUNNING = [("status", 3), ("stop", 0), ("try-restart", 0), ("reload", 1), ("force-reload", 1)]


@pytest.mark.parametrize(("action", "status"), NOT_RUNNING)
def test_exit_statuses_while_nothing_runs(directory: Path, action: str, status: int) -> None:
    assert act(directory, action) == status


def test_status_says_stopped_on_stdout(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    act(directory, "status")
    assert capsys.readouterr().out == f"ldirectord is stopped for {directory}/a.cf\n"


def test_a_stale_pid_file_is_status_1_and_stop_takes_it_away(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pid_file(directory).write_text(f"{GONE}\n")
    assert act(directory, "status") == 1
    said = capsys.readouterr()
    assert "ldirectord is stopped for" in said.out
    assert "stale pid file" in said.err
    assert act(directory, "stop") == 0
    assert act(directory, "status") == 3


def test_a_process_that_is_no_director_is_not_running(directory: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        pid_file(directory).write_text(f"{other.pid}\n")
        assert act(directory, "status") == 1
        assert act(directory, "stop") == 0
        assert other.poll() is None
        other.kill()


def test_status_and_start_of_a_running_one(
    directory: Path, live: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert act(directory, "status") == 0
    said = capsys.readouterr()
    assert said.err == f"ldirectord for {directory}/a.cf is running with pid: {live}\n"
    assert act(directory, "start") == 0


@pytest.mark.parametrize("action", ["start", "reload", "restart", "try-restart", "status"])
def test_a_broken_file_is_status_2(
    directory: Path, action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (directory / "a.cf").write_text("nonsense\n")
    assert act(directory, action) == 2
    assert f"{directory}/a.cf:1: error: " in capsys.readouterr().err


@pytest.mark.parametrize("action", ["reload", "force-reload", "restart", "try-restart"])
def test_a_broken_file_touches_neither_a_live_director_nor_its_pid_file(
    directory: Path, live: int, action: str
) -> None:
    (directory / "a.cf").write_text("nonsense\n")
    assert act(directory, action) == 2
    assert PidFile(pid_file(directory)).running == live


def test_a_broken_file_does_not_make_a_live_director_look_ill(
    directory: Path, live: int, capsys: pytest.CaptureFixture[str]
) -> None:
    (directory / "a.cf").write_text("nonsense\n")
    assert act(directory, "status") == 0
    said = capsys.readouterr().err
    assert "a.cf:1: error: " in said
    assert f"is running with pid: {live}" in said


@pytest.mark.parametrize("written", [FINE, "nonsense\n", None])
def test_stop_stops_whatever_has_become_of_the_file(
    directory: Path, live: int, written: str | None
) -> None:
    (directory / "a.cf").unlink()
    if written is not None:
        (directory / "a.cf").write_text(written)
    assert act(directory, "stop") == 0
    assert os.waitpid(live, 0)[1] == signal.SIGTERM
    assert PidFile(pid_file(directory)).running is None


def test_a_missing_file_is_status_1(directory: Path) -> None:
    assert run([str(directory / "b.cf"), "start"]) == 1


def test_a_pid_file_is_taken_away_by_its_own_process_only(directory: Path) -> None:
    pids = PidFile(pid_file(directory))
    with pids.held():
        assert pids.written == os.getpid()
        pids.path.write_text("1\n")
    assert pids.written == 1
    with (
        pytest.raises(SetupError, match="pid file /nowhere/a: No such file"),
        PidFile(Path("/nowhere/a")).held(),
    ):
        pass


def test_the_status_of_another_configuration_is_shown_too(
    directory: Path, live: int, capfd: pytest.CaptureFixture[str]
) -> None:
    (directory / "b.cf").write_text(f"execute={directory}/a.cf\n{FINE}")
    (directory / "a.cf").write_text(f"execute={directory}/b.cf\n{FINE}")
    assert run([str(directory / "b.cf"), "status"]) == 3
    assert f"is running with pid: {live}" in capfd.readouterr().err


# ---- The daemon ----


def in_daemon(serve: str) -> str:
    """What its starter learns, in a process that has no thread."""
    program = (
        "import os, sys\n"
        "from dr_forwarder.ldirectord import daemon\n"
        f"def serve(report):\n    {serve}\n    return 5\n"
        "print(daemon.start(serve))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    ).stdout


SERVES = [
    pytest.param("report.up()", "(0, '')", id="up"),
    pytest.param("report.failed(2, 'a.cf:1: error: x')", "(2, 'a.cf:1: error: x')", id="failed"),
    pytest.param("report.up(); report.failed(1, 'late')", "(0, '')", id="told once"),
    pytest.param("raise ValueError('bug')", "(1, 'ValueError: bug')", id="a bug"),
    pytest.param("os._exit(9)", "(1, 'the director ended while it was starting", id="killed"),
    pytest.param(
        "report.failed(3, f'{os.getcwd()} {os.getsid(0) != os.getpgid(os.getppid())}')",
        "(3, '/ ",
        id="in a session and a directory of its own",
    ),
]


@pytest.mark.parametrize(("serve", "expected"), SERVES)
def test_the_starter_learns_how_it_went(serve: str, expected: str) -> None:
    assert in_daemon(serve).startswith(expected)


def test_a_starter_that_has_gone_harms_nobody() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    old: Callable[..., object] | int | None = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        daemon.Report(writing).up()
    finally:
        signal.signal(signal.SIGPIPE, old)


def test_servers_that_direct_routing_does_not_reach_can_be_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "www.cf"
    path.write_text("virtual=10.0.0.1:80\n\treal=10.0.0.2 masq\n\treal=10.0.0.3 gate\n")
    with pytest.raises(ConfigError, match=r"10\.0\.0\.2 masq: .* direct routing only"):
        service.read(path)
    monkeypatch.setenv(service.SKIP_VARIABLE, "yes")
    (virtual,) = service.read(path).virtuals
    assert [str(real.address) for real in virtual.real] == ["10.0.0.3"]
