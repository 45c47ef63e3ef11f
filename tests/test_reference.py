"""The pages of reference say what the program's tables say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("page", ["reference", "api"])
def test_the_page_is_what_the_tables_say(page: str) -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "docs" / f"make_{page}.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    ).stdout
    assert made == (ROOT / "docs" / f"{page}.md").read_text(), "run: make docs"
