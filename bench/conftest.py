"""Shows pytest-benchmark's rounds, many operations each, as nanoseconds an operation.

Says at the end how much of the machine others used meanwhile, for then the figures are theirs too.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from bench.core import ROUND
from dr_forwarder.bench.cpu import ticks
from dr_forwarder.bench.runs import Ticks

_QUIET = 0.02
"""What share of the CPUs others may use without its being said."""


class _Others:
    """What share of all CPUs other programs, and other machines on this one's, used so far."""

    def __init__(self) -> None:
        self._before = self._look()

    @staticmethod
    def _look() -> tuple[Ticks, float]:
        return ticks(), sum(os.times()[:4])

    def share(self) -> float:
        """Since it was made."""
        (now, ours_now), (before, ours_before) = self._look(), self._before
        taken = now - before
        others = taken.busy + taken.stolen - (ours_now - ours_before)
        return max(0.0, others / taken.total) if taken.total > 0 else 0.0


_OTHERS = pytest.StashKey[_Others]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_OTHERS] = _Others()
    config.option.benchmark_columns = ["min", "median", "iqr", "rounds"]
    config.option.benchmark_sort = "fullname"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    share = terminalreporter.config.stash[_OTHERS].share()
    if share > _QUIET:
        terminalreporter.write_line(
            f"others used {share:.0%} of the CPUs meanwhile, and of the caches: times are longer"
        )


def pytest_benchmark_scale_unit(
    config: Any, unit: str, benchmarks: list[Any], **others: Any
) -> tuple[str, float]:
    if unit != "seconds":
        return "", 1.0
    operations = benchmarks[0]["extra_info"].get("operations", ROUND)
    return "n", 1e9 / operations


def pytest_benchmark_update_machine_info(config: Any, machine_info: dict[str, Any]) -> None:
    """The machine's name is nobody's business, and says nothing about its speed."""
    machine_info.pop("node")


def pytest_benchmark_update_json(
    config: pytest.Config, output_json: dict[str, Any], **others: Any
) -> None:
    """Only what a comparison needs, and what others did meanwhile."""
    output_json["commit_info"] = {"others": round(config.stash[_OTHERS].share(), 3)}
