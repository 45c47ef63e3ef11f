"""One active director for each interface and MAC address."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from dr_forwarder import sole
from dr_forwarder.addresses import Identity
from dr_forwarder.errors import SetupError
from dr_forwarder.interfaces import Interface
from dr_forwarder.sole import Sole

LIMIT_S = 30
ETH0 = Interface("eth0", 4242, bytes.fromhex("02000000003d"), 1500, True)


@pytest.fixture
def who() -> Identity:
    """Of nobody else on this machine: the names are those of the whole network namespace."""
    return Identity(b"\2" + secrets.token_bytes(5), is_virtual=True)


@pytest.fixture
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def name_of(who: Identity) -> str:
    return f"\0dr-forwarder/{ETH0.index}/{who.mac.hex()}"


def test_a_second_one_is_refused_and_told_the_process(loop: asyncio.Runner, who: Identity) -> None:
    async def play() -> None:
        with closing(Sole()) as first, closing(Sole()) as second:
            first.take(ETH0, who)
            for _ in range(300):  # however often it tries
                with pytest.raises(SetupError, match=f"process {os.getpid()}.*standby"):
                    second.take(ETH0, who)
                await asyncio.sleep(0)
            first.close()
            second.take(ETH0, who)

    loop.run(play())


def test_another_interface_or_mac_address_is_another_lock(
    loop: asyncio.Runner, who: Identity
) -> None:
    async def play() -> None:
        with closing(Sole()) as one, closing(Sole()) as two, closing(Sole()) as three:
            one.take(ETH0, who)
            two.take(replace(ETH0, index=4243), who)
            three.take(ETH0, Identity(bytes(6), is_virtual=False))

    loop.run(play())


def test_one_that_moves_leaves_its_old_place(loop: asyncio.Runner, who: Identity) -> None:
    async def play() -> None:
        with closing(Sole()) as first, closing(Sole()) as second:
            first.take(ETH0, who)
            first.take(ETH0, who)
            first.take(replace(ETH0, index=4243), who)
            second.take(ETH0, who)
            with pytest.raises(SetupError):
                first.take(ETH0, who)

    loop.run(play())


def test_a_process_that_was_killed_has_it_no_longer(loop: asyncio.Runner, who: Identity) -> None:
    code = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind('\\0' + sys.argv[1]);"
        " s.listen(); print(flush=True); sys.stdin.read()"
    )

    async def play(other: subprocess.Popen[bytes]) -> None:
        with closing(Sole()) as mine:
            with pytest.raises(SetupError, match=f"process {other.pid}"):
                mine.take(ETH0, who)
            other.kill()
            other.wait(LIMIT_S)
            mine.take(ETH0, who)

    argv = [sys.executable, "-c", code, name_of(who)[1:]]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        loop.run(play(other))


def test_another_user_cannot_keep_a_director_from_starting(
    loop: asyncio.Runner,
    who: Identity,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sole, "_holder", lambda name: (4711, os.geteuid() + 12345))

    async def play() -> None:
        with socket.socket(socket.AF_UNIX) as stranger, closing(Sole()) as mine:
            stranger.bind(name_of(who))
            mine.take(ETH0, who)
            assert "would not be noticed" in caplog.text

    loop.run(play())
