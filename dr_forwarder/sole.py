"""Sole: one active director for each VIP on an interface.

Two would forward every frame twice. The locks are bound names, which the kernel keeps for each
network namespace and takes away with the process, however that ends and whatever becomes of its
state directory. Nothing is ever said over them.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import struct
from collections.abc import Sequence
from typing import Final

from .config.model import Address
from .errors import SetupError
from .interfaces import Interface

_log = logging.getLogger(__name__)

_CREDENTIALS = struct.Struct("3i")
_MOST: Final = 64
"""VIPs that are locked, each by a descriptor; who shares but one behind these is not noticed."""
_NONE_YET: Final = "none"
"""What a director without VIPs locks, which are to come over the control socket."""


class Sole:
    """The locks of one director, which stands by while it has none."""

    def __init__(self) -> None:
        self._held: dict[str, socket.socket] = {}

    def take(self, interface: Interface, vips: Sequence[Address]) -> None:
        """Has these, instead of those that it had.

        Raises SetupError while another director has one of them, and then has what it had.
        """
        wanted = {
            f"\0dr-forwarder/{interface.index}/{what}": what
            for what in (*map(str, vips[:_MOST]),) or (_NONE_YET,)
        }
        fresh: dict[str, socket.socket] = {}
        try:
            for name in wanted.keys() - self._held.keys():
                made = _lock(name, interface, wanted[name])
                if made is not None:
                    fresh[name] = made
        except SetupError:
            for made in fresh.values():
                made.close()
            raise
        for gone in self._held.keys() - wanted.keys():
            _leave(self._held.pop(gone))
        for name, made in fresh.items():
            asyncio.get_running_loop().add_reader(made, _send_away, made)
            self._held[name] = made

    def close(self) -> None:
        """Leaves them to others."""
        for each in self._held.values():
            _leave(each)
        self._held.clear()


def _lock(name: str, interface: Interface, what: str) -> socket.socket | None:
    """None where the host does not let us have such names, and a director works as well."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.setblocking(False)
    try:
        made.bind(name)
        made.listen()
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            _refuse_second(name, interface, what)
        _log.warning("A second director on %s would not be noticed: %s", interface.name, error)
        return None
    return made


def _leave(held: socket.socket) -> None:
    asyncio.get_running_loop().remove_reader(held)
    held.close()


def _send_away(listening: socket.socket) -> None:
    """Whoever connects only wants to see whose it is."""
    try:
        listening.accept()[0].close()
    except OSError as error:
        _log.debug("whoever looks for a second director: %s", error)


def _refuse_second(name: str, interface: Interface, what: str) -> None:
    """Raises SetupError, unless it is somebody who has no business there."""
    process, user = _holder(name)
    if user not in (None, 0, os.geteuid()):
        return
    who = f" (process {process})" if process else ""
    which = "without a VIP yet" if what == _NONE_YET else f"for {what}"
    raise SetupError(
        f"another director{who} is active on {interface.name} {which}, and every frame would be"
        " forwarded twice: stop it, or have it stand by first, dr-forwarder standby --state-dir"
        " DIRECTORY with its own directory; this one can be started with --standby"
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
