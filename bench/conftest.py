"""Shows pytest-benchmark's rounds, a million operations each, as nanoseconds an operation."""

from __future__ import annotations

from typing import Any

from bench.test_core import MILLION


def pytest_configure(config: Any) -> None:
    config.option.benchmark_columns = ["min", "median", "iqr", "rounds"]
    config.option.benchmark_sort = "fullname"


def pytest_benchmark_scale_unit(config: Any, unit: str, **others: Any) -> tuple[str, float]:
    return ("n", 1e9 / MILLION) if unit == "seconds" else ("", 1.0)
