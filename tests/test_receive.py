"""Receive expressions: Perl's dialect, and none that holds up other checks."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from dr_forwarder.checks.model import CheckError
from dr_forwarder.checks.receive import Patience, found

FOUND = [
    pytest.param("ok", "all is ok", True, id="anywhere"),
    pytest.param("OK", "all is ok", False, id="case counts"),
    pytest.param("(?i)OK", "all is ok", True, id="unless told"),
    pytest.param(r"^b", "a\nb", False, id="not multi-line"),
    pytest.param(r"a$", "a\n", True, id="the end may have a new line after it"),
    pytest.param(r"a\Z", "a\n", True, id="Z alike"),
    pytest.param(r"a\z", "a\n", False, id="z not"),
    pytest.param(r"\Qa.b\E.c", "a.bxc", True, id="quoted"),
    pytest.param(r"\Qa.b\E", "axb", False, id="quoted dot"),
    pytest.param(r"\x{e9}", "caf\xe9", True, id="code"),
    pytest.param(r"(?<n>a)\k<n>", "aa", True, id="named group"),
    pytest.param(r"a++b", "aab", True, id="possessive"),
    pytest.param(r"[[:digit:]]{3}", "200", True, id="POSIX class"),
    pytest.param(r"a\h+b", "a \tb", True, id="horizontal blank"),
]


@pytest.mark.parametrize(("receive", "text", "hit"), FOUND)
def test_an_expression_means_what_it_means_in_perl(receive: str, text: str, hit: bool) -> None:
    assert asyncio.run(found(receive, text)) is hit


def test_an_expression_that_backtracks_for_ever_holds_up_nobody() -> None:
    async def both() -> int:
        looked = asyncio.create_task(found(r"(a|aa)+\d(?<=x)", "a" * 5000))
        turns = 0
        while not looked.done():
            await asyncio.sleep(0.001)
            turns += 1
        with pytest.raises(CheckError, match=r"backtracks for over 1 s: simplify it"):
            await looked
        return turns

    # Held up, the loop would have turned once or twice within that second.
    assert asyncio.run(both()) > 20


def test_many_looks_share_one_limit() -> None:
    """A line each: a hundred of them that backtrack take no hundred seconds."""

    async def looks() -> None:
        patience = Patience(left_s=0.2)
        for _ in range(100):
            await found(r"(a|aa)+\d(?<=x)", "a" * 5000, patience=patience)

    with pytest.raises(CheckError, match="backtracks"):
        asyncio.run(looks())


BYTES = [
    pytest.param("grün", "grün", True, id="UTF-8"),
    pytest.param("gr\udcfcn", b"gr\xfcn", True, id="Latin-1, as the reader of the file has it"),
    pytest.param("^gr..n$", "grün", True, id="bytes"),
    pytest.param("^gr.n$", "grün", True, id="and letters"),
    pytest.param("^gr.n$", b"gr\xfcn", True, id="of one byte too"),
    pytest.param(r"\xfc", b"gr\xfcn", True, id="a code"),
    pytest.param(r"\x{263a}", "\u263a", True, id="a code that is no byte"),
    pytest.param("(?i)GRÜN", "grün", True, id="letters know their case"),
    pytest.param(r"\p{Lu}", "Ü", True, id="and their kind"),
    pytest.param("gr[üä]n", "grän", True, id="a class of letters"),
    pytest.param("gr[^ü]n", "grün", False, id="and its opposite"),
    pytest.param("ok", b"\xff\xfe\x00ok", True, id="among bytes that are no text"),
]


@pytest.mark.parametrize(("receive", "answer", "hit"), BYTES)
def test_bytes_are_compared_and_then_text(receive: str, answer: str | bytes, hit: bool) -> None:
    data = answer.encode() if isinstance(answer, str) else answer
    assert asyncio.run(found(receive, data)) is hit


def test_a_broken_expression_is_named() -> None:
    with pytest.raises(CheckError, match="receive is not a regular expression: "):
        asyncio.run(found("(", "text"))


CATASTROPHES = [
    pytest.param("(a+)+b", b"a" * 1_000_000, id="nested repeats"),
    pytest.param("(a|aa)+$x", b"a" * 1_000_000, id="ambiguous choice"),
    pytest.param("(?i)(x+x+)+y", b"x" * 1_000_000, id="two repeats"),
    pytest.param("(\u00fc+)+b", "\u00fc".encode() * 500_000, id="beyond ASCII"),
    pytest.param("(?:a(?R)?a)b", b"a" * 1_000_000, id="recursion"),
]


@pytest.mark.parametrize(("receive", "body"), CATASTROPHES)
def test_many_servers_with_large_bodies_leave_the_loop_to_others(receive: str, body: bytes) -> None:
    """The loop's thread computes next to nothing meanwhile, whatever else the host is busy with."""

    async def many() -> tuple[list[object], float, int]:
        turns, busy_s = 0, 0.0
        looks = [asyncio.create_task(found(receive, body)) for _ in range(3)]
        while not all(look.done() for look in looks):
            before_s = time.thread_time()
            await asyncio.sleep(0)
            busy_s = max(busy_s, time.thread_time() - before_s)
            await asyncio.sleep(0.001)
            turns += 1
        outcomes = await asyncio.gather(*looks, return_exceptions=True)
        return list(outcomes), busy_s, turns

    outcomes, busy_s, turns = asyncio.run(many())
    assert all(isinstance(each, CheckError) for each in outcomes), outcomes
    assert turns > 100
    assert busy_s < 0.02


def test_an_idle_process_that_somebody_killed_is_no_servers_fault() -> None:
    def children() -> set[int]:
        return {
            int(each)
            for each in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        }

    async def looks() -> bool:
        before = children()
        assert await found("a+b", b"a" * 10_000 + b"b")
        (idle,) = children() - before
        os.kill(idle, signal.SIGKILL)
        await asyncio.to_thread(os.waitid, os.P_PID, idle, os.WEXITED | os.WNOWAIT)
        return await found("a+b", b"a" * 10_000 + b"b")

    assert asyncio.run(looks())


def test_a_process_that_was_lost_over_an_expression_is_replaced() -> None:
    async def looks() -> bool:
        with pytest.raises(CheckError, match="backtracks"):
            await found("(a+)+b", b"a" * 1_000_000)
        return await found("a+b", b"a" * 10_000 + b"b")

    assert asyncio.run(looks())
