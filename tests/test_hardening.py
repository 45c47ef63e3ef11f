"""How the extension modules are built: what makes a fault in them harder to use is in the files."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "dr_forwarder"
MODULES = ("_dataplane", "_bench")


def elf(module: str, *asked: str) -> str:
    """What readelf says of a module; none in a build with sanitizers, which is for tests alone."""
    if shutil.which("readelf") is None:
        pytest.skip("readelf is not installed (package binutils)")
    path = PACKAGE / f"{module}.abi3.so"
    said = subprocess.run(
        ["readelf", "-W", *asked, str(path)], capture_output=True, text=True, check=True
    ).stdout
    if "__asan_init" in said or "__tsan_init" in said:
        pytest.skip("this build is for the sanitizers")
    return said


@pytest.mark.parametrize("module", MODULES)
def test_nothing_of_the_linker_can_be_written_to_after_the_start(module: str) -> None:
    assert "GNU_RELRO" in elf(module, "--program-headers")
    assert "BIND_NOW" in elf(module, "--dynamic")


@pytest.mark.parametrize("module", MODULES)
def test_no_memory_is_both_written_to_and_executed(module: str) -> None:
    segments = [line.split() for line in elf(module, "--program-headers").splitlines()]
    flags = ["".join(words[6:-1]) for words in segments if words[:1] in (["LOAD"], ["GNU_STACK"])]
    assert flags
    assert not [each for each in flags if "W" in each and "E" in each]


@pytest.mark.parametrize("module", MODULES)
def test_a_stack_that_was_written_over_is_noticed(module: str) -> None:
    assert "__stack_chk_fail" in elf(module, "--dyn-syms")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="looks for an instruction of x86-64")
@pytest.mark.parametrize("module", MODULES)
def test_calls_lead_only_to_where_functions_begin(module: str) -> None:
    elf(module, "--dyn-syms")  # skips where that says nothing
    path = PACKAGE / f"{module}.abi3.so"
    code = subprocess.run(["objdump", "-d", str(path)], capture_output=True, text=True, check=True)
    assert code.stdout.count("endbr64") > 10
