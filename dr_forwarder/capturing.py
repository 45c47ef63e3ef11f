"""Capturing: capture files and the core: what they tell of MAC addresses, their frames decided,
and frames written. No cdata leaves this module; files are opened by others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, BinaryIO, Final

from . import border
from ._dataplane import ffi, lib
from .border import WAYS
from .endpoints import Address
from .errors import check

_PIECE: Final = 4 << 20
"""Bytes of a capture that are looked at together: room for many of the longest frames."""
_LEAST: Final = 512 * 1024
"""With so many bytes at hand, the next frame is there unless the file ends."""
_OUT: Final = int(lib.DR_REPLAY_ROOM) + (2 << 20)
_FLOWS: Final = 1 << 20
_FRAME_OVERHEAD: Final = 256
_NEVER_NS: Final = (1 << 64) - 1
_NO_MAC: Final = bytes(6)
_NO_MACS: Final[Mapping[Address, bytes]] = MappingProxyType({})

FAULTS = border.elements("dr_capture_fault", "DR_CAPTURE_", "DR_CAPTURE_FAULTS")


class _Pieces:
    """A file's bytes, of which the core takes as many as it can do with."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._bytes = bytearray(_PIECE)
        self._raw = ffi.from_buffer(self._bytes, require_writable=True)
        self._from = self._to = 0
        self.ended = False

    @property
    def data(self) -> Any:
        return self._raw + self._from

    @property
    def size(self) -> int:
        return self._to - self._from

    def took(self, used: int) -> None:
        self._from += used

    def fill(self) -> None:
        """Reads on where less is left than a frame may need."""
        if self.size >= _LEAST or self.ended:
            return
        self._bytes[: self.size] = self._bytes[self._from : self._to]
        self._from, self._to = 0, self.size
        with memoryview(self._bytes) as view:
            while self._to < len(view) and not self.ended:
                got = self._file.readinto(view[self._to :])  # type: ignore[attr-defined]
                self._to += got
                self.ended = not got


@dataclass(frozen=True, slots=True)
class Seen:
    """What a capture tells of an address."""

    claimed: bytes | None
    """Its MAC address by its own word: ARP, or a neighbour advertisement; the first."""
    reached: bytes | None
    """Where the first IP frame to it went."""
    taken: bool = False
    """A frame has the candidate for its source or destination."""

    @property
    def mac(self) -> bytes | None:
        """The better of the two."""
        return self.claimed or self.reached


def survey(
    file: BinaryIO, addresses: Sequence[Address], candidates: Mapping[Address, bytes] = _NO_MACS
) -> dict[Address, Seen]:
    """Reads a capture to its end, or as far as it is one.

    ``candidates`` are MAC addresses that these may be given, should nobody have them already.
    """
    raw = ffi.new("struct dr_neighbour[]", len(addresses))
    for out, address in zip(raw, addresses, strict=True):
        out.address = border.packed(address)
        out.candidate = candidates.get(address, _NO_MAC)
    handle = ffi.new("struct dr_survey **")
    check(lib.dr_survey_new(handle, raw, len(addresses)), "cannot look through the capture")
    pieces = _Pieces(file)
    try:
        while not pieces.ended:
            pieces.fill()
            used = int(lib.dr_survey_step(handle[0], pieces.data, pieces.size))
            pieces.took(used)
            if used == 0:
                break
    finally:
        lib.dr_survey_free(handle[0])

    def mac(learnt: Any) -> bytes | None:
        return None if bytes(learnt) == _NO_MAC else bytes(learnt)

    return {
        address: Seen(mac(each.claimed), mac(each.reached), bool(each.taken))
        for address, each in zip(addresses, raw, strict=True)
    }


@dataclass(frozen=True, slots=True)
class FlowChange:
    """A flow whose frames went to another real server than before."""

    frame: int
    at_ns: int
    """Since 1970, by the capture."""
    protocol: str
    client: Address
    client_port: int
    address: Address
    port: int
    before: Address
    after: Address
    by: str


@dataclass(frozen=True, slots=True)
class Report:
    """How far a capture has been replayed, and what was odd in it."""

    frames: int
    sent: int
    """Frames and answers."""
    began_ns: int
    """Time of the first frame, since 1970."""
    took_ns: int
    """From then to the last frame, by the capture."""
    backwards: int
    """Frames with a time before that of the frame before; they count as at the same time."""
    leaps: int
    """Frames that came later than any time-out lasts; 60 days stand for the pause."""
    joined: int
    """Frames longer than the MTU: segments that offloads joined."""
    flows: int
    forgotten: int
    """Flows that there was no room to remember; what came of them later is another flow."""
    changed: int
    changes: tuple[FlowChange, ...]
    """The first of them."""
    offset: int
    """Bytes of the capture that were understood."""
    pending: int
    """Bytes that the capture promises behind its end."""
    fault: str
    """``fine``, or why it could not be read on, as FAULTS names it."""
    fault_value: int
    foreign: tuple[tuple[int, int], ...] = ()
    """Link types other than Ethernet, and how many frames of them were left out."""


