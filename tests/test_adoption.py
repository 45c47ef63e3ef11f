"""The state file: on the disk before it is used, taken over whatever has become of it, or aside."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from director import CLIENT, START_NS, VIP, Director, service

import dr_forwarder
from dr_forwarder import region
from dr_forwarder.adoption import Adoption
from dr_forwarder.dataplane import Engine, Limits
from dr_forwarder.errors import SetupError

WEB = service()
LOYAL = service(f"{VIP}:443", persistent_s=300)
SMALL = Limits(services=16, servers=64, connections=4096)
COUNT = 60


def fill(state: Path, **limits: int) -> None:
    """Sixty connections, the even ones established; and a client that is held by a template."""
    with Director(state_file=state, **limits) as director:
        director.add_service(WEB, 1, 1)
        director.add_service(LOYAL, 1)
        for port in range(1000, 1000 + COUNT):
            assert director.tcp("S", f"{CLIENT}:{port}") in (1, 2)
            assert director.tcp("FA" if port % 2 else "A", f"{CLIENT}:{port}") in (1, 2)
        assert director.tcp("S", f"{CLIENT}:999", f"{VIP}:443") == 1


def adopted(state: Path, **limits: int) -> Adoption:
    """By a director that goes on with them; those that it has are found."""
    with Director(state_file=state, now_ns=START_NS, **limits) as director:
        taken = director.engine.adoption
        held = [row for row in director.connections() if not row.template]
        for row in held:
            decision = director.tcp("A", f"{CLIENT}:{row.client_port}", f"{VIP}:{row.port}")
            assert decision == row.server.packed[-1] - 10
        assert director.stats().connections == taken.connections
        return taken


# ---- Another room ----


@pytest.mark.parametrize(
    "limits", [{"connections": 9000}, {"services": 40, "servers": 200}], ids=str
)
def test_with_more_room_all_connections_are_taken_over(
    tmp_path: Path, limits: dict[str, int]
) -> None:
    fill(tmp_path / "state")
    taken = adopted(tmp_path / "state", **limits)
    assert taken == Adoption(adopted=True, connections=COUNT + 2)
    assert taken.told() == f"Took over {COUNT + 2} connections"
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_with_less_room_those_in_use_are_taken_over_and_the_rest_is_told(tmp_path: Path) -> None:
    fill(tmp_path / "state")
    taken = adopted(tmp_path / "state", connections=40)
    assert (taken.connections, taken.lost) == (40, COUNT + 2 - 40)
    assert taken.harmed
    assert taken.told() == (
        "Took over 40 connections; 22 more found no room: there was room for 4096 before"
    )
    with Director(state_file=tmp_path / "state", connections=40) as director:
        ports = {row.client_port for row in director.connections()}
        assert ports >= {*range(1000, 1000 + COUNT, 2)}


def test_room_for_services_and_servers_is_kept_when_the_file_needs_less(tmp_path: Path) -> None:
    fill(tmp_path / "state", servers=500)
    with Director(state_file=tmp_path / "state", servers=64, connections=100) as director:
        assert director.engine.limits == Limits(16, 500, 100)
        assert director.engine.adoption.connections == COUNT + 2


def test_where_there_is_no_room_for_both_the_old_file_makes_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    fill(state)
    allocate = region.allocated

    def one_only(path: Path, size: int) -> object:
        if state.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        return allocate(path, size)

    monkeypatch.setattr(region, "allocated", one_only)
    with Director(state_file=state, connections=100) as director:
        assert director.engine.adoption.connections == COUNT + 2


def test_where_the_new_file_does_not_even_fit_alone_the_old_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, size: int) -> object:
        raise OSError(errno.ENOSPC, "No space left on device")

    fill(tmp_path / "state")
    monkeypatch.setattr(region, "free_bytes", lambda _: 4096)
    with monkeypatch.context() as patched:
        patched.setattr(region, "allocated", full)
        with pytest.raises(SetupError, match="make room there"):
            Director(state_file=tmp_path / "state", connections=900_000)
    assert adopted(tmp_path / "state").connections == COUNT + 2


# ---- What cannot be taken over ----


def test_a_file_of_another_version_is_put_aside_and_its_connections_are_counted(
    tmp_path: Path,
) -> None:
    state, aside = tmp_path / "state", tmp_path / "state.old"
    fill(state)
    with state.open("r+b") as file:
        file.seek(4)
        file.write(b"\xfe")
    before = state.read_bytes()
    taken = adopted(state)
    assert taken.told() == (
        "State file made anew, connections are not taken over: "
        f"{state} is of another version of the director (format 254), and {COUNT + 2} connections"
        f" cannot be read by this one; it is {aside} now"
    )
    assert aside.read_bytes() == before
    assert adopted(state) == Adoption(adopted=True)


@pytest.mark.parametrize("contents", [b"some other file", b"\xff" * 100_000], ids=["text", "ones"])
def test_what_is_no_state_file_is_put_aside(tmp_path: Path, contents: bytes) -> None:
    state = tmp_path / "state"
    state.write_bytes(contents)
    taken = adopted(state)
    assert taken.refused == f"{state} is damaged, or no state file"
    assert taken.aside is not None
    assert taken.aside.read_bytes() == contents


def test_one_that_was_cut_is_put_aside(tmp_path: Path) -> None:
    fill(tmp_path / "state")
    os.truncate(tmp_path / "state", 100_000)
    assert adopted(tmp_path / "state").aside == tmp_path / "state.old"


def test_a_directory_in_its_place_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    assert adopted(tmp_path / "state").aside == tmp_path / "state.old"


def test_only_one_is_kept_aside(tmp_path: Path) -> None:
    for contents in (b"one", b"two"):
        (tmp_path / "state").write_bytes(contents)
        adopted(tmp_path / "state")
    assert (tmp_path / "state.old").read_bytes() == b"two"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state", "state.old"]


def test_state_of_another_boot_goes_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "state")
    monkeypatch.setattr(region, "boot_id", lambda: 1)
    assert adopted(tmp_path / "state").told() == (
        "State file made anew, connections are not taken over: the machine has started anew since;"
        f" {COUNT + 2} connections of before ended with it"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_without_proc_nobody_says_that_the_machine_has_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "state")
    monkeypatch.setattr(region, "boot_id", lambda: 0)
    assert adopted(tmp_path / "state").told() == (
        "State file made anew, connections are not taken over: without /proc nobody can tell"
        f" whether {COUNT + 2} connections are of before a reboot"
    )


@pytest.mark.parametrize("contents", [b"", bytes(100_000)], ids=["nothing", "zeros"])
def test_a_file_that_was_never_written_is_simply_filled(tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "state").write_bytes(contents)
    assert adopted(tmp_path / "state") == Adoption()


def test_damage_in_it_costs_what_is_damaged(tmp_path: Path) -> None:
    """Bytes in the midst of a file, after a clean stop: half of the entries are gone."""
    state = tmp_path / "state"
    fill(state)
    contents = bytearray(state.read_bytes())
    first = contents.index(bytes(10) + b"\xff\xff\x0a\x01\x00\x01")
    contents[first : first + 64 * 20] = b"\xa5" * 64 * 20
    state.write_bytes(contents)
    taken = adopted(state)
    assert (taken.connections, taken.lost) == (COUNT + 2 - 20, 20)
    assert taken.told() == (
        f"Took over {COUNT + 2 - 20} connections; 20 more were damaged and are lost"
    )


def test_entries_are_sane_whatever_the_clock_says(tmp_path: Path) -> None:
    """In another time namespace, or after a restore, the same boot's clock shows something else."""
    fill(tmp_path / "state")
    for now_ns in (10**9, START_NS - 10**15, START_NS + 10**17):
        shutil.copy(tmp_path / "state", tmp_path / "copy")
        with Director(state_file=tmp_path / "copy", now_ns=now_ns) as director:
            assert all(row.left_s <= 901 for row in director.connections())
            director.wait(2000)
            director.tick()
            assert director.stats().connections == 0


