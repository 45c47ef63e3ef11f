"""The generator and the baselines in C; the only importer of them. No cdata leaves this module."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from .._bench import ffi, lib
from ..errors import DataplaneError
from .runs import Load, Sent

BASELINES: Final = {
    "ring": "the director's own rings, no decision",
    "recvmmsg": "recvmmsg and sendmmsg, 64 frames at a time, no decision",
    "recv-send": "recv and send of each frame, no decision",
}


def generate(load: Load, interface_index: int, *, cpu: int | None = None) -> Sent:
    """Sends in a thread of its own, on that CPU. DataplaneError when the kernel refuses."""
    raw = ffi.new("struct dr_bench_load *")
    raw.interface_index, raw.to = interface_index, load.to
    raw.frame_bytes, raw.first_flow, raw.flows = load.frame_bytes, load.first_flow, load.flows
    raw.new_per_million, raw.sample_every = load.new_per_million, load.sample_every
    raw.rate, raw.frames, raw.seed = load.rate, load.frames, load.seed
    raw.duration_ns = int(load.seconds * 1e9)
    sent = ffi.new("struct dr_bench_sent *")
    latencies = ffi.new("uint64_t[]", load.samples)
    thread = Loop(
        lambda stop: lib.dr_bench_generate(raw, sent, latencies, load.samples, stop), cpu=cpu
    )
    thread.join()
    return Sent(
        frames=sent.frames,
        bytes=sent.bytes,
        opened=sent.opened,
        late=sent.late,
        samples=sent.samples,
        returned=sent.returned,
        seconds=sent.duration_ns / 1e9,
        cpu_s=thread.cpu_ns / 1e9,
        waited_s=thread.waited_ns / 1e9,
        latencies_ns=tuple(sorted(latencies[0 : min(sent.returned, load.samples)])),
    )


class Loop:
    """A loop in C that runs in a thread of its own until it is over, or told to stop."""

    def __init__(
        self, run: Callable[[Any], int], *, stop: Any = None, cpu: int | None = None
    ) -> None:
        self._stop = stop or ffi.new("int *")
        self._result = 0
        self._run = run
        self._cpu = cpu
        self.cpu_ns = 0
        self.waited_ns = 0
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def thread_id(self) -> int:
        """As the kernel numbers it."""
        assert self._thread.native_id is not None
        return self._thread.native_id

    @property
    def running(self) -> bool:
        """False once it is over, by itself too."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Ends it, and waits until it has."""
        self._stop[0] = 1
        self.join()

    def join(self) -> None:
        """Waits until it is over; an interruption ends it. Raises DataplaneError."""
        try:
            self._thread.join()
        finally:
            self._stop[0] = 1
            self._thread.join()
        if self._result < 0:
            number = -self._result
            raise DataplaneError(number, f"packet socket: {errno.errorcode.get(number, number)}")

    def _work(self) -> None:
        if self._cpu is not None:
            os.sched_setaffinity(0, {self._cpu})
        before = times_ns()
        self._result = int(self._run(self._stop))
        self.cpu_ns, self.waited_ns = (
            now - then for now, then in zip(times_ns(), before, strict=True)
        )


def times_ns(task: str = "thread-self") -> tuple[int, int]:
    """On the CPU, and waiting for it (proc_pid_schedstat(5))."""
    with open(f"/proc/{task}/schedstat") as file:
        cpu_ns, waited_ns, _ = file.read().split()
    return int(cpu_ns), int(waited_ns)


def treadmill(to: bytes, *, first_flow: int, flows: int, send_ns: int = 0) -> int:
    """An end for `Engine.open_end`: a frame of each flow comes over and over.

    Sending one keeps the CPU busy for so long. MemoryError.
    """
    end = lib.dr_bench_treadmill(to, first_flow, flows, send_ns)
    if end == ffi.NULL:
        raise MemoryError
    return int(ffi.cast("uintptr_t", end))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a baseline forwards; the rings' sockets and sizes are for `ring`."""

    interface_index: int
    descriptors: tuple[int, int, int]
    slot_bytes: int
    small_slots: int
    large_slots: int
    send_slots: int


class Baseline:
    """One of `BASELINES`, forwarding from now on; `stop` says why if it could not."""

    def __init__(self, name: str, place: Place) -> None:
        raw = ffi.new("struct dr_bench_place *")
        raw.interface_index = place.interface_index
        raw.small_fd, raw.large_fd, raw.send_fd = place.descriptors
        raw.slot_bytes, raw.small_slots = place.slot_bytes, place.small_slots
        raw.large_slots, raw.send_slots = place.large_slots, place.send_slots
        self._work = ffi.new("struct dr_bench_work *")
        function = getattr(lib, f"dr_bench_{name.replace('-', '_')}")
        stop = ffi.addressof(self._work, "stop")
        self._loop = Loop(lambda stop: function(raw, self._work), stop=stop)
        while not self._work.ready and self._loop.running:
            time.sleep(0.001)

    @property
    def thread_id(self) -> int:
        """As the kernel numbers it."""
        return self._loop.thread_id

    @property
    def forwarded(self) -> int:
        """Frames so far."""
        return int(self._work.forwarded)

    def stop(self) -> None:
        """Ends it."""
        self._loop.stop()
