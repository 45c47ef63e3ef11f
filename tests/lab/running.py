"""A director run in the lab as a user runs it, for tests to watch and to steer."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from pathlib import Path

import pytest

from dr_forwarder.client import Client
from dr_forwarder.errors import NotRunning
from dr_forwarder.lab import Lab
from dr_forwarder.lab.topology import Host, Topology
from dr_forwarder.table import ServerRow

LIMIT_S = 30.0
IO = "packet"
"""Of directors whose test says nothing of it: the option ``--io`` of the tests."""
VIP4, VIP6 = IPv4Address("10.10.10.60"), IPv6Address("fd77::60")


def _host(name: str, last: int) -> Host:
    interfaces = (IPv4Interface(f"10.10.10.{last}/24"), IPv6Interface(f"fd77::{last}/64"))
    return Host(name, interfaces)


BOTH_FAMILIES = Topology(
    client=_host("client", 10),
    director=_host("director", 61),
    servers=(_host("vm2", 62), _host("vm3", 63)),
    vips=(VIP6, VIP4),
)
"""The tutorial's cluster with IPv6 beside IPv4."""

# Checks that are fast, and not hasty on a busy machine; tests append what they are about.
CONFIG = """\
checkinterval=1
checktimeout=3
virtual=10.10.10.60:80
        real=10.10.10.62:80 gate
        real=10.10.10.63:80 gate
        service=http
        scheduler=wrr
        request="test.html"
        receive="foo"
"""
# Where the kernel's counters are compared: a check that is given up ends in a RST.
UNCHECKED = CONFIG.replace("        service=http\n", "        checktype=on\n")


def wait_until(condition: Callable[[], bool], what: str, *, limit_s: float = LIMIT_S) -> float:
    """Seconds until it held."""
    began_s = time.monotonic()
    while not condition():
        if time.monotonic() - began_s > limit_s:
            raise AssertionError(f"not within {limit_s:g} s: {what}")
        time.sleep(0.02)
    return time.monotonic() - began_s


class Running:
    """A director process, its file, its log and its control socket."""

    host = "director"

    def __init__(self, lab: Lab, directory: Path, *options: str) -> None:
        self.lab = lab
        self.config = directory / "ldirectord.cf"
        self.state_dir = directory / "state"
        self.client = Client(self.state_dir)
        self._log_file = directory / "log"
        self._options = options
        self.process: subprocess.Popen[str] | None = None
        self.prefix: tuple[str, ...] = ()
        """A program to start it with, and that program's arguments."""

    def start(self, text: str | None) -> None:
        """With this file, or with none; until it runs, or has ended."""
        before = self.log.count("Running:") if self._log_file.exists() else 0
        self.launch(text)
        wait_until(lambda: self.ended or self.log.count("Running:") > before, "director runs")

    def launch(self, text: str | None) -> None:
        """The same, and returns at once."""
        argv = [*self.prefix, sys.executable, "-m", "dr_forwarder", "run"]
        if text is not None:
            self.config.write_text(text)
            argv.append(str(self.config))
        argv += ["--state-dir", str(self.state_dir), *self._options]
        if IO != "packet" and not {"--io", "--vlan"} & {*self._options} and not self.prefix:
            argv += ["--io", IO]
        with self._log_file.open("a") as log:
            self.process = self.lab.popen(self.host, argv, stderr=log)

    @property
    def log(self) -> str:
        return self._log_file.read_text()

    def expect(self, text: str) -> None:
        """Waits until it is in the log, which a thread of its own writes."""
        wait_until(lambda: text in self.log, f"the log says {text!r}")

    @property
    def ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def send(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit status; 0 if it was never started."""
        if self.process is None:
            return 0
        if not self.ended:
            self.send(number)
        return self.process.wait(LIMIT_S)

    def reload(self, text: str) -> str:
        """What the log says of it."""
        before = len(self.log)
        self.config.write_text(text)
        self.send(signal.SIGHUP)
        done = ("Reloaded", "Not reloaded")
        wait_until(lambda: any(word in self.log[before:] for word in done), "reloaded or not")
        return self.log[before:]

    def command(self, *words: str) -> str:
        """What `dr-forwarder` prints on the director's host."""
        argv = [sys.executable, "-m", "dr_forwarder", *words, "--state-dir", str(self.state_dir)]
        ran = self.lab.popen(self.host, argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        told, _ = ran.communicate(timeout=LIMIT_S)
        assert ran.returncode == 0, told
        return told

    def servers(self) -> list[ServerRow]:
        try:
            rows = self.client.services()
        except NotRunning:
            return []
        found = [server for row in rows for server in row.servers]
        return sorted(found, key=lambda row: row.server.address.packed)

    def verdict(self, name: str) -> int:
        """How many frames ended so."""
        return self.client.stats().verdicts[name]

    def weights(self) -> dict[str, int]:
        """The last byte of each server's address, and its weight."""
        return {f".{row.server.address.packed[-1]}": row.server.weight for row in self.servers()}


def with_cap_net_raw_only() -> tuple[str, ...]:
    """A prefix that takes all other capabilities away; skips where there is none."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("setpriv, which takes the other capabilities away, is not installed")
    return (
        *(setpriv, "--bounding-set=-all,+net_raw", "--inh-caps=-all,+net_raw"),
        "--no-new-privs",
    )


@contextmanager
def running(
    lab: Lab,
    directory: Path,
    text: str | None,
    *options: str,
    servers: int = 0,
    prefix: tuple[str, ...] = (),
) -> Iterator[Running]:
    """A director that has started, with so many servers up; it is stopped whatever happens."""
    director = Running(lab, directory, *options)
    director.prefix = prefix
    try:
        director.start(text)
        assert not director.ended, director.log
        wait_until(lambda: len(director.servers()) >= servers, f"{servers} servers are up")
        yield director
    finally:
        director.stop()
