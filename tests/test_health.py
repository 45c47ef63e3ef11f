"""Health as data: runs of results, and what they mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr_forwarder.config.model import Check, CheckType
from dr_forwarder.health import Health, next_type

# One letter a result; what follows it: U up, s up after soft failures, d down.
RUNS = [
    pytest.param(1, "+-+-", "UdUd", id="every failure counts"),
    pytest.param(3, "+--+", "UssU", id="two failures of three are forgiven"),
    pytest.param(3, "+---", "Ussd", id="the third is not"),
    pytest.param(3, "+--+--+", "UssUssU", id="only failures in a row count"),
    pytest.param(3, "---+", "dddU", id="one success brings a server back"),
    pytest.param(3, "-", "d", id="nothing is forgiven to a server that never worked"),
    pytest.param(2, "+---+-", "UsddUs", id="forgiven again after coming back"),
]


def drawn(health: Health) -> str:
    if not health.up:
        return "d"
    return "s" if health.failures else "U"


@pytest.mark.parametrize(("failure_count", "results", "states"), RUNS)
def test_a_run_of_results(failure_count: int, results: str, states: str) -> None:
    health, seen = Health(), ""
    for result in results:
        health = health.after(result == "+", result, failure_count=failure_count)
        seen += drawn(health)
    assert seen == states


def test_an_unchecked_server_is_neither_up_nor_down() -> None:
    assert Health().up is None


def test_the_last_reason_is_kept() -> None:
    health = Health().after(True, "HTTP 200 OK", failure_count=2)
    assert health.after(False, "no answer", failure_count=2).reason == "no answer"


RISES = [
    pytest.param(1, "-+", "du", id="one success, as ldirectord"),
    pytest.param(3, "-++++", "ddduu", id="three in a row"),
    pytest.param(3, "-++-+++", "ddddddu", id="a failure begins anew"),
    pytest.param(3, "+", "u", id="the first result decides alone"),
]


@pytest.mark.parametrize(("rise_count", "results", "states"), RISES)
def test_a_server_that_was_down_has_to_prove_itself(
    rise_count: int, results: str, states: str
) -> None:
    health, seen = Health(), ""
    for result in results:
        health = health.after(result == "+", "", failure_count=1, rise_count=rise_count)
        seen += "u" if health.up else "d"
    assert seen == states


def test_a_lower_failure_count_holds_from_the_next_failure_on() -> None:
    health = Health().after(True, "", failure_count=9).after(False, "", failure_count=9)
    assert health.up
    assert not health.after(False, "", failure_count=2).up


@given(st.integers(1, 6), st.lists(st.booleans(), min_size=1))
def test_up_means_working_or_not_failing_for_long(failure_count: int, results: list[bool]) -> None:
    health = Health()
    for passed in results:
        health = health.after(passed, "", failure_count=failure_count)
    row = 0
    for passed in reversed(results):
        if passed:
            break
        row += 1
    assert health.up == (row < len(results) and row < failure_count)
    assert health.failures == row


TURNS = [
    pytest.param(CheckType.COMBINED, 2, "+++++++", "NCCNCCN", id="connects between negotiates"),
    pytest.param(CheckType.COMBINED, 2, "++-++++", "NCCNCCN", id="a failed connect at the end"),
    pytest.param(CheckType.COMBINED, 3, "+-++", "NCNC", id="a failed connect calls a negotiate"),
    pytest.param(CheckType.COMBINED, 1, "---+-", "NNNNC", id="negotiates until one succeeds"),
    pytest.param(CheckType.COMBINED, 0, "+++", "NNN", id="no connects at all"),
    pytest.param(CheckType.NEGOTIATE, 0, "+-+", "NNN", id="other types never change"),
    pytest.param(CheckType.CONNECT, 0, "+-+", "CCC", id="connect neither"),
]


@pytest.mark.parametrize(("kind", "connects", "results", "turns"), TURNS)
def test_the_turns_of_a_check(kind: CheckType, connects: int, results: str, turns: str) -> None:
    check, passes, seen = Check(type=kind, connects=connects), 0, ""
    for result in results:
        seen += next_type(check, passes=passes).name[0]
        passes = passes + 1 if result == "+" else 0
    assert seen == turns
