"""Sync: the sockets of the synchronisation daemons, between the network and the core.

What is told of, and what is learnt from a message, is the core's. The protocol has no
authentication: a backup believes whoever reaches its port, so its interface belongs into a network
of the directors' own.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from .dataplane import Engine
from .endpoints import Address
from .errors import SetupError
from .interfaces import Interface
from .table import SyncDaemon
from .turns import Turns

_log = logging.getLogger(__name__)

_POLL_S: Final = 0.02
"""Kernel IPVS's daemon wakes so long after its first full message."""
_LONGEST: Final = 65535
_IP_MTU_DISCOVER, _IP_PMTUDISC_DONT = 10, 0
_SIOCGIFMTU, _NAME_BYTES = 0x8921, 16
_BURST: Final = 64
"""Messages sent in one turn of the event loop."""


@dataclass
class _Running:
    """A daemon with its sockets; these are on the interface of this index."""

    daemon: SyncDaemon
    index: int
    sockets: ExitStack
    seen: tuple[int, tuple[Address, ...]] | None = None
    """The index and the addresses of the interface, when it was last looked at."""


class Synchroniser:
    """The daemons of one director; at most one of each role."""

    def __init__(
        self, core: Engine, *, ports: Callable[[], int], buffer_bytes: Callable[[], int]
    ) -> None:
        """``ports`` says over how many UDP ports messages are spread, a power of two.

        ``buffer_bytes`` is the size of a socket's buffer; 0: as the host has it.
        """
        self._core = core
        self._ports = ports
        self._buffer_bytes = buffer_bytes
        self._running: dict[str, _Running] = {}

    def daemons(self) -> tuple[SyncDaemon, ...]:
        """Those that run, the master first."""
        roles = (role for role in ("master", "backup") if role in self._running)
        return tuple(self._running[role].daemon for role in roles)

    def start(self, daemon: SyncDaemon) -> int:
        """0, or what kernel IPVS would answer: EEXIST, ENODEV (no such interface), EINVAL ..."""
        if daemon.role in self._running:
            return errno.EEXIST
        with ExitStack() as stack:
            try:
                daemon = daemon.resolved(mtu=_mtu(daemon.interface))
                index = self._open(stack, daemon)
            except OSError as error:
                _log.warning("%s daemon on %s: %s", daemon.role, daemon.interface, error)
                return error.errno or errno.ENODEV  # a name of no interface has no errno
            if result := self._core.start_sync(daemon):
                return result
            self._running[daemon.role] = _Running(daemon, index, stack.pop_all())
        _log.info("Synchronisation: %s on %s, syncid %d", *_names(daemon))
        return 0

    def start_each(self, daemons: Iterable[SyncDaemon]) -> None:
        """Those of a configuration; raises SetupError."""
        for daemon in daemons:
            if number := self.start(daemon):
                reason = os.strerror(number).lower()
                raise SetupError(f"sync_{daemon.role} = {daemon.interface}: {reason}")

    def stop(self, role: str) -> int:
        """0, or ESRCH."""
        if role not in self._running:
            return errno.ESRCH
        running = self._running.pop(role)
        running.sockets.close()
        self._core.stop_sync(role)
        daemon = running.daemon
        _log.info("Synchronisation ended: %s on %s, syncid %d", *_names(daemon))
        return 0

    def close(self) -> None:
        """Ends all."""
        for role in tuple(self._running):
            self.stop(role)

    # ---- Sockets ----

    def follow(self, present: Mapping[str, Interface]) -> None:
        """Opens the sockets anew where an interface is another one now, or has other addresses."""
        for running in self._running.values():
            interface = present.get(running.daemon.interface)
            if interface is None or not interface.up:
                continue
            seen = (interface.index, interface.addresses)
            if seen == running.seen:
                continue
            is_first, running.seen = running.seen is None, seen
            if is_first and interface.index == running.index:
                continue
            running.sockets.close()
            try:
                with ExitStack() as stack:
                    running.index = self._open(stack, running.daemon)
                    running.sockets = stack.pop_all()
            except OSError as error:
                running.seen = None
                running.index = 0
                _log.warning("Synchronisation on %s: %s", interface.name, error)
            else:
                _log.info("Synchronisation goes on: %s on %s, syncid %d", *_names(running.daemon))

    def _open(self, stack: ExitStack, daemon: SyncDaemon) -> int:
        """The sockets, and what sends or listens by them; the index of their interface."""
        index = socket.if_nametoindex(daemon.interface)
        sockets = [self._socket(stack, daemon, index, port) for port in range(self._ports())]
        if daemon.role == "master":
            self._send(stack, sockets)
        else:
            self._listen(stack, sockets)
        return index

    def _socket(
        self, stack: ExitStack, daemon: SyncDaemon, index: int, number: int
    ) -> socket.socket:
        assert daemon.group is not None
        family = socket.AF_INET if daemon.group.version == 4 else socket.AF_INET6
        opened = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        opened.setblocking(False)
        if size := self._buffer_bytes():
            option = socket.SO_SNDBUF if daemon.role == "master" else socket.SO_RCVBUF
            opened.setsockopt(socket.SOL_SOCKET, option, size)
        place = (str(daemon.group), daemon.port + number)
        if family == socket.AF_INET6:
            place = (*place, 0, index)  # type: ignore[assignment]
        if daemon.role == "master":
            _speak(opened, index, daemon.ttl)
            opened.connect(place)
        else:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(place)
            _join(opened, daemon.group, index)
        return opened

    # ---- The master ----

    def _send(self, stack: ExitStack, sockets: list[socket.socket]) -> None:
        task = asyncio.get_running_loop().create_task(self._sending(sockets))
        stack.callback(task.cancel)

    async def _sending(self, sockets: list[socket.socket]) -> None:
        while True:
            for _ in range(_BURST):
                taken = self._core.take_sync()
                if taken is None:
                    break
                port, message = taken
                try:
                    sockets[port].send(message)
                except OSError as error:
                    # Nobody acknowledges anything in this protocol; the next one tells more.
                    _log.debug("a synchronisation message was not sent: %s", error)
            await asyncio.sleep(_POLL_S)

    # ---- The backup ----

    def _listen(self, stack: ExitStack, sockets: list[socket.socket]) -> None:
        for each in sockets:
            stack.callback(Turns(each, self._hear, room=_LONGEST, name="Synchronisation").close)

    def _hear(self, message: bytes) -> None:
        if refused := self._core.receive_sync(message):
            _log.debug("a synchronisation message was refused: %s", errno.errorcode[refused])


def _mtu(interface: str) -> int:
    """Raises OSError (ENODEV)."""
    asked = struct.pack("16sI", interface.encode()[: _NAME_BYTES - 1], 0) + bytes(20)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, _SIOCGIFMTU, asked)
    return int.from_bytes(answer[_NAME_BYTES : _NAME_BYTES + 4], sys.byteorder)


def _speak(opened: socket.socket, index: int, ttl: int) -> None:
    """As the kernel's: on this interface, not to ourselves, without DF."""
    if opened.family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, ttl)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        return
    interface = struct.pack("@4s4si", bytes(4), bytes(4), index)  # struct ip_mreqn
    opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
    opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
    opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    opened.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DONT)


def _join(opened: socket.socket, group: Address, index: int) -> None:
    if group.version == 6:
        member = group.packed + struct.pack("@i", index)  # struct ipv6_mreq
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
    else:
        member = group.packed + bytes(4) + struct.pack("@i", index)  # struct ip_mreqn
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)


def _names(daemon: SyncDaemon) -> tuple[str, str, int]:
    return daemon.role, daemon.interface, daemon.sync_id
