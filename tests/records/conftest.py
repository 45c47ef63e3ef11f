"""One test a recording."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "recording" not in metafunc.fixturenames:
        return
    folder = Path(metafunc.config.getoption("--records"))
    if not folder.is_dir():
        skipped = pytest.mark.skip(reason=f"no recordings in {folder}")
        metafunc.parametrize("recording", [pytest.param(None, marks=skipped, id="none")])
        return
    paths = sorted(folder.glob("*.json"))
    metafunc.parametrize("recording", [pytest.param(path, id=path.stem) for path in paths])
