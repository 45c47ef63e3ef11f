"""Own files: what somebody else may have put in the place of ours is never followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from dr_forwarder import adoption, atomic_file, kept_table, own_files, state_dir
from dr_forwarder.errors import SetupError
from dr_forwarder.order_book import OrderBook

VICTIM = "what root has elsewhere\n"
Trap = Callable[[Path, Path], None]


def symbolic_link(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def hard_link(path: Path, victim: Path) -> None:
    path.hardlink_to(victim)


def fifo(path: Path, _: Path) -> None:
    os.mkfifo(path)


def device(path: Path, _: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except OSError:
        pytest.skip("only root makes devices")


TRAPS = pytest.mark.parametrize("trap", [symbolic_link, hard_link, fifo, device])


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_text(VICTIM)
    return path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "state"
    path.mkdir(mode=0o700)
    return path


# ---- Each of the files ----


@TRAPS
def test_the_lock_is_no_other_file(trap: Trap, directory: Path, victim: Path) -> None:
    trap(directory / "pid", victim)
    with pytest.raises(SetupError, match=r"/pid: it is .*; remove it"), state_dir.held(directory):
        pass
    assert victim.read_text() == VICTIM


@TRAPS
def test_a_file_that_is_exchanged_writes_into_no_other(
    trap: Trap, directory: Path, victim: Path
) -> None:
    trap(directory / "a.new", victim)
    trap(directory / "a", victim)
    atomic_file.write(directory / "a", "ours")
    assert (directory / "a").read_text() == "ours"
    assert stat.S_IMODE((directory / "a").stat().st_mode) == 0o600
    assert victim.read_text() == VICTIM


@TRAPS
def test_the_orders_are_read_from_no_other_file(trap: Trap, directory: Path, victim: Path) -> None:
    victim.write_text('{"version": 1, "orders": []}')
    trap(directory / "orders.json", victim)
    assert not OrderBook(directory / "orders.json").standing
    assert (directory / "orders.json.bad").lstat()


@TRAPS
def test_the_kept_table_is_no_other_file(trap: Trap, directory: Path, victim: Path) -> None:
    trap(directory / "table", victim)
    with pytest.raises(SetupError, match="remove it"):
        kept_table.read(directory / "table")


@TRAPS
def test_the_state_is_no_other_file(trap: Trap, directory: Path, victim: Path) -> None:
    limits = adoption.ffi.new("struct dr_limits *")
    limits.services = limits.servers = limits.connections = limits.fragments = 1024
    trap(directory / "state", victim)
    memory, adopted = adoption.opened(directory / "state", limits, 0)
    memory.close()
    assert adopted.refused
    assert (directory / "state").lstat().st_nlink == 1
    assert stat.S_ISREG((directory / "state").lstat().st_mode)
    assert victim.read_text() == VICTIM


# ---- The directory ----


def test_a_link_in_its_place_is_refused(tmp_path: Path, directory: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(directory)
    with pytest.raises(SetupError, match="symbolic link"), state_dir.held(link):
        pass
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_one_where_others_may_write_is_refused(mode: int, directory: Path) -> None:
    directory.chmod(mode)
    with pytest.raises(SetupError, match="others may write in it; chmod go-w"):  # noqa: SIM117
        with state_dir.held(directory):
            pass


def test_one_that_is_exchanged_meanwhile_gets_nothing(tmp_path: Path, directory: Path) -> None:
    """Whoever has its parent may move it away at any time, and put another one there."""
    limits = adoption.ffi.new("struct dr_limits *")
    limits.services = limits.servers = limits.connections = limits.fragments = 1024
    with state_dir.held(directory):
        directory.rename(tmp_path / "ours")
        directory.mkdir()
        atomic_file.write(directory / "orders.json", "ours")
        adoption.opened(directory / "state", limits, 0)[0].close()
        (directory / "control").touch()
        (tmp_path / "ours" / "control").touch()
        assert own_files.is_swapped(directory / "control")
    assert [path.name for path in directory.iterdir()] == ["control"]
    there = {path.name for path in (tmp_path / "ours").iterdir()}
    assert there == {"pid", "orders.json", "state", "control"}


def test_a_name_is_on_the_disk_before_it_counts(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: list[str] = []

    def note(descriptor: int) -> None:
        mode = os.fstat(descriptor).st_mode
        kinds.append("directory" if stat.S_ISDIR(mode) else "file")

    monkeypatch.setattr(os, "fsync", note)
    atomic_file.write(directory / "a", "ours")
    assert kinds == ["file", "directory"]
