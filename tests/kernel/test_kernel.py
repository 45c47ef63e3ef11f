"""Kernel IPVS beside the core: the same stories, and what they answered must be the same.

What may differ is what may differ from the recordings (``tests/records/deviations.py``).
"""

from __future__ import annotations

from typing import Any

import pytest
from records.replay import differences

from .boot import NoKernelError, recorded
from .lines import command_lines
from .stories import traffic


@pytest.fixture(scope="session")
def kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Every story, recorded; one boot for all."""
    numbers = range(*request.config.getoption("--stories"))
    stories = [story(number) for number in numbers for story in (traffic, command_lines)]
    try:
        return recorded(stories, tmp_path_factory.mktemp("kernel"))
    except NoKernelError as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("kind", ["traffic", "lines"])
def test_the_core_answers_as_the_kernel_does(kernel: Any, kind: str) -> None:
    found = [
        f"{record['scenario']}: {difference}"
        for record in kernel
        if record["scenario"].startswith(kind)
        for difference in list(differences(record))[:1]
    ]
    assert not found, "\n".join(found)
