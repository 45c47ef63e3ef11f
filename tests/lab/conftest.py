"""A lab for the tests."""

from __future__ import annotations

from collections.abc import Iterator

import privileges
import pytest
import running

from dr_forwarder.lab import Lab, LabUnavailable

privileges.enter()  # at import: nothing has started a thread yet


def pytest_configure(config: pytest.Config) -> None:
    running.IO = config.getoption("--io")


@pytest.fixture(scope="session")
def possible() -> None:
    try:
        with Lab():
            pass
    except LabUnavailable as refusal:
        pytest.skip(privileges.reason(refusal))


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
