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


def takes(*arguments: str) -> bool:
    """Whether compiler and linker take them without a word; some lack the plugin for WHOLE."""
    compiler = os.environ.get("CC", sysconfig.get_config_var("CC") or "cc").split()
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "program.c"
        program.write_text("#include <string.h>\nint main(void) { return 0; }\n")
        command = [*compiler, "-O2", *arguments, "-Werror", str(program), "-o", f"{folder}/program"]
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except OSError:
            return False


# What makes a fault in the core harder to use, as far as the compiler here has it. Of the ways to
# say one thing, the first that is taken; a distribution may have set its own level of FORTIFY.
HARDENING = (
    ("-fstack-protector-strong",),
    ("-fstack-clash-protection",),
    ("-fcf-protection=full", "-mbranch-protection=standard"),
    ("-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3", "-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2"),
)
HARDENED_LINKS = ("-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack")


def hardening() -> list[str]:
    """The compiler's part."""
    taken = (next((way for way in ways if takes(*way.split())), "") for ways in HARDENING)
    return [word for way in taken for word in way.split()]


flags = ["-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-fvisibility=hidden"]
# A compiler that is newer than this text may know new warnings: no reason not to be built.
flags += ["-Werror"] if os.environ.get("DR_WERROR") else []
links = [word for word in HARDENED_LINKS if takes(word)]
if SANITIZE:
    flags += [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer", "-O1"]
    links += [f"-fsanitize={SANITIZE}"]
else:
    flags += hardening()
    if takes(WHOLE):
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
