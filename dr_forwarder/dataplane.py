"""The C core from Python: an engine, what goes in and what comes out. The only importer of it.

No cdata leaves this module.
"""

from __future__ import annotations

import dataclasses
import errno
import mmap
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from . import border, room
from ._dataplane import ffi, lib
from .border import VERDICTS
from .capturing import Replayer
from .config.model import Address, Mark, Tuning
from .errors import DataplaneError, check
from .records import EVERYTHING, Filter, Record
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

_CHUNK = 4096
_STOP_LIMIT_S = 5
_TRACE_ROOM = 4096


@dataclass(frozen=True, slots=True)
class Limits:
    """Room of the tables, fixed for the life of a state file."""

    services: int = room.SERVICES
    servers: int = room.SERVERS
    connections: int = 1_048_576
    fragments: int = 256
    """That may wait for the first of their packet."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one frame: the verdict's name, and what is to be sent."""

    verdict: str
    frame: bytes
    """The bytes as they are now, or the answer that takes their place."""
    sent: bool


_ROLES: Final = {"master": lib.DR_SYNC_MASTER, "backup": lib.DR_SYNC_BACKUP}
_LONGEST_MESSAGE: Final = 65535


def _boot_id() -> int:
    """Names this boot's monotonic clock."""
    text = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return int(text.replace("-", "")[:16], 16)


def _map_file(path: Path, size: int) -> mmap.mmap:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(descriptor).st_size != size:
            os.ftruncate(descriptor, 0)
            os.ftruncate(descriptor, size)
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)


