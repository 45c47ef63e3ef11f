"""The first moments of a program: signals, names and standard files before anything is ready."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from test_api import STATS

import dr_forwarder
from dr_forwarder.config.draft import Resolver
from dr_forwarder.config.model import Address, Config, ConfigError
from dr_forwarder.director import Attending, Director
from dr_forwarder.errors import TryAgain
from dr_forwarder.events import Started
from dr_forwarder.patience import Names, at_start
from dr_forwarder.runner import Runner
from dr_forwarder.table import Stats

ROOT = Path(dr_forwarder.__file__).parents[1]
LIMIT_S = 60.0
VM2 = IPv4Address("10.9.0.11")
BROKEN = "virtual=10.9.0.999:80\n"


def until(condition: Callable[[], object]) -> None:
    ended_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < ended_s
        time.sleep(0.005)


# ---- Signals ----


def mask(pid: int, field: str) -> int:
    """Signals as /proc/PID/status has them; proc(5)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1], 16)


def blocks_hang_up(pid: int) -> bool:
    return bool(mask(pid, "SigBlk:") >> (signal.SIGHUP - 1) & 1)


@contextmanager
def beginning(file: Path) -> Iterator[subprocess.Popen[str]]:
    """A director that has not got further than reading its file, a pipe nobody writes to yet."""
    os.mkfifo(file)
    started = subprocess.Popen(
        [sys.executable, "-m", "dr_forwarder", "run", str(file)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    with started as process:
        try:
            until(lambda: blocks_hang_up(process.pid))
            yield process
        finally:
            process.kill()


def test_a_sighup_while_it_starts_waits_and_kills_nobody(tmp_path: Path) -> None:
    file = tmp_path / "a.cf"
    with beginning(file) as process:
        process.send_signal(signal.SIGHUP)
        file.write_text(BROKEN)
        _, said = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, said.count("\n")) == (2, 1)
    assert said.startswith(f"{file}:1: error: ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_what_asks_for_the_end_while_it_starts_gets_it_at_once(
    tmp_path: Path, number: signal.Signals
) -> None:
    with beginning(tmp_path / "a.cf") as process:
        process.send_signal(number)
        assert process.communicate(timeout=LIMIT_S) == (None, "")
    assert process.returncode == 0


def test_signals_are_held_before_anything_slow_is_imported() -> None:
    program = (
        "import sys; from dr_forwarder import cli, early_signals;"
        "early_signals.hold = lambda: (print(*sys.modules), sys.exit());"
        "sys.argv = ['dr-forwarder', 'run', 'x']; cli.main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"aiohttp", "asyncio", "click", "dataclasses", "pyroute2"} & {*ran.stdout.split()}


class Starting(Director):
    """Needs no network; is hung up on before it runs, and ends when it has been read again."""

    reloaded: Config | None = None

    async def run(self, attending: Attending = nullcontext) -> Stats:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self._published = True
        self.events.emit(Started(0))
        await self._stopped.wait()
        return STATS

    async def reload(self, config: Config) -> None:
        self.reloaded = config
        self.stop()


def test_a_sighup_before_the_director_runs_is_answered_once_it_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("dr_forwarder.runner.Director", Starting)
    again = Config("again.cf")
    ran = Runner(Config("a.cf"), tmp_path, lambda: again)
    asyncio.run(asyncio.wait_for(ran.run(), LIMIT_S))
    director = ran._director
    assert isinstance(director, Starting)
    assert director.reloaded is again


class Slow(Starting):
    """Takes its time to end, and is told so twice."""

    disposition: object = None

    async def run(self, attending: Attending = nullcontext) -> Stats:
        os.kill(os.getpid(), signal.SIGINT)
        await self._stopped.wait()
        self.disposition = signal.getsignal(signal.SIGINT)
        return STATS


def test_a_second_ctrl_c_ends_it_without_waiting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("dr_forwarder.runner.Director", Slow)
    ran = Runner(Config("a.cf"), tmp_path, lambda: Config("a.cf"))
    before = signal.getsignal(signal.SIGINT)
    try:
        asyncio.run(asyncio.wait_for(ran.run(), LIMIT_S))
    finally:
        signal.signal(signal.SIGINT, before)
    assert isinstance(ran._director, Slow)
    assert ran._director.disposition is signal.SIG_DFL


# ---- Names ----


class NameService:
    """Answers as it is told, one word after the other; the last for ever."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, host: str, family: int) -> Address:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer:
            raise socket.gaierror(answer, "no")
        return VM2


def names(service: NameService, patience_s: float = 30) -> tuple[Names, list[float]]:
    """With a clock that only sleep moves."""
    slept: list[float] = []
    return Names(patience_s, ask=service, clock=lambda: sum(slept), sleep=slept.append), slept


def test_a_name_service_that_is_not_there_yet_is_waited_for_and_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    service = NameService(*[socket.EAI_AGAIN] * 5, 0)
    found, slept = names(service)
    assert found("vm2.test", 4) == VM2
    assert (len(slept), found.unknown) == (5, False)
    assert [each.getMessage() for each in caplog.records] == [
        "Waiting for the name service, up to 30 s: vm2.test: [Errno -3] no"
    ]


def test_it_is_not_waited_for_for_ever_and_then_no_other_name_is_asked_for() -> None:
    service = NameService(socket.EAI_AGAIN)
    found, slept = names(service)
    for host in ("vm2.test", "vm3.test"):
        with pytest.raises(socket.gaierror):
            found(host, 4)
    assert (sum(slept), service.asked, found.unknown) == (30, 31, True)


def test_a_name_that_is_not_known_is_not_waited_for() -> None:
    service = NameService(socket.EAI_NONAME)
    found, slept = names(service)
    with pytest.raises(socket.gaierror):
        found("vm2.test", 4)
    assert (slept, found.unknown) == ([], True)


def test_a_file_with_an_unknown_name_may_be_right_the_next_time() -> None:
    def read(resolver: Resolver) -> Config:
        try:
            resolver("vm2.invalid", 4)
        except OSError as error:
            raise ConfigError("no such host", file="a.cf", line=2) from error
        raise AssertionError

    with pytest.raises(TryAgain, match=r"^a\.cf:2: error: no such host$"):
        at_start(read, names=names(NameService(socket.EAI_NONAME))[0])


def test_a_file_with_any_other_mistake_will_not_be() -> None:
    def read(_: Resolver) -> Config:
        raise ConfigError("broken", file="a.cf")

    with pytest.raises(ConfigError, match="broken"):
        at_start(read)


# ---- Standard files ----

CLOSED = [
    pytest.param("<&-", id="input"),
    pytest.param(">&-", id="output"),
    pytest.param("2>&-", id="errors"),
    pytest.param("<&- >&- 2>&-", id="all"),
]


@pytest.mark.parametrize("closing", CLOSED)
def test_what_is_opened_never_takes_the_place_of_a_closed_standard_file(
    closing: str, tmp_path: Path
) -> None:
    program = (
        "import os, sys; from dr_forwarder import standard_files; standard_files.settle();"
        "opened = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY);"
        "print('said'); print('complained', file=sys.stderr); sys.stdin.read();"
        "os.write(opened, b'%d' % opened)"
    )
    file = tmp_path / "file"
    ran = subprocess.run(
        ["sh", "-c", f'"$@" {closing}', "sh", sys.executable, "-c", program, str(file)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert ran.returncode == 0
    assert file.read_text() == "3"


# ---- What is imported before frames are forwarded ----

SLOW = {
    *("aiohttp", "attr", "yarl", "prometheus_client", "rich", "textual"),
    *("email", "smtplib", "importlib.metadata"),
    *("aioftp", "aiomysql", "aiosmtplib", "asyncpg", "dns", "ldap3", "oracledb", "pyrad"),
    *("dr_forwarder.api", "dr_forwarder.web", "dr_forwarder.ipvsadm", "dr_forwarder.lab"),
    *("dr_forwarder.bench", "dr_forwarder.replay", "dr_forwarder.importing"),
}
"""Whose import takes long, and which no frame needs."""


@pytest.mark.parametrize("module", ["dr_forwarder.cli.run", "dr_forwarder.ldirectord.service"])
def test_frames_do_not_wait_for_what_only_others_need(module: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not SLOW & {*ran.stdout.split()}
