"""What a replay costs: `python -m bench.replay [--frames N]`.

A capture of minimal TCP frames of 1,000 connections is written, and replayed as a user replays it:
read from disk, decided, and with `--write` written again with its reasons. Memory is that of the
process at its highest.
"""

from __future__ import annotations

import argparse
import resource
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from dr_forwarder.bench.model import Comparison, Findings, Value
from dr_forwarder.bench.session import Session
from dr_forwarder.config import load
from dr_forwarder.replay import Replay

_CONFIG = Path(__file__).parent.parent / "tests" / "data" / "tutorial.cf"
_HEAD = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1)
_CONNECTIONS = 1000
_BATCH = 100_000
_FRAME_BYTES = 60
_SYN, _ACK = 0x02, 0x10


def _frame(port: int, flags: int) -> bytes:
    macs = bytes.fromhex("00005e00013c0200000000010800")
    addresses = bytes([10, 10, 10, 10, 10, 10, 10, 60])
    head = struct.pack("!BBHHHBB", 0x45, 0, 46, 1, 0x4000, 64, 6)
    words = sum(struct.unpack("!10H", head + bytes(2) + addresses))
    total = ~((words & 0xFFFF) + (words >> 16)) & 0xFFFF
    tcp = struct.pack("!HHIIBBHHH", port, 80, 1, 1, 0x50, flags, 8192, 0, 0)
    return macs + head + struct.pack("!H", total) + addresses + tcp + bytes(6)


def _records(first: int, count: int) -> bytes:
    """A million frames a second by the capture's clock; the first of each connection is a SYN."""
    out = []
    for number in range(first, first + count):
        flags = _SYN if number < _CONNECTIONS else _ACK
        frame = _frame(20000 + number % _CONNECTIONS, flags)
        stamp = (1_700_000_000 + number // 1_000_000, number % 1_000_000 * 1000)
        out.append(struct.pack("<IIII", *stamp, _FRAME_BYTES, _FRAME_BYTES) + frame)
    return b"".join(out)


def _write(path: Path, frames: int) -> None:
    with path.open("wb") as file:
        file.write(_HEAD)
        for first in range(0, frames, _BATCH):
            file.write(_records(first, min(_BATCH, frames - first)))


def _ways(directory: Path) -> Iterator[tuple[str, Path | None]]:
    yield "read and decide", None
    yield "read, decide, explain, write", directory / "out.pcapng"


def _measure(capture: Path, write: Path | None, frames: int) -> float:
    with Replay(load(_CONFIG), capture) as run:
        began_s = time.perf_counter()
        if write is None:
            summary = run.run()
        else:
            with write.open("wb") as out:
                summary = run.run(write=out)
        took_s = time.perf_counter() - began_s
    assert summary.verdicts["forwarded"] == summary.report.frames == frames
    return frames / took_s


def section(session: Session) -> Findings:
    """As a part of the whole benchmark."""
    session.tell("replaying a capture")
    frames = 500_000 if session.plan.is_short else 2_000_000
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        capture = directory / "in.pcap"
        _write(capture, frames)
        values = {
            what: [Value(_measure(capture, write, frames)) for _ in range(session.plan.rounds)]
            for what, write in _ways(directory)
        }
    return Findings(comparisons=(Comparison("a capture replayed", "frames/s", values),))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", type=Path, help="For the files; a temporary one.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        directory = Path(name)
        capture = directory / "in.pcap"
        _write(capture, options.frames)
        print(f"{options.frames} frames, {capture.stat().st_size / 1e6:.0f} MB")
        for what, write in _ways(directory):
            rates = sorted(_measure(capture, write, options.frames) for _ in range(options.rounds))
            shown = " - ".join(f"{rate / 1e6:.2f}" for rate in (rates[0], rates[-1]))
            print(f"{what:<32} {shown} million frames a second")
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'memory at its highest':<32} {peak_mb:.0f} MB")


if __name__ == "__main__":
    main()
