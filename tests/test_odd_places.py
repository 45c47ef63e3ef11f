"""Every command in places that are not a developer's terminal: never a traceback, never a hang.

What stands on standard output where is said by other tests.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from captures import BEGAN_NS, pcap
from director import tcp
from test_api import FakeDirector

import dr_forwarder
from dr_forwarder.api import serving
from dr_forwarder.events import Bus
from dr_forwarder.records import Record

ROOT = Path(dr_forwarder.__file__).parents[1]
DATA = Path(__file__).parent / "data"
LIMIT_S = 60
MAIN = "dr_forwarder.cli"
IPVSADM = "dr_forwarder.ipvsadm.shell"
LDIRECTORD = "dr_forwarder.ldirectord.__main__"
PROMISED = {MAIN: {0, 1, 2, 75}, IPVSADM: {0, 1, 2, 255, 141}, LDIRECTORD: {0, 1, 2, 3, 255}}
"""What each ends with, whatever happens."""


class Served(FakeDirector):
    """Is asked over a socket by the commands."""

    def __init__(self) -> None:
        super().__init__()
        self.events = Bus(lambda: 0.0)

    def drops(self) -> tuple[Record, ...]:
        return ()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with files to read, and a director to ask in `asked`."""
    directory = tmp_path_factory.mktemp("place")
    (directory / "asked").mkdir()
    (directory / "empty").write_bytes(b"")
    (directory / "broken.cf").write_text("virtual=10.9.0.999:80\n")
    shutil.copy(DATA / "tutorial.cf", directory / "a.cf")
    (directory / "frames.pcap").write_bytes(
        pcap([(BEGAN_NS, tcp("S", "10.1.0.1:1000", "10.10.10.60:80"))])
    )
    loop, ending = asyncio.new_event_loop(), asyncio.Event()
    up = threading.Event()

    async def serve() -> None:
        async with serving(Served(), directory / "asked"):  # type: ignore[arg-type]
            up.set()
            await ending.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert up.wait(LIMIT_S)
    yield directory
    loop.call_soon_threadsafe(ending.set)
    thread.join()
    loop.close()


# ---- What is called ----

ASKED = ("--state-dir", "asked")
PRINTING = [
    ("check", "a.cf"),
    ("import", "a.cf"),
    ("replay", "frames.pcap", "--config", "a.cf", "--explain"),
    ("list", *ASKED),
    ("list", "-c", "--json", *ASKED),
    ("top", *ASKED),
    ("trace", "--dropped", *ASKED),
    ("nosuch",),
]
"""One for each way in which something is printed."""
COMMANDS: dict[str, list[tuple[str, ...]]] = {
    MAIN: [
        (),
        ("--version",),
        ("--help",),
        ("run", "broken.cf"),
        ("run", "empty", "-i", "nosuch0", "--interface-wait", "0", "--state-dir", "state"),
        *PRINTING,
        ("check", "a.cf", "--json"),
        ("check", "empty"),
        ("check", "nosuch"),
        ("import", "a.cf", "--json"),
        ("import", "empty"),
        ("import", "-"),
        ("replay", "frames.pcap", "--config", "a.cf"),
        ("replay", "frames.pcap", "--config", "a.cf", "--json"),
        ("replay", "frames.pcap", "--config", "a.cf", "--html", "page.html"),
        ("replay", "empty", "--config", "a.cf"),
        ("replay", "/dev/null", "--config", "/dev/null"),
        ("list",),
        ("list", "-c", *ASKED),
        ("list", "--health", "--json", *ASKED),
        ("list", "--proc", "ip_vs", "--json", *ASKED),
        ("list", "--verdicts", *ASKED),
        ("top",),
        ("trace",),
        ("trace", "--dropped", "--explain", *ASKED),
        ("drain", "10.9.0.100:80", "10.9.0.11", "--no-wait", *ASKED),
        ("disable", "10.9.0.100:80", "10.9.0.11"),
        ("enable", "--all", "10.9.0.11", *ASKED),
        ("takeover",),
        ("standby", *ASKED),
        ("lab", "check", "--state-file", "nosuch"),
        ("lab", "exec", "--state-file", "empty", "client", "true"),
        ("lab", "break", "--state-file", "nosuch", "arp"),
        ("lab", "down", "--state-file", "broken.cf"),
        ("bench", "generate", "--help"),
    ],
    IPVSADM: [(), ("-Ln",), ("-L", "-c"), ("-S", "-n"), ("-R",), ("-h",), ("-A", "-t", "x")],
    LDIRECTORD: [(), ("a.cf", "status"), ("nosuch", "start"), ("broken.cf", "start"), ("-h",)],
}


def calls(commands: Mapping[str, list[tuple[str, ...]]]) -> list[object]:
    return [
        pytest.param(program, words, id=" ".join((program.split(".")[1], *words)))
        for program, each in commands.items()
        for words in each
    ]


# ---- Where ----

HERE = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
"""All that is taken along of the environment of the tests."""
BARE = {
    **HERE,
    "LC_ALL": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "HOME": "/nonexistent",
    "TERM": "dumb",
    "COLUMNS": "20",
}


@dataclass(frozen=True)
class Where:
    """How the shell is to call a program."""

    redirected: str = ">out"
    environment: Mapping[str, str] = field(default_factory=lambda: HERE)
    before: str = ""


NO_PROC = "unshare -m sh -c 'umount -l /proc && exec \"$@\"' sh"
FOR_ALL = [
    pytest.param(Where("<&- >out", BARE), id="ASCII, 20 columns, no home, closed input"),
    pytest.param(Where(before=NO_PROC), id="no proc"),
]
FOR_OUTPUT = [
    pytest.param(Where(">&-"), id="closed output"),
    pytest.param(Where(">out 2>&-"), id="closed errors"),
    pytest.param(Where(">/dev/full"), id="full output"),
    pytest.param(Where("| true"), id="nobody reads"),
    pytest.param(
        Where(before="setpriv --reuid 65534 --regid 65534 --clear-groups"),
        id="a folder that may not be read",
    ),
]


@cache
def is_possible(before: str) -> bool:
    """Whether programs can be run there, ours among them."""
    tried = ["sh", "-c", f"{before} {sys.executable} -c 'import dr_forwarder'"]
    return subprocess.run(tried, env=HERE, check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize("where", FOR_ALL)
@pytest.mark.parametrize(("program", "words"), calls(COMMANDS))
def test_a_command_ends_as_it_promises_wherever_it_is_called(
    program: str, words: tuple[str, ...], where: Where, place: Path
) -> None:
    call(program, words, where, place)


@pytest.mark.parametrize("where", FOR_OUTPUT)
@pytest.mark.parametrize(("program", "words"), calls({**COMMANDS, MAIN: PRINTING}))
def test_a_command_ends_as_it_promises_whatever_becomes_of_what_it_prints(
    program: str, words: tuple[str, ...], where: Where, place: Path
) -> None:
    call(program, words, where, place)


def call(program: str, words: tuple[str, ...], where: Where, place: Path) -> None:
    if not is_possible(where.before):
        pytest.skip(f"needs root, and a program that can be read by: {where.before}")
    called = ["bash", sys.executable, "-c", f"from {program} import main; main()", *words]
    shell = f'{where.before} "$@" {where.redirected}'
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", shell, *called],
        cwd=place,
        env={"DR_FORWARDER_STATE_DIR": str(place / "nobody"), **where.environment},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
        timeout=LIMIT_S,
    )
    said = ended.stderr.decode()
    assert ended.returncode in PROMISED[program], said
    for word in ("Traceback", "Exception ignored"):
        assert word not in said
