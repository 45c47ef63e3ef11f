"""The C programs under tests/c, and the fuzz corpus, compiled with sanitizers and run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAMS = sorted(path.stem for path in (ROOT / "tests" / "c").glob("test_*.c"))
TARGETS = ("capture", "frame", "sequence", "state", "sync")
CORPUS = ROOT / "tests" / "fuzz" / "corpus"
FLAGS = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-g", "-O1"]
FLAGS += ["-I", str(ROOT / "csrc"), "-I", str(ROOT / "tests" / "c")]
ADDRESS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
THREAD = ("-fsanitize=thread",)
LIMIT_S = 120

Build = Callable[[Path, tuple[str, ...]], Path]


def run(command: list[str | Path]) -> None:
    # Whoever preloads a sanitizer into Python does not want it in the compiler too.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"


def sanitizes(compiler: str, flags: tuple[str, ...], folder: Path) -> bool:
    source = folder / "empty.c"
    source.write_text("int main(void) { return 0; }\n")
    program = folder / "empty"
    built = subprocess.run(
        [compiler, *flags, source, "-o", program], capture_output=True, check=False
    )
    return built.returncode == 0 and subprocess.run([program], check=False).returncode == 0


def is_core(path: Path) -> bool:
    """Not what cffi generates, nor the benchmark's."""
    return not path.stem.startswith("_") and path.parent.name != "bench"


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Compiles a test program; the core only once for each kind of sanitizer."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("there is no C compiler")
    cores: dict[tuple[str, ...], list[Path]] = {}

    def compiled(source: Path, flags: tuple[str, ...], to: Path) -> Path:
        run([compiler, *FLAGS, *flags, "-pthread", "-c", source, "-o", to])
        return to

    def core(flags: tuple[str, ...]) -> list[Path]:
        folder = tmp_path_factory.mktemp("core")
        if not sanitizes(compiler, flags, folder):
            pytest.skip(f"{compiler} cannot {' '.join(flags)}")
        sources = [path for path in (ROOT / "csrc").rglob("*.c") if is_core(path)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(
                pool.map(lambda path: compiled(path, flags, folder / f"{path.stem}.o"), sources)
            )

    def build(source: Path, flags: tuple[str, ...], *more: Path) -> Path:
        if flags not in cores:
            cores[flags] = core(flags)
        program = tmp_path_factory.mktemp(source.stem) / source.stem
        run([compiler, *FLAGS, *flags, "-pthread", source, *more, *cores[flags], "-o", program])
        return program

    return build


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_runs_clean_under_address_and_undefined(build: Build, name: str) -> None:
    run([build(ROOT / "tests" / "c" / f"{name}.c", ADDRESS)])


def test_the_engine_runs_clean_under_thread(build: Build) -> None:
    run([build(ROOT / "tests" / "c" / "test_engine.c", THREAD)])


@pytest.fixture(scope="session")
def replays(build: Build) -> dict[str, Path]:
    """The program that gives files to each fuzz target."""
    folder = ROOT / "tests" / "fuzz"
    return {
        target: build(folder / f"fuzz_{target}.c", ADDRESS, folder / "replay.c")
        for target in TARGETS
    }


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_runs_clean(replays: dict[str, Path], target: str) -> None:
    files = sorted((CORPUS / target).iterdir())
    assert len(files) > 10
    run([replays[target], *files])
