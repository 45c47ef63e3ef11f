"""The reference page says what the program's tables say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_reference_is_what_the_tables_say() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "docs" / "make_reference.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    ).stdout
    assert made == (ROOT / "docs" / "reference.md").read_text(), "run: make docs"
