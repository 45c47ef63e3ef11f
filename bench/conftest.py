"""Shows pytest-benchmark's rounds, many operations each, as nanoseconds an operation."""

from __future__ import annotations

from typing import Any

from bench.core import ROUND


def pytest_configure(config: Any) -> None:
    config.option.benchmark_columns = ["min", "median", "iqr", "rounds"]
    config.option.benchmark_sort = "fullname"


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


def pytest_benchmark_update_json(config: Any, output_json: dict[str, Any], **others: Any) -> None:
    """Only what a comparison needs."""
    output_json["commit_info"] = {}
