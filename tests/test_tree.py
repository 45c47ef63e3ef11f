"""The tree: what git tracks is text that people wrote, but for the kinds of data named here."""

import re
import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).parent.parent
_DATA = re.compile(r"\.(png|pcap|pcapng)$|^tests/fuzz/corpus/|^tests/data/")


def _tracked() -> list[str]:
    try:
        done = subprocess.run(
            ["git", "ls-files", "-z"], cwd=_ROOT, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("git is not installed")
    if done.returncode:
        pytest.skip("this is no git checkout")
    return [name for name in done.stdout.split("\0") if name and (_ROOT / name).is_file()]


def test_no_binary_is_tracked() -> None:
    binary = [n for n in _tracked() if not _DATA.search(n) and b"\0" in (_ROOT / n).read_bytes()]
    assert binary == []
