"""Describes dr_forwarder._dataplane to cffi; setup.py builds it."""

import os
from pathlib import Path

from cffi import FFI

CSRC = Path("csrc")  # setup.py runs in the project root
SANITIZE = os.environ.get("DR_SANITIZE")  # for example "address,undefined"


def declarations(header: Path) -> str:
    """The header without its preprocessor lines, which is what cdef() reads."""
    with header.open() as lines:
        return "".join(line for line in lines if not line.startswith("#"))


flags = ["-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"]
links = []
if SANITIZE:
    flags += [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer", "-O1"]
    links += [f"-fsanitize={SANITIZE}"]

ffibuilder = FFI()
for header in ("dr.h", "dr_trace.h"):
    ffibuilder.cdef(declarations(CSRC / header))
ffibuilder.set_source(
    "dr_forwarder._dataplane",
    '#include "dr_trace.h"',
    sources=sorted(str(path) for path in CSRC.rglob("*.c")),
    depends=sorted(str(path) for path in CSRC.rglob("*.h")),
    include_dirs=[str(CSRC)],
    extra_compile_args=flags,
    extra_link_args=links,
    py_limited_api=True,
)
