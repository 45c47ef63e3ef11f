"""Programs: compiles the core for the benchmark of its own, with the flags it is built with."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
_CSRC = ROOT / "csrc"
_BENCH = _CSRC / "bench"
_WHOLE = f"@{_CSRC}/whole.flags"
_FLAGS = ("-std=gnu11", _WHOLE, "-g", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE")
_INCLUDE = (f"-I{_CSRC}", f"-I{_BENCH}")


def compile_core(into: Path) -> Path:
    """Make the shared library of the core without its I/O ends and loop; where it lies."""
    library = into / "core.so"
    shell = {"engine.c", "loop.c", "looks.c", "syncing.c", "tracing.c", "replay.c"}
    shell |= {"io_ring.c", "io_memory.c", "io_xdp.c", "rings.c", "waiting.c", "xsk.c"}
    files = [path for path in sorted(_CSRC.rglob("*.c")) if path.parent != _BENCH]
    sources = [path for path in files if path.name not in shell]
    # As in the extension nobody outside knows the core's functions, so they may become one.
    _compile(library, ("core.c", *sources), "-fPIC", "-shared", "-fvisibility=hidden")
    return library


def _compile(out: Path, sources: tuple[str | Path, ...], *flags: str) -> None:
    compiler = os.environ.get("CC", "cc")
    directory = Path(__file__).parent
    argv = [compiler, *_FLAGS, *_INCLUDE, *flags, "-o", out.absolute(), *sources]
    subprocess.run(argv, cwd=directory, check=True)
