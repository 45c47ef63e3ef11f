"""Options of the tests."""

from __future__ import annotations

import faulthandler
import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from dr_forwarder.bench.testbed import Testbed

# How fast a machine makes examples says nothing about the code.
settings.register_profile(
    "any-machine", suppress_health_check=[HealthCheck.too_slow], deadline=None
)
settings.load_profile("any-machine")

STDERR = pytest.StashKey[int]()
"""The error output of the whole run, which no test's capture holds back."""

RECORDS = Path(__file__).resolve().parents[2] / "shared" / "records"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("records", "recordings of kernel IPVS")
    group.addoption(
        "--records",
        metavar="DIR",
        default=str(RECORDS),
        help="folder of recordings to replay (default: ../shared/records of the project)",
    )
    group.addoption(
        "--records-all",
        action="store_true",
        help="replay those too that need what the core does not have yet",
    )
    group.addoption(
        "--stories",
        metavar="FROM:TO",
        default=(0, 5),
        type=lambda text: tuple(map(int, text.split(":"))),
        help="seeds of the stories that a kernel in user mode is told too (default: 0:5)",
    )
    parser.getgroup("lab", "directors in the lab").addoption(
        "--io",
        choices=("packet", "xdp"),
        default="packet",
        help="by which sockets they work, but for tests about others (default: packet)",
    )


def pytest_configure(config: pytest.Config) -> None:
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        config.stash[STDERR] = os.dup(2)
    # Processes that share the tests (-n) are born with threads, and inherit what they need.
    if config.getoption("numprocesses", None):
        import privileges  # whoever runs a few tests shall not wait for what it imports

        privileges.enter()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[object]:
    """What does not heed its time limit (in C, or at its end) ends the process, and says where."""
    limit_s = 2 * float(item.config.getini("timeout"))
    faulthandler.dump_traceback_later(limit_s, exit=True, file=item.config.stash[STDERR])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[object]:
    """A program that is not installed is a reason to skip what starts it; as in the test itself."""
    try:
        return (yield)
    except FileNotFoundError as error:
        skip_without_program(error)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[object]:
    try:
        return (yield)
    except FileNotFoundError as error:
        skip_without_program(error)
        raise


def skip_without_program(error: FileNotFoundError) -> None:
    """If it tells of a program, by its name alone, that a test wanted to start."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    name = str(error.filename)
    if frame.f_globals.get("__name__") == "subprocess" and "/" not in name:
        pytest.skip(f"needs {name}, which is not installed")


@pytest.fixture(scope="module")
def pair() -> Iterator[Testbed]:
    """What the benchmark measures on; needs root, or user namespaces, and two CPUs."""
    # Only its tests shall wait for what it imports.
    import privileges

    from dr_forwarder.bench.testbed import Testbed
    from dr_forwarder.lab import LabUnavailable, acquire_privileges

    try:
        acquire_privileges()
        testbed = Testbed()
    except LabUnavailable as error:
        pytest.skip(privileges.reason(error))
    with testbed:
        yield testbed
