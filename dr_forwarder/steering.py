"""Steering: AF_XDP sockets beside the rings, and the program that hands the VIPs' frames to them.

Only where a driver runs the program itself. In the kernel's generic mode super-frames would take
the rings and the frames between them the sockets, and a connection's frames change their order.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import struct
from collections.abc import Collection
from pathlib import Path
from typing import Final

from pyroute2.ethtool.ioctl import IoctlEthtool, NotSupportedError

from . import bpf
from .btf import function_number
from .config.model import Address, IoMode, Settings
from .dataplane import DataplaneError, Engine
from .ebpf import KEY_BYTES, TAG_FUNCTION, key_of, steering_program
from .errors import SetupError
from .survey import Place

_log = logging.getLogger(__name__)

_TYPES = Path("/sys/kernel/btf/vmlinux")
_AF_XDP, _SOL_XDP, _XDP_OPTIONS = 44, 283, 8
_ZERO_COPY = 1
_HEADROOM = 256
_CHUNKS: Final = 2048, 4096
_MOST_VIPS = 65_536
_MOST_QUEUES = 64

_TAKEN: Final = (
    "another XDP program is on the interface, maybe of another director with io = xdp, of which"
    " there can be one; see: ip link show, or set io = packet"
)
_CURES: Final = {
    errno.EPERM: "it needs CAP_BPF and CAP_NET_ADMIN beside CAP_NET_RAW",
    errno.EACCES: "the kernel's verifier refuses the program",
    errno.EOPNOTSUPP: "the interface's driver has no native XDP, or none without copies",
    errno.EBUSY: _TAKEN,
    errno.EEXIST: _TAKEN,
    errno.ERANGE: "the MTU, here or at a veth's other end, is too large for XDP",
    errno.EINVAL: "the driver refuses XDP as it is set, or this kernel is older than Linux 5.9",
    errno.ENOBUFS: "the limit of locked memory is too low; see: ulimit -l",
    errno.EAFNOSUPPORT: "this kernel has no AF_XDP",
    errno.ENOSYS: "this kernel has no bpf(2)",
}


class Steering:
    """What is on the interface while a director runs; ``cleanup`` takes all of it away.

    Raises OSError. The sockets are the engine's to read until it is gone.
    """

    def __init__(self, mac: bytes, interface_index: int, cleanup: contextlib.ExitStack) -> None:
        self._cleanup = cleanup
        self._vips: set[Address] = set()
        self._interface_index = interface_index
        self.copies = False
        """Whether the kernel copies each frame, or the device reads and writes them itself."""
        self.sees_tags = True
        """Whether frames whose VLAN tag the device has taken out are told from those without."""
        self._map = self._kept(
            bpf.create_map(
                bpf.HASH, key=KEY_BYTES, value=1, entries=_MOST_VIPS, flags=bpf.NO_PREALLOC
            )
        )
        self._sockets = self._kept(bpf.create_map(bpf.XSKMAP, key=4, value=4, entries=_MOST_QUEUES))
        self._program = self._load(mac)

    def attach(self) -> None:
        """From now on frames may be steered; raises OSError, and then the sockets get none."""
        where = self._interface_index
        self._kept(bpf.link(self._program, where, bpf.ON_XDP, flags=bpf.NATIVE))

    def _load(self, mac: bytes) -> int:
        """Before Linux 6.8 no program is told of a tag that the device has taken out."""
        maps = {"vips": self._map, "sockets": self._sockets}
        if (tag_of := function_number(_kernel_types(), TAG_FUNCTION)) is not None:
            program = steering_program(mac, **maps, tag_of=tag_of)
            with contextlib.suppress(OSError):
                return self._kept(bpf.load(bpf.XDP, program, bound_to=self._interface_index))
        self.sees_tags = False
        return self._kept(bpf.load(bpf.XDP, steering_program(mac, **maps)))

    def _kept(self, descriptor: int) -> int:
        self._cleanup.callback(os.close, descriptor)
        return descriptor

    def open_sockets(
        self, engine: Engine, queues: int, *, workers: int, chunk: int, must_not_copy: bool
    ) -> None:
        """One for each queue, the queues dealt out to the workers; raises OSError for the first.

        A queue without a socket goes by the rings.
        """
        for queue in range(min(queues, _MOST_QUEUES)):
            each = socket.socket(_AF_XDP, socket.SOCK_RAW, 0)
            self._cleanup.callback(each.close)
            try:
                engine.open_xsk(
                    each,
                    worker=queue % workers,
                    interface_index=self._interface_index,
                    queue=queue,
                    chunk_bytes=chunk,
                    must_not_copy=must_not_copy,
                )
            except DataplaneError as error:
                if queue == 0:
                    raise
                _log.warning("queue %d and those after it go by the rings: %s", queue, error)
                return
            bpf.update(self._sockets, struct.pack("=I", queue), struct.pack("=i", each.fileno()))
            options = each.getsockopt(_SOL_XDP, _XDP_OPTIONS, 4)
            self.copies = not struct.unpack("=I", options)[0] & _ZERO_COPY

    def let_in(self, vips: Collection[Address]) -> None:
        """From now on these are steered; what cannot be goes by the rings."""
        wanted = set(vips)
        try:
            for vip in self._vips - wanted:
                bpf.delete(self._map, key_of(vip))
                self._vips.discard(vip)
            for vip in sorted(wanted - self._vips, key=key_of):
                bpf.update(self._map, key_of(vip), b"\1")
                self._vips.add(vip)
        except OSError as error:
            _log.warning("not all VIPs can be steered, the rings do for the others: %s", error)


def steer(
    place: Place,
    engine: Engine,
    settings: Settings,
    *,
    longest: int,
    cleanup: contextlib.ExitStack,
) -> Steering | None:
    """Steers frames past the rings, as ``settings.io`` says; None when it is not to be, or cannot.

    ``longest`` is that of an ordinary frame in bytes. Raises SetupError when it must be and cannot.
    """
    if settings.io is IoMode.PACKET:
        return None
    try:
        chunk = _chunk(longest, settings)
        steering = Steering(place.identity.mac, place.interface.index, cleanup)
        # Before the program: a driver that would copy, where it must not, refuses here, and
        # nothing has been done to the interface.
        steering.open_sockets(
            engine,
            _queues(place.interface.name),
            workers=settings.workers,
            chunk=chunk,
            must_not_copy=settings.io is IoMode.AUTO,
        )
        steering.attach()
    except (SetupError, OSError) as error:
        reason = reason_of(error)
        if settings.io is IoMode.XDP:
            raise SetupError(f"io = xdp on {place.interface.name}: {reason}") from error
        _log.info("%s: the packet rings do it all: %s", place.interface.name, reason)
        return None
    if not steering.sees_tags:
        _log.warning(
            "%s: frames of a VLAN may be taken for untagged ones; run: ethtool -K %s rxvlan off",
            place.interface.name,
            place.interface.name,
        )
    how = "copies" if steering.copies else "does not copy"
    _log.info("%s: AF_XDP takes the VIPs' frames, and %s them", place.interface.name, how)
    return steering


def _queues(interface: str) -> int:
    """Those that frames come in by; a driver that does not say so has one."""
    with contextlib.closing(IoctlEthtool(interface)) as ethtool:
        try:
            found = ethtool.get_channels()
        except NotSupportedError:
            return 1
    return int(found.rx_count + found.combined_count) or 1


def _kernel_types() -> bytes:
    try:
        return _TYPES.read_bytes()
    except OSError:
        return b""


def _chunk(longest: int, settings: Settings) -> int:
    if settings.vlan.identifiers:
        raise SetupError("frames with a VLAN tag are not steered; set io = packet")
    fitting = [bytes_ for bytes_ in _CHUNKS if longest + _HEADROOM <= bytes_]
    if not fitting:
        raise SetupError(
            f"frames of {longest} bytes do not fit into a chunk of {_CHUNKS[-1]} bytes; set io ="
            " packet, or a smaller MTU"
        )
    return fitting[0]


def reason_of(error: Exception) -> str:
    """What is missing, where that is known."""
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    cure = _CURES.get(error.errno)
    told = os.strerror(error.errno)
    return f"{told}: {cure}" if cure else told
