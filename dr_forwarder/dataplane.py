"""The C core from Python: an engine, what goes in and what comes out. No cdata leaves it."""

from __future__ import annotations

import dataclasses
import errno
import secrets
import socket
import threading
import time
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from . import adoption, border, framing, region
from ._dataplane import ffi, lib
from .capturing import Replayer
from .config.model import Address, Mark, Tuning
from .errors import DataplaneError, check
from .framing import Decision
from .records import EVERYTHING, Filter, Record
from .region import Limits
from .table import (
    Change,
    Connection,
    Key,
    Service,
    ServiceRow,
    Stats,
    SyncDaemon,
)
from .tracing import Trace, drops
from .vlan import UNTAGGED, Vlan

__all__ = ["DataplaneError", "Decision", "Engine", "Limits"]

_CHUNK = 4096
_STOP_LIMIT_S = 5
_TRACE_ROOM = 4096


_ROLES: Final = {"master": lib.DR_SYNC_MASTER, "backup": lib.DR_SYNC_BACKUP}
_LONGEST_MESSAGE: Final = 65535


def _seeds(seed: int | None) -> tuple[int, int]:
    """Two numbers of 64 bits that nobody outside knows, or two that follow from one."""
    if seed is None:
        return secrets.randbits(64), secrets.randbits(64)
    return (seed ^ 0x9E3779B97F4A7C15) % 2**64, (seed ^ 0xC2B2AE3D27D4EB4F) % 2**64


