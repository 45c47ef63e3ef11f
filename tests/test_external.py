"""External checks: programs that pass, fail, hang, are killed, or leave children behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from servers import PATIENCE_S, http_target, timeout_of_3_11_2

from dr_forwarder.checks import Result, run
from dr_forwarder.config.model import CheckType

ARGUMENTS = ("192.0.2.1", "80", "10.0.0.1", "8080")


def result_of(command: str, *, perl: bool = False, limit_s: float = PATIENCE_S) -> Result:
    kind = CheckType.EXTERNAL_PERL if perl else CheckType.EXTERNAL
    target = replace(http_target(0, type=kind, command=command), arguments=ARGUMENTS)
    return asyncio.run(run(target, limit_s=limit_s))


def program(folder: Path, text: str, *, name: str = "check") -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


ENDS = [
    pytest.param("exit 0", True, "exit status 0", id="0"),
    pytest.param("exit 3", False, "exit status 3", id="not 0"),
    pytest.param("kill -SEGV $$", False, "killed by SIGSEGV", id="killed, which ldirectord passes"),
    pytest.param("kill -TERM $$", False, "killed by SIGTERM", id="told to end by somebody else"),
    pytest.param("cat && exit 0", True, "exit status 0", id="has nothing to read"),
    pytest.param('test "$(pwd)" = / -a "$PERLIO" = perlio', True, "exit status 0", id="in /"),
]


@pytest.mark.parametrize(("text", "passed", "reason"), ENDS)
def test_a_program_decides_by_how_it_ends(
    text: str, passed: bool, reason: str, tmp_path: Path
) -> None:
    result = result_of(str(program(tmp_path, text)))
    assert (result.passed, result.reason) == (passed, reason)


def test_a_program_is_told_four_things_after_its_own_arguments(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    path = program(tmp_path, f'printf "%s|" "$@" > {seen}')
    assert result_of(f"{path} --opt 'two words'").passed
    assert seen.read_text().split("|")[:-1] == ["--opt", "two words", *ARGUMENTS]


def test_a_path_with_a_blank_is_a_path_if_there_is_such_a_file(tmp_path: Path) -> None:
    assert result_of(str(program(tmp_path, "exit 0", name="a check"))).passed


def test_what_the_service_manager_says_to_us_is_not_for_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS", "OURS"):
        monkeypatch.setenv(name, "1")
    seen = tmp_path / "seen"
    assert result_of(str(program(tmp_path, f"env > {seen}"))).passed
    names = {line.partition("=")[0] for line in seen.read_text().splitlines()}
    assert names & {"NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS", "OURS"} == {"OURS"}


SCRIPTS = [
    pytest.param(b"exit 0", True, "exit status 0", id="no shebang: sh, as execvp does"),
    pytest.param(b'exit "$1"', False, "exit status 7", id="no shebang, with arguments"),
    pytest.param(b"\n#!/bin/false\nexit 0\n", True, "exit status 0", id="a blank line before it"),
    pytest.param(b"", True, "exit status 0", id="empty"),
    pytest.param(
        b"#!/bin/sh\r\nexit 0\r\n",
        False,
        "check: its interpreter '/bin/sh\\r' does not exist: its lines end as DOS ends them",
        id="DOS",
    ),
    pytest.param(b"#!/nowhere\n", False, "its interpreter '/nowhere' does not exist", id="gone"),
]


@pytest.mark.parametrize(("content", "passed", "reason"), SCRIPTS)
def test_a_script_runs_as_perl_would_run_it(
    content: bytes, passed: bool, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "check"
    path.write_bytes(content)
    path.chmod(0o755)
    result = result_of(f"{path} 7")
    assert result.passed is passed
    assert result.reason.endswith(reason)


def test_a_script_without_a_shebang_is_found_along_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own-check"
    path.write_text('test "$1" = 192.0.2.1\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert result_of("own-check").passed


@pytest.mark.parametrize("perl", [False, True])
def test_a_relative_path_is_from_the_root_or_from_where_we_were_started(
    perl: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if perl and shutil.which("perl") is None:
        pytest.skip("needs perl")
    # No name that a host may have in its root.
    path = program(tmp_path, "exit 0").rename(tmp_path / f"check-{os.getpid()}")
    monkeypatch.chdir(tmp_path)
    assert result_of(f"./{path.name}", perl=perl).passed
    monkeypatch.chdir("/proc")
    assert result_of(f".{path}", perl=perl).passed


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("/nonexistent/check", "/nonexistent/check: no such file or directory"),
        ("/etc/passwd", "/etc/passwd: permission denied"),
        ("/etc", "/etc: is a directory"),
        ("'", "checkcommand: No closing quotation"),
    ],
)
def test_a_program_that_cannot_run_is_named(command: str, reason: str) -> None:
    result = result_of(command)
    assert (result.passed, result.reason) == (False, reason)


def is_there(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


STUBBORN = "trap '' TERM; "
GROUPS = [
    pytest.param("sleep 100 &", id="both end when told"),
    pytest.param(f"({STUBBORN} exec sleep 100) &", id="the child will not"),
    pytest.param(f"{STUBBORN} sleep 100 &", id="neither will"),
]


@pytest.mark.parametrize("timeout", [asyncio.timeout, timeout_of_3_11_2])
@pytest.mark.parametrize("start", GROUPS)
def test_at_the_limit_the_program_and_its_children_are_ended(
    start: str, timeout: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncio, "timeout", timeout)
    numbers = tmp_path / "numbers"
    text = f"{start} echo $$ $! > {numbers}.new; mv {numbers}.new {numbers}; wait; wait"
    result = result_of(str(program(tmp_path, text)), limit_s=0.5)
    assert (result.passed, result.reason) == (False, "no answer within 0.5 s")
    began_s = time.monotonic()
    for number in map(int, numbers.read_text().split()):
        while is_there(number):
            assert time.monotonic() < began_s + PATIENCE_S, f"{number} is still there"
            time.sleep(0.01)


def test_perl_runs_what_is_not_executable(tmp_path: Path) -> None:
    if shutil.which("perl") is None:
        pytest.skip("needs perl")
    path = tmp_path / "check.pl"
    path.write_text('exit($ARGV[2] eq "10.0.0.1" ? 0 : 1);\n')
    assert result_of(str(path), perl=True).passed
    path.write_text("die;\n")
    assert result_of(str(path), perl=True).reason.startswith("exit status ")
