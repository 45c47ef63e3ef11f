"""Sole: one active director for each interface and MAC address of a network namespace.

Two would forward every frame twice. The lock is a bound name, which the kernel keeps for each
network namespace and takes away with the process, however that ends and whatever becomes of its
state directory. Nothing is ever said over it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import struct

from .addresses import Identity
from .errors import SetupError
from .interfaces import Interface

_log = logging.getLogger(__name__)

_CREDENTIALS = struct.Struct("3i")


class Sole:
    """The lock of one director, which stands by while it does not have it."""

    def __init__(self) -> None:
        self._name: str | None = None
        self._socket: socket.socket | None = None

    def take(self, interface: Interface, identity: Identity) -> None:
        """Has it, instead of the one that it had; raises SetupError while another director does."""
        name = f"\0dr-forwarder/{interface.index}/{identity.mac.hex()}"
        if name == self._name:
            return
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.bind(name)
            made.listen()
        except OSError as error:
            made.close()
            if error.errno == errno.EADDRINUSE:
                _refuse_second(name, interface, identity)
            # Without the lock a director works as well.
            _log.warning("A second director on %s would not be noticed: %s", interface.name, error)
            return
        self.close()
        made.setblocking(False)
        asyncio.get_running_loop().add_reader(made, _send_away, made)
        self._socket, self._name = made, name

    def close(self) -> None:
        """Leaves it to others."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
        self._socket = self._name = None


def _send_away(listening: socket.socket) -> None:
    """Whoever connects only wants to see whose it is."""
    try:
        listening.accept()[0].close()
    except OSError as error:
        _log.debug("whoever looks for a second director: %s", error)


def _refuse_second(name: str, interface: Interface, identity: Identity) -> None:
    """Raises SetupError, unless it is somebody who has no business there."""
    process, user = _holder(name)
    if user not in (None, 0, os.geteuid()):
        return
    who = f" (process {process})" if process else ""
    raise SetupError(
        f"another director{who} is active on {interface.name} at {identity.mac.hex(':')}, and every"
        " frame would be forwarded twice: stop it, or have it stand by first, dr-forwarder standby"
        " --state-dir DIRECTORY with its own directory; this one can be started with --standby"
    )


def _holder(name: str) -> tuple[int | None, int | None]:
    """The process and the user whose name it is, as far as the kernel tells."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)
        try:
            asking.connect(name)
            told = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        except OSError:
            return None, None
        process, user, _ = _CREDENTIALS.unpack(told)
        return process, user
