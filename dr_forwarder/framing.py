"""Framing: single frames into the core and out of it, without an interface. With `dataplane`,
`border`, `capturing` and `tracing` the only importers of the extension; no cdata leaves them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ._dataplane import ffi, lib
from .border import VERDICTS
from .errors import check

_LONGEST_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one frame: the verdict's name, and what is to be sent."""

    verdict: str
    frame: bytes
    """The bytes as they are now, or the answer that takes their place."""
    sent: bool


def decide(
    engine: Any, frame: bytes, *, now_ns: int, length: int | None, gso_size: int
) -> Decision:
    """One frame without any I/O."""
    raw, data = _raw(frame, length=length, gso_size=gso_size)
    verdict = int(lib.dr_forward(engine, raw, now_ns))
    now = bytes(ffi.buffer(raw.data, raw.captured))
    del data  # kept alive until here: raw only points to it
    return Decision(VERDICTS[verdict], now, bool(raw.send))


def held(engine: Any, *, now_ns: int) -> Iterator[bytes]:
    """Fragments that waited for the frame just decided, as they are to be sent."""
    raw = ffi.new("struct dr_frame *")
    while lib.dr_forward_held(engine, raw, now_ns):
        if raw.send:
            yield bytes(ffi.buffer(raw.data, raw.length))


def push(engine: Any, frame: bytes) -> None:
    """Into the memory end; raises DataplaneError."""
    raw, _data = _raw(frame)
    check(lib.dr_memory_push(engine, 0, raw), "memory I/O")


def pop(engine: Any) -> bytes | None:
    """The next frame that the memory end sent."""
    out = ffi.new("uint8_t[]", _LONGEST_BYTES)
    length = int(lib.dr_memory_pop(engine, 0, out, _LONGEST_BYTES))
    return bytes(ffi.buffer(out, length)) if length else None


def _raw(frame: bytes, *, length: int | None = None, gso_size: int = 0) -> tuple[Any, Any]:
    data = ffi.new("uint8_t[]", frame)
    raw = ffi.new("struct dr_frame *")
    raw.data = data
    raw.length = len(frame) if length is None else length
    raw.captured = len(frame)
    raw.gso_size = gso_size
    return raw, data