# ---- Shortage ----


@pytest.fixture
def small_disk(tmp_path: Path) -> list[str]:
    """A prefix that runs a command where `tmp_path` is a file system of 3 MB."""
    mount = f'mount -t tmpfs -o size=3m tmpfs {tmp_path} && exec "$@"'
    prefix = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare, which is not installed")
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespace can be had")
    return prefix


FLOOD = """
import os, sys
from pathlib import Path
from director import VIP, Director, service, tcp
from dr_forwarder.errors import SetupError
directory, connections = Path(sys.argv[1]), int(sys.argv[2])
try:
    director = Director(state_file=directory / "state", connections=connections)
except SetupError as error:
    sys.exit(f"refused: {error}; left: {os.listdir(directory)}")
with director, (directory / "more").open("wb") as more:
    try:
        while more.write(bytes(4096)):
            more.flush()
    except OSError:
        pass
    assert os.statvfs(directory).f_bavail == 0
    web = service()
    director.tune(unproved_share=0)
    director.add_service(web, 1)
    for number in range(connections + 10):
        client = f"10.1.{number >> 8 & 255}.{number & 255}:{1000 + number}"
        director.send(tcp("S", client, f"{VIP}:80"))
    print(director.stats().connections, director.stats().verdicts["table_full"], flush=True)
    os._exit(0)  # what is in the file's buffer has no room
"""


