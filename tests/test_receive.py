"""Receive expressions: Perl's dialect, and none that holds up other checks."""

from __future__ import annotations

import asyncio

import pytest

from dr_forwarder.checks.model import CheckError
from dr_forwarder.checks.receive import found

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


def test_a_broken_expression_is_named() -> None:
    with pytest.raises(CheckError, match="receive is not a regular expression: "):
        asyncio.run(found("(", "text"))
