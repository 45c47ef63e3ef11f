"""Bulk: an upload by TCP in the lab's network, straight to a real server and by a director."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from ..lab import Lab
from .cpu import others_share
from .errors import BenchError, Unavailable
from .model import SUBJECT, Comparison, Findings, Value
from .others import need, nftables_rules, reason
from .session import Session, of_rounds
from .site import LIMIT_S, say

_PORT = 5001
_SERVER = "vm2"
_BAR = 0.8
_BUSY = 0.1
"""Share of the CPUs that others may use."""


class _Net:
    """The lab, and a directory for files."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        self.directory = directory
        self.vip = str(lab.topology.vip)
        self.server = lab.topology.host(_SERVER)
        self.director = lab.namespace("director")
        self.endpoint_cpus = self.director_cpus = set(os.sched_getaffinity(0))

    def part_cpus(self) -> None:
        """The first CPU for client and server, the others for whatever stands between them."""
        first, *others = sorted(self.endpoint_cpus)
        self.endpoint_cpus, self.director_cpus = {first}, set(others)


@contextmanager
def _director(net: _Net) -> Iterator[None]:
    """The whole program, as a user starts it."""
    path = net.directory / "ldirectord.cf"
    path.write_text(
        f"virtual={net.vip}:{_PORT}\n    real={net.server.address}:{_PORT} gate\n"
        "    protocol=tcp\n    scheduler=rr\n    checktype=on\n"
    )
    argv = [sys.executable, "-m", "dr_forwarder", "run", str(path)]
    argv += ["--state-dir", str(net.directory / "state")]
    with _between(net, argv):
        yield


@contextmanager
def _between(net: _Net, argv: Sequence[str]) -> Iterator[None]:
    """A program that stands between client and server, on its CPUs, until it is told to end."""
    process = net.lab.popen("director", argv, stderr=subprocess.DEVNULL)
    try:
        os.sched_setaffinity(process.pid, net.director_cpus)
        yield
    finally:
        process.terminate()
        process.wait(LIMIT_S)


@contextmanager
def _vip_on_the_host(net: _Net) -> Iterator[None]:
    """For those that leave ARP, or the connection itself, to the kernel."""
    ip = need("ip")
    say(net.director, ip, "address", "add", f"{net.vip}/32", "dev", "eth0")
    # Another way was there before, by another MAC address.
    say(net.lab.namespace("client"), ip, "neigh", "flush", "dev", "eth0")
    try:
        yield
    finally:
        say(net.director, ip, "address", "del", f"{net.vip}/32", "dev", "eth0")
        say(net.lab.namespace("client"), ip, "neigh", "flush", "dev", "eth0")


@contextmanager
def _nftables(net: _Net) -> Iterator[None]:
    nft = need("nft")
    mac = net.lab.topology.director.mac
    rules = nftables_rules("eth0", ((net.server.mac, 1),), vip=net.vip, port=_PORT, mac=mac)
    with _vip_on_the_host(net):
        try:
            say(net.director, nft, "-f", "-", text=rules)
        except subprocess.CalledProcessError as error:
            raise Unavailable(f"the kernel or nft refuses the rules: {reason(error)}") from error
        try:
            yield
        finally:
            say(net.director, nft, "delete", "table", "netdev", "dr_forwarder_bench")


@contextmanager
def _haproxy(net: _Net) -> Iterator[None]:
    """A proxy: it ends each connection, and opens another to the server."""
    program = need("haproxy")
    path = net.directory / "haproxy.cfg"
    path.write_text(
        "global\n  maxconn 1000\ndefaults\n  mode tcp\n  timeout connect 5s\n"
        "  timeout client 60s\n  timeout server 60s\n  option splice-auto\n"
        f"listen bench\n  bind {net.vip}:{_PORT}\n"
        f"  server one {net.server.address}:{_PORT}\n"
    )
    with _vip_on_the_host(net), _between(net, [program, "-f", str(path)]):
        yield


_Way = Callable[[_Net], AbstractContextManager[None]]
_WAYS: dict[str, _Way] = {
    SUBJECT: _director,
    "direct": lambda net: nullcontext(),
    "nftables": _nftables,
    "haproxy": _haproxy,
}


def bulk(session: Session) -> Findings:
    """One connection at a time.

    Client and server on one CPU, what stands between them on another; then where the kernel likes.
    """
    with Lab() as lab, TemporaryDirectory(prefix="dr-forwarder-bench-") as directory:
        net = _Net(lab, Path(directory))
        with _sink(net) as sink:
            shared, _ = _uploads(session, net, sink, [SUBJECT, "direct"])
            net.part_cpus()
            apart, notes = _uploads(session, net, sink, list(_WAYS))
    what = "upload of one TCP connection"
    title = f"{what}, what is between on a CPU of its own"
    return Findings(
        comparisons=(
            Comparison(title, "Mbit/s", apart, bars={"direct": _BAR}),
            Comparison(f"{what}, all where the kernel likes", "Mbit/s", shared),
        ),
        notes=notes,
    )


def _uploads(
    session: Session, net: _Net, sink: int, names: list[str]
) -> tuple[dict[str, list[Value]], tuple[str, ...]]:
    found, notes = of_rounds(names), []
    os.sched_setaffinity(sink, net.endpoint_cpus)
    for _, name in session.rounds(names, "an upload"):
        if name not in found:
            continue
        try:
            found[name].append(_upload(session, net, name))
        except Unavailable as error:
            del found[name]
            notes.append(f"without {name}: {error}")
    return found, tuple(notes)


@contextmanager
def _sink(net: _Net) -> Iterator[int]:
    """What takes the uploads: its process."""
    argv = [sys.executable, "-m", "dr_forwarder.bench.stream", "sink", str(_PORT)]
    process = net.lab.popen(_SERVER, argv, stdout=subprocess.PIPE)
    try:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise BenchError("the sink did not start")
        yield process.pid
    finally:
        process.terminate()
        process.wait(LIMIT_S)


def _upload(session: Session, net: _Net, name: str) -> Value:
    busy = 0.0 if session.real_time else others_share()
    if busy > _BUSY:
        return Value(None, f"others used {busy:.0%} of the CPUs right before")
    to = str(net.server.address) if name == "direct" else net.vip
    argv = [sys.executable, "-m", "dr_forwarder.bench.stream", "send", to, str(_PORT)]
    argv += [str(2 * session.plan.run_s), *map(str, sorted(net.endpoint_cpus))]
    with _WAYS[name](net):
        time.sleep(0.2)
        said = say(net.lab.namespace("client"), *argv)
    sent = json.loads(said)
    return Value(sent["bytes"] * 8 / sent["seconds"] / 1e6)
