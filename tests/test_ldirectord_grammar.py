"""ldirectord's grammar, one case a statement: data/ldirectord_grammar.toml."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from test_config_ldirectord import DATA, V, parse

from dr_forwarder.config import ConfigError
from dr_forwarder.ldirectord.terms import in_terms

CASES: list[dict[str, Any]] = tomllib.loads((DATA / "ldirectord_grammar.toml").read_text())["case"]
_NOTHING = "NONE"
"""TOML has no null."""


def whole(text: str) -> str:
    lines = (V.strip() if line == "V" else line for line in text.split("\n"))
    return "\n".join(lines)


def sentence(case: dict[str, Any]) -> str:
    return f"{CASES.index(case)}: {case['says']}"


def at(subject: Any, path: str) -> Any:
    for name in path.split("."):
        subject = subject[int(name) if name.isdecimal() else name]
    return subject


@pytest.mark.parametrize("case", [case for case in CASES if "error" not in case], ids=sentence)
def test_what_is_taken(case: dict[str, Any]) -> None:
    config = parse(whole(case["text"]))
    said = in_terms(config)
    for path, expected in case.get("is", {}).items():
        assert at(said, path) == (None if expected == _NOTHING else expected), path
    told = case.get("strict", case.get("warning"))
    expected_notices = [] if told is None else [(told[0], "strict" in case)]
    assert [(notice.line, notice.strict) for notice in config.notices] == expected_notices
    if told is not None:
        assert told[1] in config.notices[0].reason


@pytest.mark.parametrize("case", [case for case in CASES if "error" in case], ids=sentence)
def test_what_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(whole(case["text"]))
    line, words = case["error"]
    assert caught.value.line == line
    assert words in caught.value.reason
    assert str(caught.value).startswith(f"a.cf:{line}: error: ")


def test_a_case_has_one_outcome() -> None:
    outcomes = [{"error", "warning", "strict"} & case.keys() for case in CASES]
    assert all(len(each) <= 1 for each in outcomes)
    assert all("error" in case or "is" in case for case in CASES)
