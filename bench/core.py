"""Core: the loops of core.c, for whoever times them."""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from bench.programs import compile_core

ROUND = 65_536
"""Operations of a loop, as core.c has it."""

_UINT = ctypes.c_uint32
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "prepare_new": (None, (_UINT,)),
    "prepare": (None, (_UINT, _UINT)),
    "parse": (_UINT, ()),
    "find": (_UINT, ()),
    "decide": (_UINT, ()),
    "decide_singly": (_UINT, ()),
    "pick": (_UINT, (_UINT,)),
    "expire": (_UINT, (_UINT,)),
    "fill": (_UINT, (_UINT,)),
    "let_pass": (None, ()),
    "bytes": (ctypes.c_uint64, ()),
    "can_trace": (None, ()),
    "watch": (None, (_UINT, _UINT)),
}


@cache
def _library() -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as directory:
        loaded = ctypes.CDLL(str(compile_core(Path(directory))))
    loaded.core_new.restype = ctypes.c_void_p
    loaded.core_new.argtypes = (_UINT, ctypes.c_char_p, _UINT, ctypes.c_int)
    loaded.core_free.restype = None
    loaded.core_free.argtypes = (ctypes.c_void_p,)
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(loaded, f"core_{name}")
        function.restype = result
        function.argtypes = (ctypes.c_void_p, *arguments)
    return loaded


class Core:
    """One core; its methods are core.c's functions of those names (``core_`` before them)."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def __getattr__(self, name: str) -> Any:
        if name not in _SIGNATURES:
            raise AttributeError(name)
        function = getattr(_library(), f"core_{name}")
        return lambda *arguments: function(self._handle, *arguments)


@contextmanager
def core(
    *,
    connections: int = 1_000_000,
    scheduler: str = "wrr",
    servers: int = 3,
    huge: bool = True,
) -> Iterator[Core]:
    """A director's core with one service, and room for so many connections."""
    library = _library()
    handle = library.core_new(connections, scheduler.encode(), servers, huge)
    try:
        yield Core(handle)
    finally:
        library.core_free(handle)
