"""Namespace: one network namespace, held by one worker thread. Knows no addresses, no roles.

What runs in the thread sees that namespace: system calls, netlink, /proc/sys/net and
/proc/thread-self/net. A socket made there stays there, whichever thread uses it afterwards, and a
child forked there starts there. So a whole network lives in one process, with no name in
/run/netns and no mount, and is gone when the process is.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from dr_forwarder.lab.errors import LabUnavailable
from dr_forwarder.lab.privilege import CLONE_NEWNET, setns, unshare

_GRACE_S = 2.0

P = ParamSpec("P")
T = TypeVar("T")


class Namespace:
    """A network namespace to run functions, sockets and programs in; a context manager.

    Without `path` it is a new one; with `path` (``/proc/PID/fd/N``) one that exists already.
    """

    def __init__(self, name: str, path: Path | None = None) -> None:
        self.name = name
        self._children: list[subprocess.Popen[str]] = []
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"lab-{name}")
        try:
            self.fd = self.run(_enter, path)
        except BaseException:
            self._worker.shutdown()
            raise

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` inside the namespace; its result, or its exception, is the caller's."""
        return self._worker.submit(function, *args, **kwargs).result()

    def socket(
        self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, protocol: int = 0
    ) -> socket.socket:
        """Make a socket of this namespace, for use in any thread and in asyncio."""
        return self.run(socket.socket, family, kind, protocol)

    def popen(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        """Start a program inside the namespace; `options` are subprocess.Popen's, in text mode.

        It is ended and reaped when the namespace closes. It gets a process group of its own
        unless told otherwise: Ctrl-C on the terminal is for the lab, which then ends it.
        """
        return self.run(self._popen, argv, {"process_group": 0} | options)

    def _popen(self, argv: Sequence[str], options: dict[str, Any]) -> subprocess.Popen[str]:
        """In the worker's thread: an interruption of the caller's must not lose a child."""
        child = subprocess.Popen(argv, text=True, **options)
        self._children[:] = [c for c in self._children if c.poll() is None]
        self._children.append(child)
        return child

    def sysctl(self, name: str, value: str | int) -> None:
        """Write ``net.ipv4.conf.eth0.arp_ignore`` and the like, in this namespace only."""
        path = Path("/proc/sys", *name.split("."))
        try:
            self.run(path.write_text, str(value))
        except OSError as error:
            raise LabUnavailable(
                f"{path} cannot be written ({error.strerror})",
                cure="make /proc/sys writable; for a container: docker run --privileged",
            ) from error

    def close(self) -> None:
        """End the thread, then the children; the kernel frees the namespace with its last user."""
        self._worker.shutdown()
        _end(self._children)
        os.close(self.fd)

    def __enter__(self) -> Namespace:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _enter(path: Path | None) -> int:
    """Take the calling thread into a new namespace, or that of `path`; the fd of where it is."""
    if path is None:
        try:
            unshare(CLONE_NEWNET)
        except OSError as error:
            raise LabUnavailable(
                f"a network namespace is refused ({error.strerror})",
                cure="run it as root; in a container, start that with --privileged",
            ) from error
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(fd, CLONE_NEWNET)
    except OSError:
        os.close(fd)
        raise
    return fd


def _end(children: list[subprocess.Popen[str]]) -> None:
    """Ask, wait a little for all of them together, then insist; nobody is left unreaped."""
    for child in children:
        child.terminate()
    until = monotonic() + _GRACE_S
    for child in children:
        try:
            child.wait(max(0.0, until - monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()
    children.clear()
