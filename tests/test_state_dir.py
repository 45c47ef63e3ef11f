"""The state directory: one director at a time, its owner's alone."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import dr_forwarder
from dr_forwarder import state_dir
from dr_forwarder.errors import SetupError

NOBODY = 65534


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """As somebody who may not do everything."""
    if os.geteuid() != 0:
        yield
        return
    try:
        os.seteuid(NOBODY)
    except OSError:
        pytest.skip("root of a user namespace cannot become somebody else")
    try:
        yield
    finally:
        os.seteuid(0)


# ---- Making it ----


def test_it_is_made_with_its_parents_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "run" / "dr-forwarder"
    with state_dir.held(path) as held:
        assert held == path
        assert mode(path) == 0o700
        assert mode(path / "pid") == 0o600


def test_one_that_is_there_is_used_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("connections")
    with state_dir.held(tmp_path):
        assert (tmp_path / "state").read_text() == "connections"


def test_it_stays_when_it_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "state"
    with state_dir.held(path):
        pass
    assert path.is_dir()


# ---- One director at a time ----


def test_the_holder_leaves_its_pid(tmp_path: Path) -> None:
    with state_dir.held(tmp_path):
        assert (tmp_path / "pid").read_text() == f"{os.getpid()}\n"
    assert (tmp_path / "pid").read_text() == ""


def test_a_second_one_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with state_dir.held(tmp_path):
        with pytest.raises(SetupError) as refused, state_dir.held(tmp_path):
            pass
        assert (tmp_path / "pid").read_text() == f"{os.getpid()}\n"
    assert str(refused.value) == (
        f"a director is running already in {tmp_path} (pid {os.getpid()}); stop it, or choose"
        " another directory: --state-dir DIR"
    )


def test_another_process_is_refused_too(tmp_path: Path) -> None:
    program = f"from dr_forwarder import state_dir\nwith state_dir.held({tmp_path!r}): pass"
    program = "from pathlib import *\n" + program
    with state_dir.held(tmp_path):
        ended = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": str(Path(dr_forwarder.__file__).parents[1])},
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 1
    assert f"(pid {os.getpid()})" in ended.stderr


def test_it_can_be_held_again_and_elsewhere_meanwhile(tmp_path: Path) -> None:
    with state_dir.held(tmp_path / "one"), state_dir.held(tmp_path / "two"):
        pass
    with state_dir.held(tmp_path / "one"):
        pass


def test_it_is_let_go_when_the_director_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), state_dir.held(tmp_path):
        raise ZeroDivisionError
    with state_dir.held(tmp_path):
        assert (tmp_path / "pid").read_text() == f"{os.getpid()}\n"


def test_a_longer_pid_that_was_left_behind_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text("123456789012345\n")
    with state_dir.held(tmp_path):
        assert (tmp_path / "pid").read_text() == f"{os.getpid()}\n"


def test_a_program_that_is_started_does_not_keep_it(tmp_path: Path) -> None:
    with state_dir.held(tmp_path):
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False)
    with child, state_dir.held(tmp_path):
        assert child.poll() is None


# ---- Where it cannot be ----


def refusal(path: Path) -> str:
    with pytest.raises(SetupError) as refused, state_dir.held(path):
        pass
    return str(refused.value)


def test_somebody_elses_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        try:
            os.chown(tmp_path, NOBODY, -1)
        except OSError:
            pytest.skip("root of a user namespace cannot give files away")
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    expected = f"state directory {tmp_path} belongs to another user: --state-dir DIR"
    assert refusal(tmp_path) == expected
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_may_be_written_another_place_is_advised(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with unprivileged():
        text = refusal(tmp_path / "state")
    assert text == (
        f"state directory {tmp_path}/state: Permission denied; choose another: --state-dir DIR"
    )


def test_a_file_in_its_place_is_said_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("")
    assert refusal(path) == f"state directory {path}: File exists; choose another: --state-dir DIR"
    assert refusal(path / "below").startswith(f"state directory {path}/below: Not a directory;")


# ---- Which it is when nobody says ----


def test_roots_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/0")
    assert state_dir.default() == Path("/run/dr-forwarder")


def test_a_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert state_dir.default() == Path("/run/user/1000/dr-forwarder")


@pytest.mark.parametrize("runtime", [None, ""])
def test_a_users_own_without_a_session(
    monkeypatch: pytest.MonkeyPatch, runtime: str | None
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    if runtime is None:
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    else:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    assert state_dir.default() == Path("/tmp/dr-forwarder-1000")


def test_where_nothing_can_be_written_any_more_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", fail)
    assert refusal(tmp_path) == (
        f"state directory {tmp_path}: No space left on device; make room there, or choose another:"
        " --state-dir DIR"
    )
