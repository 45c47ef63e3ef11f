"""What watching costs a frame: `python -m bench.trace`.

Frames of 1,000 connections go through the core, without I/O, in batches as the loop takes them. The
ways take turns every few milliseconds, and each ratio is of neighbours in time. What a frame costs
with I/O is many times as much, so the share of that is less than what is printed.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import tempfile
import time
from pathlib import Path

from bench.programs import compile_core

_OPERATIONS = 1024 * 64
_FLOWS = 1000
Core = ctypes.c_void_p

_WAYS: dict[str, tuple[int, int] | None] = {
    "off": None,
    "one frame in 1,000": (1000, 0),
    "one frame in 100": (100, 0),
    "1,000 records a second": (1, 1000),
    "every frame": (1, 0),
}
"""For whoever watches: one frame in so many, records a second at most."""


def _library(directory: Path) -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(compile_core(directory)))
    loaded.core_new.restype = Core
    loaded.core_new.argtypes = (ctypes.c_uint32, ctypes.c_char_p, ctypes.c_uint32)
    loaded.core_can_trace.argtypes = (Core,)
    loaded.core_watch.argtypes = (Core, ctypes.c_uint32, ctypes.c_uint32)
    loaded.core_insert.argtypes = (Core, ctypes.c_uint32)
    loaded.core_hit_in_batches.argtypes = (Core, ctypes.c_uint32, ctypes.c_uint32)
    return loaded


def _core(library: ctypes.CDLL, watched: tuple[int, int] | None, *, recorder: bool) -> Core:
    core = Core(library.core_new(_FLOWS * 2, b"wrr", 3))
    if recorder:
        library.core_can_trace(core)
    if watched is not None:
        library.core_watch(core, *watched)
    assert library.core_insert(core, _FLOWS) == _FLOWS
    return core


def _nanoseconds(library: ctypes.CDLL, core: Core) -> float:
    began_s = time.perf_counter()
    assert library.core_hit_in_batches(core, _OPERATIONS, _FLOWS) == _OPERATIONS
    return (time.perf_counter() - began_s) / _OPERATIONS * 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        library = _library(Path(name))
        cores = {"without the flight recorder": _core(library, None, recorder=False)}
        cores |= {way: _core(library, watched, recorder=True) for way, watched in _WAYS.items()}
        taken: dict[str, list[float]] = {way: [] for way in cores}
        for _ in range(rounds):
            for way, core in cores.items():
                taken[way].append(_nanoseconds(library, core))
    print(f"{'':<28} {'ns/frame':>8} {'least':>6}  to 'off': quartile - median - quartile")
    for way, ns in taken.items():
        ratios = [a / b for a, b in zip(ns, taken["off"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        spread = f"{low:.3f} - {middle:.3f} - {high:.3f}"
        print(f"{way:<28} {statistics.median(ns):>8.1f} {min(ns):>6.1f}  {spread}")


if __name__ == "__main__":
    main()
