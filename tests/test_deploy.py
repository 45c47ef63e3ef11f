"""The units of the service manager, held against the service manager's own reader."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = sorted((Path(__file__).parent.parent / "deploy").glob("*.service"))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_service_manager_finds_no_fault_in_a_unit(unit: Path) -> None:
    checked = subprocess.run(
        ("systemd-analyze", "verify", "--man=no", str(unit)), capture_output=True, text=True
    )
    if "'/run/systemd/'" in checked.stderr:
        pytest.skip("systemd has not started this system")
    said = [line for line in checked.stderr.splitlines() if unit.name in line]
    assert (checked.returncode, said) == (0, [])


def test_the_directors_unit_tries_for_ever_what_may_heal_and_notices_what_hangs() -> None:
    unit = next(unit for unit in UNITS if unit.name == "dr-forwarder.service")
    lines = set(unit.read_text().splitlines())
    assert lines >= {"Restart=always", "RestartPreventExitStatus=2", "StartLimitIntervalSec=0"}
    assert lines >= {"Type=notify", "WatchdogSec=30"}