class Engine:
    """A director's core on one state region; a context manager that stops and frees it.

    ``state_file`` is where the region lives, so that connections outlive this process; without
    one it is plain memory. ``seed``, of the connection hash, is random unless given. Raises
    SetupError where the state cannot be had, DataplaneError.
    """

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        state_file: Path | None = None,
        now_ns: int | None = None,
        seed: int | None = None,
    ) -> None:
        limits = limits or Limits()
        raw = ffi.new("struct dr_limits *")
        raw.services = limits.services
        raw.servers = limits.servers
        raw.connections = limits.connections
        raw.fragments = limits.fragments
        raw.seeds = _seeds(seed)
        raw.clock = region.boot_id()
        self._traces: list[Trace] = []
        self._workers = 0
        self._threads: tuple[threading.Thread, ...] = ()
        self._loop_result = 0
        self._stopping = False
        now_ns = time.monotonic_ns() if now_ns is None else now_ns
        self._region, self.adoption = adoption.opened(state_file, raw, now_ns)
        """What became of what an earlier process left in the state file."""
        self.limits = dataclasses.replace(limits, services=raw.services, servers=raw.servers)
        """The room there is: a state file that has more for services and servers keeps it."""
        self._memory = ffi.from_buffer(self._region, require_writable=True)
        out = ffi.new("struct dr_engine **")
        result = int(lib.dr_engine_new(out, self._memory, len(self._region), raw, now_ns))
        if result < 0:
            self._release()
        check(result, "cannot make the forwarding engine")
        self._engine = out[0]
        self.adoption = adoption.completed(self.adoption, self._engine)

    def _release(self) -> None:
        ffi.release(self._memory)
        self._region.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops the loop, frees the core, and lets go of the region."""
        if self._engine is None:
            return
        self.stop()
        for trace in self._traces:
            trace.close()
        lib.dr_engine_free(self._engine)
        self._engine = None
        self._release()

    # ---- The loop ----

    def open_memory(self, *, slots: int = 256) -> None:
        """Adds a worker on queues in memory; ``push``, ``step`` and ``pop`` use the first."""
        check(lib.dr_engine_open_memory(self._engine, slots), "memory I/O")
        self._workers += 1

    def open_ring(
        self,
        *,
        small: socket.socket,
        large: socket.socket,
        send: socket.socket,
        interface_index: int,
        local: socket.socket | None = None,
        slot_bytes: int = 2048,
        small_slots: int = 4096,
        large_slots: int = 120,
        send_slots: int = 1024,
    ) -> None:
        """Adds a worker on AF_PACKET rings of three sockets of the caller's, who keeps them open.

        By ``local`` frames go to a real server that is this host itself.
        """
        raw = ffi.new("struct dr_ring *")
        raw.small_fd, raw.large_fd, raw.send_fd = small.fileno(), large.fileno(), send.fileno()
        raw.local_fd = 0 if local is None else local.fileno()
        raw.interface_index = interface_index
        raw.small_slot_bytes = slot_bytes
        raw.small_slots, raw.large_slots, raw.send_slots = small_slots, large_slots, send_slots
        check(lib.dr_engine_open_ring(self._engine, raw), "packet rings")
        self._workers += 1

    def open_end(self, end: int) -> None:
        """Adds a worker on an end of the caller's making, the address of a ``struct io`` (io.h).

        It is the engine's from now on, and closed with it.
        """
        check(lib.dr_engine_open_end(self._engine, ffi.cast("struct io *", end)), "this I/O end")
        self._workers += 1

    def open_xsk(
        self,
        xsk: socket.socket,
        *,
        worker: int,
        interface_index: int,
        queue: int,
        chunk_bytes: int,
        must_not_copy: bool = False,
        chunks: int = 4096,
    ) -> None:
        """Puts an AF_XDP socket of the caller's, who keeps it open, beside a worker's rings."""
        raw = ffi.new("struct dr_xsk *")
        raw.fd, raw.interface_index, raw.queue = xsk.fileno(), interface_index, queue
        raw.chunk_bytes, raw.chunks, raw.must_not_copy = chunk_bytes, chunks, must_not_copy
        check(lib.dr_engine_open_xsk(self._engine, worker, raw), "AF_XDP")

    def start(self, *, on_end: Callable[[], None] | None = None) -> None:
        """Runs each worker's loop in a thread of its own.

        Each calls ``on_end`` when its loop ends without having been stopped.
        """
        self._threads = tuple(
            threading.Thread(
                target=self._run, args=(number, on_end), name=f"forwarding-{number}", daemon=True
            )
            for number in range(max(self._workers, 1))
        )
        for thread in self._threads:
            thread.start()

    def _run(self, number: int, on_end: Callable[[], None] | None) -> None:
        result = int(lib.dr_engine_run(self._engine, number))
        self._loop_result = self._loop_result or result
        if on_end is not None and not self._stopping:
            on_end()

    def stop(self) -> None:
        """Ends the loops and waits for them."""
        if not self._threads:
            return
        self._stopping = True
        lib.dr_engine_stop(self._engine)
        for thread in self._threads:
            thread.join(_STOP_LIMIT_S)
        if self.running:
            raise DataplaneError(errno.EBUSY, "the forwarding loop does not stop")
        self._threads = ()
        self._stopping = False
        check(self._loop_result, "the forwarding loop")

    def close_ends(self) -> None:
        """Stops the loops and closes what the workers receive by; they keep their counters.

        Frames that are there already are decided first. Open others, and start again.
        """
        self.stop()
        lib.dr_engine_close_ends(self._engine)
        self._workers = 0

    @property
    def running(self) -> bool:
        """True while a worker's thread lives."""
        return any(thread.is_alive() for thread in self._threads)

    @property
    def thread_ids(self) -> tuple[int, ...]:
        """The workers' threads as the kernel numbers them, for CPU affinity and accounting."""
        return tuple(thread.native_id or 0 for thread in self._threads)

    def step(self, *, now_ns: int) -> int:
        """One batch; returns how many frames it had."""
        received = int(lib.dr_engine_step(self._engine, now_ns))
        check(received, "forwarding")
        return received

    def push(self, frame: bytes) -> None:
        """Puts a frame into the memory end."""
        framing.push(self._engine, frame)

    def pop(self) -> bytes | None:
        """The next frame that the memory end sent."""
        return framing.pop(self._engine)

    def forward(
        self,
        frame: bytes,
        *,
        now_ns: int,
        length: int | None = None,
        gso_size: int = 0,
    ) -> Decision:
        """Decides one frame without any I/O. ``length`` is that on the wire, if it was longer."""
        return framing.decide(self._engine, frame, now_ns=now_ns, length=length, gso_size=gso_size)

    def held(self, *, now_ns: int) -> Iterator[bytes]:
        """Fragments that waited for the frame just forwarded, as they are to be sent."""
        return framing.held(self._engine, now_ns=now_ns)

    # ---- What it works with ----

    def identify(
        self,
        *,
        mac: bytes,
        mtu: int,
        hosts: Sequence[Address] = (),
        vlan: Vlan = UNTAGGED,
        peers: Sequence[bytes] = (),
        standby: bool = False,
    ) -> None:
        """Says which MAC address the VIPs have, and how much the interface takes.

        ``hosts`` are the host's own addresses there, the first eight of which no client can have.
        ``peers`` are the MAC addresses of other directors, at most eight; with ``standby`` all is
        left to one of them.
        """
        raw = ffi.new("struct dr_identity *")
        raw.mac = mac
        raw.mtu = mtu
        raw.vlan = vlan.number
        raw.standby = standby
        for i, address in enumerate(hosts[: len(raw.hosts)]):
            raw.hosts[i] = border.packed(address)
            raw.host_count = i + 1
        for i, peer in enumerate(peers):
            raw.peers[i] = peer
            raw.peer_count = i + 1
        lib.dr_set_identity(self._engine, raw)

    def set_timeouts(self, *, tcp_s: int = 0, tcp_fin_s: int = 0, udp_s: int = 0) -> None:
        """As ``ipvsadm --set``: seconds, 0 keeps the value; holds for later packets."""
        raw = ffi.new("struct dr_timeouts *", (tcp_s, tcp_fin_s, udp_s))
        lib.dr_set_timeouts(self._engine, raw)

    def set_marks(self, marks: Sequence[Mark]) -> None:
        """Sets what is marked, as a firewall would: the first that fits counts."""
        raw = ffi.new("struct dr_mark[]", len(marks))
        for out, mark in zip(raw, marks, strict=True):
            border.fill_mark(out, mark)
        check(lib.dr_set_marks(self._engine, raw, len(marks)), "firewall marks")

    def set_tuning(self, tuning: Tuning) -> None:
        """Sets what kernel IPVS has as sysctls."""
        raw = ffi.new("struct dr_tuning *", dataclasses.asdict(tuning))
        lib.dr_set_tuning(self._engine, raw)

    # ---- Synchronisation ----

    def start_sync(self, daemon: SyncDaemon) -> int:
        """A daemon with its defaults resolved; 0, or the errno: EEXIST, ENOMEM."""
        raw = ffi.new("struct dr_sync_daemon *")
        raw.role = _ROLES[daemon.role]
        raw.maxlen, raw.syncid = daemon.max_length, daemon.sync_id
        return -int(lib.dr_sync_start(self._engine, raw))

    def stop_sync(self, role: str) -> int:
        """0, or ESRCH."""
        return -int(lib.dr_sync_stop(self._engine, _ROLES[role]))

    def take_sync(self, *, now_ns: int | None = None) -> tuple[int, bytes] | None:
        """The next message of the master that is due, and on which of its ports, from 0 on."""
        port = ffi.new("uint32_t *")
        out = ffi.new("uint8_t[]", _LONGEST_MESSAGE)
        at_ns = time.monotonic_ns() if now_ns is None else now_ns
        length = int(lib.dr_sync_take(self._engine, at_ns, port, out, _LONGEST_MESSAGE))
        return (port[0], bytes(ffi.buffer(out, length))) if length else None

    def receive_sync(self, message: bytes, *, now_ns: int | None = None) -> int:
        """A message for the backup; 0, or ESRCH, EBADMSG, EPERM (of another pair)."""
        at_ns = time.monotonic_ns() if now_ns is None else now_ns
        return -int(lib.dr_sync_receive(self._engine, message, len(message), at_ns))

    def timeouts(self) -> tuple[int, int, int]:
        """Seconds: established TCP, TCP after a FIN, UDP."""
        raw = ffi.new("struct dr_timeouts *")
        lib.dr_read_timeouts(self._engine, raw)
        return raw.tcp_s, raw.tcp_fin_s, raw.udp_s

    def apply(
        self, changes: Sequence[Change], *, stop: bool = False, now_ns: int | None = None
    ) -> list[int]:
        """Applies all changes between two batches; returns 0 or an errno for each.

        With ``stop`` those after the first that fails are not tried: ECANCELED.
        """
        raw = ffi.new("struct dr_change[]", len(changes))
        for out, change in zip(raw, changes, strict=True):
            border.fill_change(out, change)
        now_ns = time.monotonic_ns() if now_ns is None else now_ns
        lib.dr_apply(self._engine, raw, len(changes), stop, now_ns)
        return [-int(out.result) for out in raw]

    # ---- Decisions, told ----

    def trace(self, filter_: Filter = EVERYTHING, *, room: int = _TRACE_ROOM) -> Trace:
        """Records of the frames that pass the filter, from now on; ``room`` of them are kept.

        Close it. Raises DataplaneError: EMFILE when four are open.
        """
        trace = Trace(self._engine, filter_, room=room)
        self._traces = [each for each in self._traces if not each.closed] + [trace]
        return trace

    def drops(self, *, epoch_ns: int = 0) -> tuple[Record, ...]:
        """The last frames that were dropped, up to 16 for each verdict, by their time.

        ``epoch_ns`` is when the core's clock was 0, in nanoseconds since 1970.
        """
        return drops(self._engine, epoch_ns=epoch_ns)

    def replayer(self, *, began_ns: int, longest: int) -> Replayer:
        """Decides on a capture's frames; its clock begins with ``began_ns``. Close it.

        A frame of more than ``longest`` bytes was joined by offloads.
        """
        return Replayer(self._engine, began_ns=began_ns, longest=longest)

    # ---- Looks ----

    def stats(self) -> Stats:
        """All counters, consistent with each other."""
        raw = ffi.new("struct dr_stats *")
        workers = ffi.new("struct dr_worker_stats[]", lib.DR_WORKERS)
        count = int(lib.dr_read_stats(self._engine, raw, workers))
        return border.stats(raw, workers[0:count])

    def services(self, only: Container[Key] | None = None) -> tuple[ServiceRow, ...]:
        """Every service, or each of these, with its servers in the core's order."""
        rows = ffi.new("struct dr_service_row[]", self.limits.services)
        count = int(lib.dr_read_services(self._engine, rows, self.limits.services))
        known = ((rows[i], border.service(rows[i].service)) for i in range(count))
        return tuple(
            self._service_row(raw, service)
            for raw, service in known
            if only is None or service.key in only
        )

    def _service_row(self, raw: Any, service: Service) -> ServiceRow:
        rows = ffi.new("struct dr_server_row[]", raw.servers)
        count = int(lib.dr_read_servers(self._engine, raw.slot, rows, raw.servers))
        return ServiceRow(
            service=service,
            servers=tuple(border.server_row(rows[i]) for i in range(count)),
            counters=border.counters(getattr(raw, "in")),
            rates=border.counters(raw.rates),
        )

    def connections(self, *, now_ns: int | None = None) -> Iterator[Connection]:
        """Every entry, chunk by chunk; what changes meanwhile may or may not be seen."""
        rows = ffi.new("struct dr_connection_row[]", _CHUNK)
        cursor = ffi.new("uint32_t *")
        while True:
            now = time.monotonic_ns() if now_ns is None else now_ns
            count = int(lib.dr_read_connections(self._engine, cursor, now, rows, _CHUNK))
            for i in range(count):
                yield border.connection(rows[i])
            if cursor[0] == 0:
                return
