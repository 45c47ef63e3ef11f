"""Describes dr_forwarder._dataplane, and _bench, to cffi; setup.py builds them."""

import os
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from cffi import FFI

CSRC = Path("csrc")  # setup.py runs in the project root
SANITIZE = os.environ.get("DR_SANITIZE")  # for example "address,undefined"


def declarations(header: Path) -> str:
    """The header without its preprocessor lines, which is what cdef() reads."""
    with header.open() as lines:
        return "".join(line for line in lines if not line.startswith("#"))


# Optimised when it is linked, over all files; a frame's way through the core is nearly one
# function; what is rare on it stays outside (`cold`, `noinline`). clang has no such limits.
WHOLE = f"@{CSRC}/whole.flags"


def can_optimise_the_whole() -> bool:
    """Whether compiler and linker can: some lack the plugin for it."""
    compiler = os.environ.get("CC", sysconfig.get_config_var("CC") or "cc").split()
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "program.c"
        program.write_text("int main(void) { return 0; }\n")
        command = [*compiler, WHOLE, "-Werror", str(program), "-o", f"{folder}/program"]
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except OSError:
            return False


flags = ["-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"]
links = []
if SANITIZE:
    flags += [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer", "-O1"]
    links += [f"-fsanitize={SANITIZE}"]
elif can_optimise_the_whole():
    flags.append(WHOLE)
    links.append(WHOLE)

DEPENDS = sorted(map(str, [*CSRC.rglob("*.h"), CSRC / "whole.flags"]))
BENCH = CSRC / "bench"
RINGS = [CSRC / name for name in ("io_ring.c", "rings.c", "sctp_crc.c", "waiting.c")]
CORE = sorted(str(path) for path in CSRC.rglob("*.c") if path.parent != BENCH)


def extension(name: str, headers: tuple[Path, ...], sources: list[str]) -> FFI:
    """One module; the last of its headers includes the others."""
    builder = FFI()
    for header in headers:
        builder.cdef(declarations(header))
    builder.set_source(
        f"dr_forwarder.{name}",
        f'#include "{headers[-1].name}"',
        sources=sources,
        depends=DEPENDS,
        include_dirs=[str(CSRC), str(BENCH)],
        extra_compile_args=flags,
        extra_link_args=links,
        py_limited_api=True,
    )
    return builder


ffibuilder = extension("_dataplane", (CSRC / "dr.h", CSRC / "dr_trace.h"), CORE)
bench = extension(
    "_bench",
    (BENCH / "bench.h",),
    sorted(str(path) for path in (*BENCH.glob("*.c"), *RINGS)),
)
