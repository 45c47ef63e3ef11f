"""Programs: compiles the benchmark's C files, with the flags the core is built with."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
_CSRC = ROOT / "csrc"
_FLAGS = ("-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", f"-I{_CSRC}")
_SOURCES = {
    "generate": (),
    "probe": (),
    "baselines": (_CSRC / "io_ring.c",),
}


def compile_programs(into: Path) -> None:
    """Put every program of the benchmark into a directory."""
    for name, sources in _SOURCES.items():
        _compile(into / name, (f"{name}.c", *sources))


def compile_core(into: Path) -> Path:
    """Make the shared library of the core without its I/O ends and loop; where it lies."""
    library = into / "core.so"
    shell = {"engine.c", "io_ring.c", "io_memory.c", "tracing.c", "replay.c"}
    sources = [path for path in sorted(_CSRC.rglob("*.c")) if path.name not in shell]
    _compile(library, ("core.c", *sources), "-fPIC", "-shared")
    return library


def _compile(out: Path, sources: tuple[str | Path, ...], *flags: str) -> None:
    compiler = os.environ.get("CC", "cc")
    directory = Path(__file__).parent
    argv = [compiler, *_FLAGS, *flags, "-o", out.absolute(), *sources]
    subprocess.run(argv, cwd=directory, check=True)
