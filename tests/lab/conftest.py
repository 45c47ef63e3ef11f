"""A lab for the tests: as root, or as anybody in a user namespace entered here."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import running

from dr_forwarder.lab import Lab, LabUnavailable, acquire_privileges


def _enter() -> None:
    # In the user namespace we are uid 0, and pytest would look for its files under root's name.
    os.environ.setdefault("LOGNAME", f"uid-{os.getuid()}")
    try:
        acquire_privileges()
    except LabUnavailable:
        pass  # `possible` meets the same refusal, and skips with its reason


# At import, before anything has started a thread: the kernel's condition for a user namespace.
_enter()


def pytest_configure(config: pytest.Config) -> None:
    running.IO = config.getoption("--io")


@pytest.fixture(scope="session")
def possible() -> None:
    try:
        with Lab():
            pass
    except LabUnavailable as refusal:
        pytest.skip(str(refusal))


@pytest.fixture(scope="module")
def lab(possible: None) -> Iterator[Lab]:
    """One lab for all tests that leave it as it was."""
    with Lab() as lab:
        yield lab


@pytest.fixture
def own_lab(possible: None) -> Iterator[Lab]:
    """A lab for one test, to break."""
    with Lab() as lab:
        yield lab
