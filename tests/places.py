"""Servers of other people's making, each on free ports of both loopback addresses.

They are started in a folder of their own, and are gone when it is left. What is not installed is a
reason to skip. Servers from PyPI come with the test extra, the others with `.ci/packages`.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path

import pytest
import trustme
from servers import PATIENCE_S

NAME = "service.example"
"""What the certificates are for."""
ADDRESSES = ("127.0.0.1", "::1")
_CHANCE = random.SystemRandom()
PATH = os.pathsep.join(["/usr/sbin", "/usr/bin", *glob("/usr/lib/postgresql/*/bin")])


@dataclass
class Place:
    """Where a server lives: its folder and its ports, and who may vouch for it."""

    folder: Path
    authority: trustme.CA
    port: int = 0
    tls_port: int = 0
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def certificate(self) -> tuple[Path, Path]:
        """Chain and key, as PEM files."""
        issued = self.authority.issue_cert(NAME)
        chain, key = self.folder / "chain.pem", self.folder / "key.pem"
        chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        return chain, key

    def authority_file(self) -> Path:
        path = self.folder / "authority.pem"
        self.authority.cert_pem.write_to_path(str(path))
        return path

    def run(self, command: Sequence[str | Path], *, user: str | None = None) -> None:
        """Starts one; in a session of its own, so that its children can be ended with it."""
        log = (self.folder / "log").open("ab")
        with log:
            process = subprocess.Popen(
                [program(str(command[0])), *map(str, command[1:])],
                user=user,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)

    def tell(self, number: signal.Signals) -> None:
        """Sends a signal to every process of the server."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)

    def end(self) -> None:
        self.tell(signal.SIGKILL)
        for process in self.processes:
            process.wait(PATIENCE_S)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-2000:]


def program(name: str) -> str:
    """The path of a program; skips the test that needs it if there is none."""
    found = name if "/" in name else shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"needs {name}, which is not installed")
    return found


def free_port() -> int:
    """A port that nothing uses, for TCP and UDP, on either address.

    It is none of those that the kernel gives away: there another program may be the next to listen
    when a server is gone, and who connects may even meet itself.
    """
    while True:
        with contextlib.ExitStack() as stack:
            port = _CHANCE.randrange(10_000, 32_000)
            try:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    for address in ADDRESSES:
                        family = socket.AF_INET6 if ":" in address else socket.AF_INET
                        sock = stack.enter_context(socket.socket(family, kind))
                        sock.bind((address, port))
            except OSError:
                continue
            return port


def bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


Start = Callable[[Place], None]


@contextlib.contextmanager
def started(start: Start, authority: trustme.CA) -> Iterator[Place]:
    """A running server; whether it answers already is for the caller to find out."""
    # Not in pytest's own folder, which other users may not enter.
    folder = Path(tempfile.mkdtemp(prefix="dr-"))
    folder.chmod(0o755)
    place = Place(folder, authority, free_port(), free_port())
    try:
        start(place)
        yield place
    finally:
        place.end()
        shutil.rmtree(folder, ignore_errors=True)


def wait_until(ready: Callable[[], str], place: Place) -> None:
    """Until nothing is wrong any more; fails with what is, when a server has ended or is late."""
    began_s = time.monotonic()
    while wrong := ready():
        ended = [process.returncode for process in place.processes if process.poll() is not None]
        late = time.monotonic() > began_s + PATIENCE_S
        if ended or late:
            pytest.fail(f"not up: {wrong}; ended with {ended}; its log:\n{place.log()}")
        time.sleep(0.05)
