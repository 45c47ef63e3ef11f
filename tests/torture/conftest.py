"""What every torture begins with: a variant's cluster; and the table of all of them at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "lab"))

import privileges

privileges.enter()  # nothing has started a thread yet

from cluster import VARIANTS, Cluster, Variant, cluster  # noqa: E402 - needs the path above

from dr_forwarder.lab import Lab, LabUnavailable  # noqa: E402

_ROWS = pytest.StashKey[list[tuple[str, ...]]]()
_PASSED = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ROWS] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_PASSED] = report.passed
    return report


@pytest.fixture(scope="session")
def possible() -> None:
    try:
        with Lab():
            pass
    except LabUnavailable as refusal:
        pytest.skip(str(refusal))


@pytest.fixture(params=VARIANTS, ids=lambda variant: variant.name.replace(" ", "-"))
def variant(request: pytest.FixtureRequest) -> Variant:
    found: Variant = request.param
    return found


@pytest.fixture
def tortured(
    possible: None, variant: Variant, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Cluster]:
    """A cluster whose figures come into the table at the end."""
    began_s = time.monotonic()
    with cluster(variant, tmp_path) as found:
        yield found
    name = request.function.__name__.removeprefix("test_").replace("_", " ")
    figures = ", ".join(f"{what} {figure}" for what, figure in found.figures.items())
    if not request.node.stash.get(_PASSED, False):
        figures = f"FAILED {figures}"
    seconds = f"{time.monotonic() - began_s:.0f} s"
    request.config.stash[_ROWS].append((name, variant.name, figures, seconds))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    rows = config.stash[_ROWS]
    if not rows:
        return
    terminalreporter.section("torture")
    terminalreporter.write_line("| what | variant | figures | took |")
    terminalreporter.write_line("| --- | --- | --- | --- |")
    for row in rows:
        terminalreporter.write_line(f"| {' | '.join(row)} |")