def run(prefix: list[str], *arguments: object) -> subprocess.CompletedProcess[str]:
    paths = [Path(dr_forwarder.__file__).parents[1], Path(__file__).parent]
    return subprocess.run(
        [*prefix, sys.executable, "-c", FLOOD, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_small_file_system_is_one_plain_error_with_the_cure(
    tmp_path: Path, small_disk: list[str]
) -> None:
    ended = run(small_disk, tmp_path, 1_000_000)
    assert ended.returncode == 1
    assert ended.stderr == (
        f"refused: state file {tmp_path}/state takes 84.3 MB: too much for the file system of"
        f" {tmp_path}, of which 3.2 MB are free; make room there, set `connections = 32768` under"
        " [director], or choose another place: --state-dir DIR; left: []\n"
    )


def test_a_flood_that_fills_the_table_needs_nothing_more_of_a_full_file_system(
    tmp_path: Path, small_disk: list[str]
) -> None:
    ended = run(small_disk, tmp_path, 20_000)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("20000 10\n", "", 0)


def refusal(path: Path, limits: Limits = SMALL) -> str:
    with pytest.raises(SetupError) as refused:
        Engine(state_file=path, limits=limits)
    return str(refused.value)


@contextmanager
def limited(kind: int, most: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


def test_a_limit_of_file_sizes_is_told_with_the_cure(tmp_path: Path) -> None:
    with limited(resource.RLIMIT_FSIZE, 100_000):
        text = refusal(tmp_path / "state")
    assert "raise the limit (ulimit -f, LimitFSIZE=)" in text
    assert list(tmp_path.iterdir()) == []


def test_no_memory_is_told_with_the_cure(tmp_path: Path) -> None:
    now_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for path in (None, tmp_path / "state"):
        with (
            limited(resource.RLIMIT_AS, now_bytes + 100_000_000),
            pytest.raises(SetupError) as refused,
        ):
            Engine(state_file=path, limits=Limits(connections=20_000_000))
        assert "no memory for the state" in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EIO, errno.ENODEV])
def test_other_errors_name_the_place_and_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(path: Path, size: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(region, "allocated", fail)
    assert refusal(tmp_path / "state") == (
        f"state file {tmp_path}/state: {os.strerror(number)}; choose another place: --state-dir DIR"
    )


def test_where_space_cannot_be_reserved_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    fill(tmp_path / "state")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate((tmp_path / "state").stat().st_size)
    monkeypatch.setattr(os, "posix_fallocate", refuse)
    assert adopted(tmp_path / "state").connections == COUNT + 2
    adopted(tmp_path / "sparse")
    status = (tmp_path / "sparse").stat()
    assert status.st_blocks * 512 >= status.st_size


def test_the_whole_file_is_allocated_at_once(tmp_path: Path) -> None:
    with Engine(state_file=tmp_path / "state", limits=SMALL):
        status = (tmp_path / "state").stat()
        assert status.st_blocks * 512 >= status.st_size


def test_a_file_that_had_holes_has_none_when_it_is_adopted(tmp_path: Path) -> None:
    fill(tmp_path / "state")
    contents = (tmp_path / "state").read_bytes()
    with (tmp_path / "sparse").open("wb") as file:
        for at in range(0, len(contents), 4096):
            if any(piece := contents[at : at + 4096]):
                file.seek(at)
                file.write(piece)
        file.truncate(len(contents))
    assert adopted(tmp_path / "sparse").connections == COUNT + 2
    status = (tmp_path / "sparse").stat()
    assert status.st_blocks * 512 >= status.st_size


def test_the_directory_may_go_while_the_director_runs(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    with Director(state_file=directory / "state") as director:
        shutil.rmtree(directory)
        director.add_service(WEB, 1)
        assert director.tcp("S") == 1


def test_what_is_kept_aside_makes_room_for_the_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    state.write_bytes(b"of another age")
    allocate = region.allocated

    def one_only(path: Path, size: int) -> object:
        if (tmp_path / "state.old").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        return allocate(path, size)

    monkeypatch.setattr(region, "allocated", one_only)
    taken = adopted(state)
    assert taken.refused is not None
    assert taken.aside is None


def test_a_file_system_without_inodes_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(region, "allocated", fail)
    monkeypatch.setattr(region, "can_hold_another_file", lambda _: False)
    assert "has no room for another file (df -i)" in refusal(tmp_path / "state")
