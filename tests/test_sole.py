"""One active director for each VIP on an interface."""

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
from ipaddress import IPv6Address

import pytest

from dr_forwarder import sole
from dr_forwarder.errors import SetupError
from dr_forwarder.interfaces import Interface
from dr_forwarder.sole import Sole

LIMIT_S = 30
Vips = tuple[IPv6Address, ...]
ETH0 = Interface("eth0", 4242, bytes.fromhex("02000000003d"), 1500, True)


@pytest.fixture
def vips() -> Vips:
    """Of nobody else on this machine: the names are those of the whole network namespace."""
    return tuple(IPv6Address(b"\xfd" + secrets.token_bytes(15)) for _ in range(3))


@pytest.fixture
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def name_of(vip: IPv6Address) -> str:
    return f"\0dr-forwarder/{ETH0.index}/{vip}"


def test_a_second_one_is_refused_and_told_the_process(loop: asyncio.Runner, vips: Vips) -> None:
    async def play() -> None:
        with closing(Sole()) as first, closing(Sole()) as second:
            first.take(ETH0, vips)
            for _ in range(300):  # however often it tries
                with pytest.raises(SetupError, match=f"process {os.getpid()}.*standby"):
                    second.take(ETH0, vips)
                await asyncio.sleep(0)
            first.close()
            second.take(ETH0, vips)

    loop.run(play())


def test_others_may_have_another_interface_or_other_vips(loop: asyncio.Runner, vips: Vips) -> None:
    async def play() -> None:
        with closing(Sole()) as one, closing(Sole()) as two, closing(Sole()) as three:
            one.take(ETH0, vips[:2])
            two.take(replace(ETH0, index=4243), vips)
            three.take(ETH0, vips[2:])

    loop.run(play())


def test_one_vip_in_common_is_refused_and_nothing_changes(loop: asyncio.Runner, vips: Vips) -> None:
    async def play() -> None:
        with closing(Sole()) as one, closing(Sole()) as two, closing(Sole()) as three:
            one.take(ETH0, vips[:1])
            two.take(ETH0, vips[1:2])
            with pytest.raises(SetupError, match=f"active on eth0 for {vips[0]},"):
                two.take(ETH0, (vips[2], vips[0]))
            three.take(ETH0, vips[2:])
            with pytest.raises(SetupError):
                three.take(ETH0, vips[1:])

    loop.run(play())


def test_two_whose_vips_are_to_come_are_one_too_many(loop: asyncio.Runner) -> None:
    async def play() -> None:
        with closing(Sole()) as one, closing(Sole()) as two:
            one.take(ETH0, ())
            with pytest.raises(SetupError, match="active on eth0 without a VIP yet"):
                two.take(ETH0, ())

    loop.run(play())


def test_one_that_moves_leaves_its_old_place(loop: asyncio.Runner, vips: Vips) -> None:
    async def play() -> None:
        with closing(Sole()) as first, closing(Sole()) as second:
            first.take(ETH0, vips)
            first.take(ETH0, vips)
            first.take(replace(ETH0, index=4243), vips)
            second.take(ETH0, vips)
            with pytest.raises(SetupError):
                first.take(ETH0, vips)

    loop.run(play())


def test_a_process_that_was_killed_has_it_no_longer(loop: asyncio.Runner, vips: Vips) -> None:
    code = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind('\\0' + sys.argv[1]);"
        " s.listen(); print(flush=True); sys.stdin.read()"
    )

    async def play(other: subprocess.Popen[bytes]) -> None:
        with closing(Sole()) as mine:
            with pytest.raises(SetupError, match=f"process {other.pid}"):
                mine.take(ETH0, vips)
            other.kill()
            other.wait(LIMIT_S)
            mine.take(ETH0, vips)

    argv = [sys.executable, "-c", code, name_of(vips[0])[1:]]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        loop.run(play(other))


def test_another_user_cannot_keep_a_director_from_starting(
    loop: asyncio.Runner,
    vips: Vips,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sole, "_holder", lambda name: (4711, os.geteuid() + 12345))

    async def play() -> None:
        with socket.socket(socket.AF_UNIX) as stranger, closing(Sole()) as mine:
            stranger.bind(name_of(vips[0]))
            mine.take(ETH0, vips)
            assert "would not be noticed" in caplog.text

    loop.run(play())
