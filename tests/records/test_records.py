"""Every recording of kernel IPVS, replayed through the core."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .not_yet import missing
from .replay import differences


def test_the_core_does_what_the_kernel_did(recording: Path, request: pytest.FixtureRequest) -> None:
    record = json.loads(recording.read_text())
    needs = missing(record["steps"])
    if needs and not request.config.getoption("--records-all"):
        pytest.skip(f"not yet: {', '.join(needs)}")
    difference = next(differences(record), None)
    if difference is not None:
        pytest.fail(f"{record['about']}\n{difference}", pytrace=False)