class Replayer:
    """A capture's frames through an engine, step by step, on the capture's clock."""

    def __init__(self, engine: Any, *, began_ns: int, longest: int) -> None:
        out = ffi.new("struct dr_replay **")
        made = lib.dr_replay_new(out, engine, began_ns, longest, _FLOWS)
        check(made, "cannot replay")
        self._replay = out[0]
        self._began_ns = began_ns
        self._step = ffi.new("struct dr_replay_step *")
        self._out = bytearray(_OUT)
        self._raw_out = ffi.from_buffer(self._out, require_writable=True)

    def run(
        self, file: BinaryIO, *, until_ns: Sequence[int], frames: int, write: BinaryIO | None
    ) -> Iterable[int | None]:
        """Decides all frames of the file; ``write`` gets those that are sent, as pcapng.

        Stops, with the index, at each time of ``until_ns`` (of the engine's clock) before the
        first frame that comes then or later; and with None after each ``frames`` frames at most.
        """
        pieces, step = _Pieces(file), self._step
        step.out, step.room = (self._raw_out, _OUT) if write else (ffi.NULL, 0)
        step.frames = frames
        if write:
            write.write(begin())
        at = 0
        while True:
            pieces.fill()
            step.bytes, step.size = pieces.data, pieces.size
            step.until_ns = until_ns[at] if at < len(until_ns) else _NEVER_NS
            lib.dr_replay_step(self._replay, step)
            pieces.took(step.used)
            if write:
                write.write(memoryview(self._out)[: step.written])
            yield None
            if step.stop == lib.DR_REPLAY_UNTIL:
                yield at
                at += 1
            elif step.stop == lib.DR_REPLAY_FAULT:
                return
            elif step.stop == lib.DR_REPLAY_MORE and pieces.ended:
                self.left_over = pieces.size
                return

    left_over = 0
    """Bytes at the end of the file that were no whole frame."""

    def report(self) -> Report:
        """So far."""
        raw = ffi.new("struct dr_replay_report *")
        lib.dr_replay_report(self._replay, raw)
        return Report(
            frames=raw.frames,
            sent=raw.sent,
            began_ns=raw.first_ns,
            took_ns=raw.now_ns - self._began_ns,
            backwards=raw.backwards,
            leaps=raw.leaps,
            joined=raw.joined,
            flows=raw.flows,
            forgotten=raw.forgotten,
            changed=raw.changed,
            changes=tuple(
                self._change(each, raw.first_ns) for each in raw.changes[0 : raw.change_count]
            ),
            offset=raw.offset,
            pending=raw.pending + self.left_over,
            fault=FAULTS[raw.fault].lower(),
            fault_value=raw.fault_value,
            foreign=tuple((each.link, each.frames) for each in raw.foreign if each.frames),
        )

    def _change(self, raw: Any, first_ns: int) -> FlowChange:
        return FlowChange(
            frame=raw.frame,
            at_ns=first_ns + raw.time_ns - self._began_ns,
            protocol=border.PROTOCOL_NAMES.get(raw.protocol, str(raw.protocol)),
            client=border.unpacked(bytes(raw.client)),
            client_port=raw.client_port,
            address=border.unpacked(bytes(raw.address)),
            port=raw.port,
            before=border.unpacked(bytes(getattr(raw, "from"))),
            after=border.unpacked(bytes(raw.to)),
            by=WAYS[raw.by],
        )

    def close(self) -> None:
        """Frees it."""
        if self._replay is not None:
            lib.dr_replay_free(self._replay)
            self._replay = None


# ---- Writing ----


def begin() -> bytes:
    """What a pcapng file of frames begins with: Ethernet, time stamps in nanoseconds."""
    out = ffi.new("uint8_t[]", _FRAME_OVERHEAD)
    length = int(lib.dr_pcapng_begin(out, _FRAME_OVERHEAD))
    return bytes(ffi.buffer(out, length))


def frame(head: bytes, *, length: int, at_ns: int, comment: str) -> bytes:
    """A frame of a pcapng file, with a comment that Wireshark shows beside it.

    ``head`` is what there is of it, ``length`` how long it was on the wire.
    """
    words = comment.encode()
    room = _FRAME_OVERHEAD + len(head) + len(words)
    out = ffi.new("uint8_t[]", room)
    written = lib.dr_pcapng_frame(out, room, head, len(head), length, at_ns, words, len(words))
    return bytes(ffi.buffer(out, int(written)))
