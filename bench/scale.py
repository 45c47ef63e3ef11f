"""Scale: how long ten thousand servers take to start with, and whether two thousand are checked in
time on one CPU that forwards beside it.

    python -m bench.scale
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from subprocess import PIPE
from tempfile import TemporaryDirectory

from pyroute2 import IPRoute

from bench.programs import ROOT
from dr_forwarder import plan
from dr_forwarder.bench.errors import BenchError
from dr_forwarder.bench.model import Findings
from dr_forwarder.bench.session import Session
from dr_forwarder.client import Client
from dr_forwarder.config import load
from dr_forwarder.dataplane import Engine
from dr_forwarder.errors import NotRunning
from dr_forwarder.health import Health
from dr_forwarder.lab.namespace import Namespace
from dr_forwarder.lab.privilege import acquire_privileges

START_BAR_S = 2.0
FULL_S, QUICK_S = 12.0, 4.0
_MAC = bytes.fromhex("00005e00013c")
_FIRST, _VIP = IPv4Address("10.2.0.0"), IPv4Address("10.1.0.0")
_DIRECTOR = "10.2.255.254"
_DIRECTOR_END, _SERVERS_END = "scale0", "scale1"
_SERVICES = 100
_INTERVAL_S = 2
_WARM_UP_S = 6.0
_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class StartUp:
    """From a file to a table in which everybody is up."""

    servers: int
    services: int
    read_s: float
    plan_s: float
    table_s: float

    @property
    def whole_s(self) -> float:
        return self.read_s + self.plan_s + self.table_s


@dataclass(frozen=True, slots=True)
class Checks:
    """Checks beside forwarding, as the servers saw them."""

    servers: int
    interval_s: int
    seconds: float
    checks_per_s: float
    latest_s: float
    """How much later than an interval after the one before the latest of all checks came."""
    late_99_s: float
    forwarded_per_s: float
    cpu: float
    """Share of its one CPU that the director used, forwarding included."""


def text(start: StartUp, checks: Checks) -> Iterator[str]:
    """For people to read."""
    yield (
        f"start-up   {start.servers:,} servers of {start.services} services: file read"
        f" {start.read_s:.2f} s, planned {start.plan_s:.2f} s, in the table {start.table_s:.2f} s:"
        f" {start.whole_s:.2f} s   {_bar(start.whole_s, START_BAR_S)}"
    )
    yield (
        f"checks     {checks.servers:,} servers by http every {checks.interval_s} s beside"
        f" {checks.forwarded_per_s:,.0f} frames/s on one CPU: {checks.checks_per_s:,.0f} checks/s,"
        f" {checks.cpu:.0%} of the CPU"
    )
    yield (
        f"           latest check {checks.latest_s:.2f} s late, 99 % at most"
        f" {checks.late_99_s:.2f} s   {_bar(checks.latest_s, checks.interval_s)}"
    )


def _bar(value: float, bar: float) -> str:
    return f"bar {bar:g} s: {'met' if value < bar else 'MISSED'}"


def section(session: Session) -> Findings:
    """As a part of the whole benchmark."""
    session.tell("ten thousand servers; two thousand that are checked")
    with TemporaryDirectory() as directory:
        seconds = QUICK_S if session.plan.is_short else FULL_S
        return Findings(notes=tuple(text(*measure(Path(directory), seconds=seconds))))


def configuration(servers: int) -> str:
    """An ldirectord.cf with so many servers, all checked by http."""
    lines = [f"checkinterval={_INTERVAL_S}", f"checktimeout={_INTERVAL_S}"]
    each = servers // _SERVICES
    for service in range(_SERVICES):
        lines.append(f"virtual={_VIP + service + 1}:80")
        lines += (
            f"    real={_FIRST + service * each + i + 1}:80 gate {i % 10 + 1}" for i in range(each)
        )
        lines += ['    request="index.html"', '    receive="ok"', "    scheduler=wlc"]
    return "\n".join(lines) + "\n"


def measure(directory: Path, *, seconds: float) -> tuple[StartUp, Checks]:
    """Both; files go into the directory."""
    return start_up(directory), checks(directory, seconds=seconds)


# ---- Start-up ----


def start_up(directory: Path, *, servers: int = 10_000) -> StartUp:
    """The three steps by themselves, each once."""
    path = directory / "many.cf"
    path.write_text(configuration(servers))
    began_s = time.perf_counter()
    config = load(path)
    read_s = time.perf_counter()
    goal = plan.wanted(config, lambda virtual, real: Health(up=True), ())
    macs = {real.address: _MAC for virtual in config.virtuals for real in virtual.real}
    changes = plan.changes((), goal, macs)
    planned_s = time.perf_counter()
    with Engine() as engine:
        results = engine.apply(changes)
        done_s = time.perf_counter()
    if any(results):
        raise BenchError("the core refused a part of the table")
    return StartUp(
        servers=servers,
        services=len(config.virtuals),
        read_s=read_s - began_s,
        plan_s=planned_s - read_s,
        table_s=done_s - planned_s,
    )


# ---- Checks ----


def checks(
    directory: Path, *, seconds: float, servers: int = 2_000, frames_per_s: int = 5_000
) -> Checks:
    """A whole director on one CPU, its servers and their clients on another."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise BenchError("needs two CPUs: one for the director, one for its servers")
    path, state = directory / "checked.cf", directory / "state"
    path.write_text(configuration(servers))
    with Namespace("director") as director, Namespace("servers") as others:
        _join(director, others, servers)
        argv = [sys.executable, "-m", "bench.scale_servers", _SERVERS_END]
        argv += [_MAC.hex(), str(_VIP + 1), str(frames_per_s)]
        web = others.popen(argv, stdout=PIPE, cwd=ROOT)
        os.sched_setaffinity(web.pid, {cpus[1]})
        assert web.stdout is not None
        if web.stdout.readline() != "ready\n":
            raise BenchError("the servers did not start")
        with _directed(director, path, state, cpus[0]) as (process, client):
            _wait_until_all_are_up(client, servers)
            time.sleep(_WARM_UP_S)
            web.send_signal(signal.SIGUSR1)
            forwarded, cpu_s = _forwarded(client), _cpu_s(process)
            time.sleep(seconds)
            forwarded, cpu_s = _forwarded(client) - forwarded, _cpu_s(process) - cpu_s
            web.terminate()
            said = json.loads(web.communicate(timeout=_LIMIT_S)[0])
    if said["addresses"] != servers:
        raise BenchError(f"only {said['addresses']} servers were checked")
    late_s = [max(0.0, gap - _INTERVAL_S) for gap in said["gaps_s"]]
    return Checks(
        servers=servers,
        interval_s=_INTERVAL_S,
        seconds=seconds,
        checks_per_s=len(late_s) / seconds,
        latest_s=late_s[-1],
        late_99_s=late_s[len(late_s) * 99 // 100],
        forwarded_per_s=forwarded / seconds,
        cpu=cpu_s / seconds,
    )


@contextmanager
def _directed(
    inside: Namespace, path: Path, state: Path, cpu: int
) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    argv = [sys.executable, "-m", "dr_forwarder", "run", str(path), "--state-dir", str(state)]
    with path.with_suffix(".log").open("w") as log:
        process = inside.popen(argv, stderr=log, cwd=ROOT)
    os.sched_setaffinity(process.pid, {cpu})
    try:
        yield process, Client(state)
    finally:
        process.terminate()
        process.wait(_LIMIT_S)


def _wait_until_all_are_up(client: Client, servers: int) -> None:
    until_s = time.monotonic() + _LIMIT_S
    while time.monotonic() < until_s:
        time.sleep(0.5)
        try:
            if client.stats().servers == servers:
                return
        except NotRunning:
            pass  # it is not there yet
    raise BenchError(f"not all servers are up within {_LIMIT_S:g} s")


def _forwarded(client: Client) -> int:
    return client.stats().verdicts["forwarded"]


def _cpu_s(process: subprocess.Popen[str]) -> float:
    """Of all its threads."""
    words = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _join(director: Namespace, others: Namespace, servers: int) -> None:
    """A cable between the two."""
    director.run(_add_cable, others.fd)
    director.run(_set_up_director)
    mac = others.run(_set_up_servers)
    director.run(_know_neighbours, mac, servers)


def _add_cable(other_end: int) -> None:
    with IPRoute() as netlink:
        peer = {"ifname": _SERVERS_END, "net_ns_fd": other_end}
        netlink.link("add", ifname=_DIRECTOR_END, kind="veth", peer=peer)


def _set_up_director() -> None:
    with IPRoute() as netlink:
        index = _bring_up(netlink, _DIRECTOR_END)
        netlink.addr("add", index=index, address=_DIRECTOR, prefixlen=16)


def _set_up_servers() -> str:
    """Every address of the network is the servers' own."""
    with IPRoute() as netlink:
        index, loopback = _bring_up(netlink, _SERVERS_END), netlink.link_lookup(ifname="lo")[0]
        netlink.addr("add", index=index, address="10.3.0.1", prefixlen=32)
        everything = f"{_FIRST}/16"
        netlink.route("add", dst=everything, oif=loopback, type="local", scope="host", table=255)
        netlink.route("add", dst=f"{_DIRECTOR}/32", oif=index, prefsrc="10.3.0.1", scope="link")
        return str(netlink.get_links(index)[0].get("address"))


def _know_neighbours(mac: str, servers: int) -> None:
    """The kernel keeps at most 1,024 neighbours that it learnt (gc_thresh3), so it is told."""
    told = "\n".join(
        f"neigh add {_FIRST + i} lladdr {mac} dev {_DIRECTOR_END} nud permanent"
        for i in range(1, servers + 1)
    )
    subprocess.run(["ip", "-batch", "-"], input=told, text=True, check=True)


def _bring_up(netlink: IPRoute, interface: str) -> int:
    index: int = netlink.link_lookup(ifname=interface)[0]
    for each in (netlink.link_lookup(ifname="lo")[0], index):
        netlink.link("set", index=each, state="up")
    return index


def main() -> None:
    acquire_privileges()
    with TemporaryDirectory() as directory:
        start, found = measure(Path(directory), seconds=FULL_S)
    print("\n".join(text(start, found)))


if __name__ == "__main__":
    main()
