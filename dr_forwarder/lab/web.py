"""Web: the life of one real server's web server, a child process in its namespace."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

from dr_forwarder.lab.errors import LabError
from dr_forwarder.lab.namespace import Namespace
from dr_forwarder.lab.topology import Host

_PROGRAM = Path(__file__).with_name("webserver.py")
_PATIENCE_S = 10.0


class Web:
    """A web server that was started; it serves after `wait_until_ready`, until `stop`.

    Starting and waiting are two steps so that several start at the same time.
    """

    def __init__(self, inside: Namespace, host: Host) -> None:
        self._name = host.name
        # By its path, isolated and without site: up in a tenth of the time the package takes.
        argv = [sys.executable, "-I", "-S", str(_PROGRAM)]
        argv += ["--name", host.name, "--parent", str(os.getpid())]
        argv += ["--ipv6"] if host.wants_ipv6 else []
        self._child = inside.popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    @property
    def pid(self) -> int:
        """The process, ours to reap: the number is not reused before `stop`."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it still serves, as far as a process can tell of another."""
        return self._child.poll() is None

    def wait_until_ready(self) -> None:
        """Wait until it listens; LabError with its own words when it ended instead."""
        assert self._child.stdout is not None
        until = time.monotonic() + _PATIENCE_S
        said = ""
        with self._child.stdout as output:
            while not said.endswith("READY\n"):
                left = max(0.0, until - time.monotonic())
                if not select.select([output], [], [], left)[0]:
                    raise LabError(f"the web server of {self._name} is not ready in time: {said}")
                chunk = os.read(output.fileno(), 4096)
                if not chunk:
                    raise LabError(f"the web server of {self._name} ended: {said.strip()}")
                said += chunk.decode()

    def stop(self) -> None:
        """Kill it, as a crash would; its port refuses connections from now on."""
        self._child.kill()
        self._child.wait()
