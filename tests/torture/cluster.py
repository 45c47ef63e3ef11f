"""A cluster to torture: a lab, a director in it, and connections that must live on."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from running import BOTH_FAMILIES, VIP4, VIP6, Running, running, wait_until
from vlan_link import NoVlanError, move_into_vlan

from dr_forwarder import bpf
from dr_forwarder.ebpf import EXIT, move
from dr_forwarder.lab import Lab
from dr_forwarder.vlan import parse

PORT = 7000
VLAN = "100"
CONNECTIONS = 1000
PERIOD_S = 1.0
_HELD = Path(__file__).with_name("held.py")
_LIMIT_S = 150.0

CONFIG = """\
checkinterval=1
checktimeout=3
virtual=10.10.10.60:7000
        real=10.10.10.62:7000 gate
        real=10.10.10.63:7000 gate
        checktype=connect
        scheduler=wlc
virtual6=[fd77::60]:7000
        real6=[fd77::62]:7000 gate
        real6=[fd77::63]:7000 gate
        checktype=connect
        scheduler=wlc
"""


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to run the director."""

    name: str
    options: tuple[str, ...] = ()
    ipv6: bool = False
    vlan: bool = False

    @property
    def vip(self) -> str:
        """The address that clients ask."""
        return str(VIP6 if self.ipv6 else VIP4)

    @property
    def interface(self) -> str:
        """Of the hosts, where they have their addresses."""
        return f"eth0.{VLAN}" if self.vlan else "eth0"


VARIANTS = (
    Variant("IPv4"),
    Variant("IPv6", ipv6=True),
    Variant("VLAN tag", ("--interface", "eth0", "--vlan", VLAN), vlan=True),
    Variant("two workers", ("--workers", "2")),
    Variant("AF_XDP", ("--io", "xdp")),
)


class Held:
    """The connections of the lab's client (held.py)."""

    def __init__(self, lab: Lab, vip: str, count: int, period_s: float = PERIOD_S) -> None:
        self.count = count
        argv = [sys.executable, "-I", str(_HELD), "hold", vip, str(PORT)]
        self._process = lab.popen(
            "client",
            [*argv, str(count), str(period_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "held\n"

    def report(self) -> dict[str, Any]:
        """What became of them so far (held.Report)."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def end(self) -> None:
        """Closes them."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(_LIMIT_S)

    def wait_for_a_round(self) -> None:
        """Until each connection that is alive has had an answer from now on."""
        began_s = time.monotonic()

        def answered() -> bool:
            time.sleep(0.1)
            before_s = time.monotonic()
            return bool(self.report()["silent_s"] < before_s - began_s)

        wait_until(answered, "every connection is answered", limit_s=_LIMIT_S)


class Cluster:
    """A variant's lab with its director, started by the test; connections are made by `hold`."""

    def __init__(self, lab: Lab, variant: Variant, director: Running) -> None:
        self.lab = lab
        self.variant = variant
        self.director = director
        self.figures: dict[str, str] = {}
        """What the table at the end shows of this run."""

    def hold(self, count: int = CONNECTIONS) -> Held:
        """Opens connections that ask for ever."""
        return Held(self.lab, self.variant.vip, count)

    def assert_balanced(self) -> None:
        """Each frame has ended in one verdict."""
        stats = self.director.client.stats()
        assert stats.frames == sum(stats.verdicts.values())

    def assert_unharmed(self, held: Held) -> None:
        """None of the connections is broken or was moved, and all are answered again."""
        held.wait_for_a_round()
        report = held.report()
        assert (report["broken"], report["moved"], report["wrong"]) == (0, 0, 0), report
        assert report["alive"] == held.count
        self.assert_balanced()
        self.figures["connections alive"] = f"{report['alive']:,} of {held.count:,}"
        self.figures["longest wait"] = f"{report['slowest_s']:.1f} s"

    def resident_kb(self) -> int:
        """The director's memory."""
        return int(self._status("VmRSS"))

    def descriptors(self) -> int:
        """How many files the director has open."""
        assert self.director.process is not None
        return len(list(Path(f"/proc/{self.director.process.pid}/fd").iterdir()))

    def _status(self, name: str) -> str:
        assert self.director.process is not None
        lines = Path(f"/proc/{self.director.process.pid}/status").read_text().splitlines()
        return next(line for line in lines if line.startswith(name)).split()[1]


@contextmanager
def cluster(variant: Variant, directory: Path) -> Iterator[Cluster]:
    """One whose director runs and has both servers; skips where the host cannot do it."""
    if "xdp" in variant.options:
        _need_xdp()
    with Lab(BOTH_FAMILIES) as lab:
        if variant.vlan:
            _move(lab)
        for server in lab.topology.servers:
            serve(lab, server.name)
        with running(lab, directory, CONFIG, *variant.options, servers=4) as director:
            yield Cluster(lab, variant, director)


def serve(lab: Lab, name: str) -> None:
    """Has a host answer the connections that are held; ready on return."""
    argv = [sys.executable, "-I", str(_HELD), "serve", name, str(PORT)]
    server = lab.popen(name, argv, stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"


def _move(lab: Lab) -> None:
    try:
        for host in lab.topology.hosts:
            move_into_vlan(lab.namespace(host.name), host, parse(VLAN))
    except NoVlanError as refusal:
        pytest.skip(str(refusal))


def _need_xdp() -> None:
    import os
    import socket

    try:
        os.close(bpf.load(bpf.XDP, (move(0, 2), EXIT)))
        socket.socket(44, socket.SOCK_RAW, 0).close()
    except OSError as refusal:
        pytest.skip(f"no AF_XDP or no bpf(2) for us on this host: {refusal}")