class Engine:
    """A director's core on one state region; a context manager that stops and frees it.

    ``state_file`` is where the region lives, so that connections outlive this process; without
    one it is plain memory. ``seed``, of the connection hash, is random unless given. Raises
    DataplaneError.
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
        raw.seed = secrets.randbits(64) if seed is None else seed
        raw.clock = _boot_id()
        self._limits = limits
        self._traces: list[Trace] = []
        self._thread: threading.Thread | None = None
        self._loop_result = 0
        size = int(lib.dr_state_size(raw))
        out = ffi.new("struct dr_engine **")
        self._region = self._map(state_file, size)
        now_ns = time.monotonic_ns() if now_ns is None else now_ns
        result = self._new(out, raw, now_ns)
        if result == -errno.ESTALE and state_file is not None:
            ffi.release(self._memory)
            self._region.close()
            state_file.unlink()
            self._region = self._map(state_file, size)
            result = self._new(out, raw, now_ns)
        check(result, "cannot make the forwarding engine")
        self._engine = out[0]
        self.adopted = bool(lib.dr_engine_adopted(self._engine))
        """True when the state file held an earlier process's connections."""

    def _new(self, out: Any, limits: Any, now_ns: int) -> int:
        self._memory = ffi.from_buffer(self._region, require_writable=True)
        size = len(self._region)
        return int(lib.dr_engine_new(out, self._memory, size, limits, now_ns))

    @staticmethod
    def _map(state_file: Path | None, size: int) -> mmap.mmap:
        return mmap.mmap(-1, size) if state_file is None else _map_file(state_file, size)

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
        ffi.release(self._memory)
        self._region.close()

    # ---- The loop ----

    def open_memory(self, *, slots: int = 256) -> None:
        """Uses queues in memory as the I/O end: ``push``, ``step``, ``pop``."""
        check(lib.dr_engine_open_memory(self._engine, slots), "memory I/O")

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
        """Uses AF_PACKET rings on three sockets of the caller's, who keeps them open.

        By ``local`` frames go to a real server that is this host itself.
        """
        raw = ffi.new("struct dr_ring *")
        raw.small_fd, raw.large_fd, raw.send_fd = small.fileno(), large.fileno(), send.fileno()
        raw.local_fd = 0 if local is None else local.fileno()
        raw.interface_index = interface_index
        raw.small_slot_bytes = slot_bytes
        raw.small_slots, raw.large_slots, raw.send_slots = small_slots, large_slots, send_slots
        check(lib.dr_engine_open_ring(self._engine, raw), "packet rings")

    def start(self, *, on_end: Callable[[], None] | None = None) -> None:
        """Runs the loop in a thread of its own, which calls ``on_end`` when it is over."""
        self._thread = threading.Thread(
            target=self._run, args=(on_end,), name="forwarding", daemon=True
        )
        self._thread.start()

    def _run(self, on_end: Callable[[], None] | None) -> None:
        self._loop_result = int(lib.dr_engine_run(self._engine))
        if on_end is not None:
            on_end()

    def stop(self) -> None:
        """Ends the loop and waits for it."""
        if self._thread is None:
            return
        lib.dr_engine_stop(self._engine)
        self._thread.join(_STOP_LIMIT_S)
        if self._thread.is_alive():
            raise DataplaneError(errno.EBUSY, "the forwarding loop does not stop")
        self._thread = None
        check(self._loop_result, "the forwarding loop")

    @property
    def running(self) -> bool:
        """True while the loop's thread lives."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def thread_id(self) -> int | None:
        """The loop's thread as the kernel numbers it, for CPU affinity and accounting."""
        return None if self._thread is None else self._thread.native_id

    def step(self, *, now_ns: int) -> int:
        """One batch; returns how many frames it had."""
        received = int(lib.dr_engine_step(self._engine, now_ns))
        check(received, "forwarding")
        return received

    def push(self, frame: bytes) -> None:
        """Puts a frame into the memory end."""
        raw, _bytes = self._frame(frame)
        check(lib.dr_memory_push(self._engine, raw), "memory I/O")

    def pop(self) -> bytes | None:
        """The next frame that the memory end sent."""
        room = 128 * 1024
        out = ffi.new("uint8_t[]", room)
        length = int(lib.dr_memory_pop(self._engine, out, room))
        return bytes(ffi.buffer(out, length)) if length else None

    @staticmethod
    def _frame(frame: bytes, *, length: int | None = None, gso_size: int = 0) -> tuple[Any, Any]:
        data = ffi.new("uint8_t[]", frame)
        raw = ffi.new("struct dr_frame *")
        raw.data = data
        raw.length = len(frame) if length is None else length
        raw.captured = len(frame)
        raw.gso_size = gso_size
        return raw, data

    def forward(
        self,
        frame: bytes,
        *,
        now_ns: int,
        length: int | None = None,
        gso_size: int = 0,
    ) -> Decision:
        """Decides one frame without any I/O. ``length`` is that on the wire, if it was longer."""
        raw, data = self._frame(frame, length=length, gso_size=gso_size)
        verdict = int(lib.dr_forward(self._engine, raw, now_ns))
        now = bytes(ffi.buffer(raw.data, raw.captured))
        del data  # kept alive until here: raw only points to it
        return Decision(VERDICTS[verdict], now, bool(raw.send))

    def held(self, *, now_ns: int) -> Iterator[bytes]:
        """Fragments that waited for the frame just forwarded, as they are to be sent."""
        raw = ffi.new("struct dr_frame *")
        while lib.dr_forward_held(self._engine, raw, now_ns):
            if raw.send:
                yield bytes(ffi.buffer(raw.data, raw.length))

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
            out.address = border.packed(mark.network.network_address)
            out.prefix = mark.network.prefixlen + 128 - mark.network.max_prefixlen
            out.protocol = 0 if mark.protocol is None else border.PROTOCOLS[mark.protocol]
            out.first_port, out.last_port = mark.first_port, mark.last_port
            out.mark = mark.mark
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
            self._fill(out, change)
        now_ns = time.monotonic_ns() if now_ns is None else now_ns
        lib.dr_apply(self._engine, raw, len(changes), stop, now_ns)
        return [-int(out.result) for out in raw]

    @staticmethod
    def _fill(out: Any, change: Change) -> None:
        out.operation = change.operation.value
        if change.service is not None:
            border.fill_service(out.service, change.service)
        if change.server is not None:
            border.fill_server(out.server, change.server)
        out.mac = change.mac or bytes(6)
        out.mtu = change.mtu

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
        lib.dr_read_stats(self._engine, raw)
        return Stats(
            frames=raw.frames,
            bytes=raw.bytes,
            verdicts=dict(zip(VERDICTS, list(raw.verdicts), strict=True)),
            created=raw.created,
            expired=raw.expired,
            connections=raw.connections,
            services=raw.services,
            servers=raw.servers,
            ring_dropped=raw.ring_dropped,
            counters=border.counters(getattr(raw, "in")),
            rates=border.counters(raw.rates),
        )

    def services(self, only: Container[Key] | None = None) -> tuple[ServiceRow, ...]:
        """Every service, or each of these, with its servers in the core's order."""
        rows = ffi.new("struct dr_service_row[]", self._limits.services)
        count = int(lib.dr_read_services(self._engine, rows, self._limits.services))
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
