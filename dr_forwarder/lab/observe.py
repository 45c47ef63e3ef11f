"""Observe: the kernel's counters in a namespace, and a tap on an interface. Changes nothing."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from dr_forwarder.lab.namespace import Namespace

_ETH_P_ALL = 3
_SOL_PACKET = 263
_PACKET_STATISTICS = 6
_PACKET_OUTGOING = 4
_BUFFER_BYTES = 16 << 20
_LARGEST_FRAME_BYTES = 1 << 17


def counters(inside: Namespace) -> dict[str, int]:
    """Read the counters of a namespace under nstat's names: TcpOutRsts, IpForwDatagrams, ..."""
    return inside.run(_counters)


def _counters() -> dict[str, int]:
    # /proc/net is the main thread's; thread-self is the one that reads.
    network = Path("/proc/thread-self/net")
    found: dict[str, int] = {}
    for name in ("snmp", "netstat"):
        lines = (network / name).read_text().splitlines()
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            prefix, _, names = names.partition(":")
            fields = zip(names.split(), values.split()[1:], strict=True)
            found.update({prefix + field: int(value) for field, value in fields})
    version6 = network / "snmp6"
    if version6.exists():
        pairs = (line.split() for line in version6.read_text().splitlines())
        found.update({name: int(value) for name, value in pairs})
    return found


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame at a tap; `outgoing` when the host itself sent it."""

    data: bytes
    outgoing: bool


class Tap:
    """Collects the frames of one interface in the kernel's buffer; a context manager.

    With offloads on, a frame may be far larger than the MTU. `lost()` counts what did not fit.
    """

    def __init__(self, inside: Namespace, interface: str = "eth0") -> None:
        self._socket = inside.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            self._widen()
            # Frames come from the bind on: protocol 0 above asked for none.
            self._socket.bind((interface, _ETH_P_ALL))
        except BaseException:
            self._socket.close()
            raise

    def _widen(self) -> None:
        force = getattr(socket, "SO_RCVBUFFORCE", 33)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, force, _BUFFER_BYTES)
        except PermissionError:
            # In a user namespace the limit is the host's net.core.rmem_max.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)

    def frames(self) -> list[Frame]:
        """Take all frames collected since the last call, oldest first."""
        taken: list[Frame] = []
        while True:
            try:
                data, address = self._socket.recvfrom(_LARGEST_FRAME_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return taken
            taken.append(Frame(data, outgoing=address[2] == _PACKET_OUTGOING))

    def wait_for(self, wanted: Callable[[Frame], bool], *, limit_s: float = 5.0) -> Frame:
        """Take frames until a `wanted` one comes, and return it; TimeoutError at the limit."""
        until = time.monotonic() + limit_s
        while (left := until - time.monotonic()) > 0:
            ready, _, _ = select.select([self._socket], [], [], left)
            if not ready:
                break
            data, address = self._socket.recvfrom(_LARGEST_FRAME_BYTES)
            frame = Frame(data, outgoing=address[2] == _PACKET_OUTGOING)
            if wanted(frame):
                return frame
        raise TimeoutError(f"no such frame within {limit_s} s")

    def lost(self) -> int:
        """How many frames found the buffer full since the last call."""
        raw = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        _, drops = struct.unpack("II", raw)
        return int(drops)

    def close(self) -> None:
        """Stop collecting."""
        self._socket.close()

    def __enter__(self) -> Tap:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
