"""Others: forwarders that are not ours, set up in a namespace of the benchmark's own.

Each gives itself up with `Unavailable`, and the reason, where this host has not what it needs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import Unavailable
from .native import times_ns
from .site import LIMIT_S, Running, Site, say
from .worker import MAC, SERVERS, VIP

_START_S = 10.0
_COMPLAINT = re.compile("error|fail|cannot|denied|invalid", re.IGNORECASE)
_POLLING_NS = 50_000_000
"""A thread that has used so much CPU time has begun to poll."""


def need(program: str) -> str:
    """Where a program is, or `Unavailable`."""
    path = shutil.which(program, path="/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin")
    path = path or shutil.which(program)
    if path is None:
        raise Unavailable(f"{program} is not installed")
    return path


def reason(error: subprocess.CalledProcessError) -> str:
    """The first line of what a program complained."""
    lines = (error.stdout or "").strip().splitlines()
    return lines[0] if lines else f"{error.cmd[0]} ended with status {error.returncode}"


def nftables_rules(
    interface: str,
    macs: Sequence[tuple[str, int]],
    *,
    vip: str = str(VIP),
    port: int = 80,
    mac: str = MAC.hex(":"),
) -> str:
    """A table that does what direct routing does, without connections: by a hash of the flow."""
    parts, at = [], 0
    for to, weight in macs:
        parts.append(f"{at}-{at + weight - 1} : {to}" if weight > 1 else f"{at} : {to}")
        at += weight
    return (
        "table netdev dr_forwarder_bench {\n"
        f' chain in {{ type filter hook ingress device "{interface}" priority 0; policy accept;\n'
        f"  ip daddr {vip} tcp dport {port} ether saddr set {mac} ether daddr set"
        f" jhash ip saddr . tcp sport mod {at} map {{ {', '.join(parts)} }}"
        f' fwd to "{interface}"\n }}\n}}\n'
    )


@contextmanager
def nftables(site: Site) -> Iterator[Running]:
    """Rules of the netdev family."""
    nft = need("nft")
    macs = [(bytes([2, 0, 0, 0, 0, last]).hex(":"), weight) for last, weight in SERVERS.items()]
    try:
        say(site.inside, nft, "-f", "-", text=nftables_rules(site.interface, macs))
    except subprocess.CalledProcessError as error:
        raise Unavailable(f"the kernel or nft refuses the rules: {reason(error)}") from error
    try:
        yield Running(site.cpus, ())
    finally:
        say(site.inside, nft, "delete", "table", "netdev", "dr_forwarder_bench")


@contextmanager
def ipvs(site: Site) -> Iterator[Running]:
    """Kernel IPVS with the director's servers and weights."""
    ipvsadm, ip = need("ipvsadm"), need("ip")
    service = f"{VIP}:80"
    try:
        say(site.inside, ipvsadm, "-A", "-t", service, "-s", "wrr")
    except subprocess.CalledProcessError as error:
        raise Unavailable(f"no IPVS in this kernel: {reason(error)}") from error
    before = say(site.inside, "cat", f"/sys/class/net/{site.interface}/address").strip()
    try:
        say(site.inside, ip, "link", "set", site.interface, "address", MAC.hex(":"))
        say(site.inside, ip, "address", "add", f"{VIP}/24", "dev", site.interface)
        say(site.inside, ip, "route", "add", "10.1.0.0/16", "dev", site.interface)
        for name in ("ip_forward", "conf.all.accept_local"):
            site.inside.sysctl(f"net.ipv4.{name}", 1)
        for name in ("conf.all.send_redirects", f"conf.{site.interface}.send_redirects"):
            site.inside.sysctl(f"net.ipv4.{name}", 0)
        for last, weight in SERVERS.items():
            server, mac = f"10.10.10.{last}", bytes([2, 0, 0, 0, 0, last]).hex(":")
            say(site.inside, ip, "neigh", "replace", server, "lladdr", mac, "dev", site.interface)
            entry = ("-t", service, "-r", f"{server}:80", "-g", "-w", str(weight))
            say(site.inside, ipvsadm, "-a", *entry)
        yield Running(site.cpus, ())
    finally:
        say(site.inside, ipvsadm, "-C")
        with suppress(subprocess.CalledProcessError):
            say(site.inside, ip, "address", "flush", "dev", site.interface)
            say(site.inside, ip, "link", "set", site.interface, "address", before)


@contextmanager
def testpmd(site: Site) -> Iterator[Running]:
    """One polling thread on the forwarder's CPU; the main one sleeps."""
    program = need("dpdk-testpmd")
    first = bytes([2, 0, 0, 0, 0, next(iter(SERVERS))]).hex(":")
    argv = [program, "--no-pci", "--no-huge", "-m", "256", "--no-telemetry", "--no-shconf"]
    (cpu,) = site.cpus
    argv += ["--lcores", f"0@(0-{cpu}),1@{cpu}", "--main-lcore", "0"]
    argv += ["--vdev", f"net_af_packet0,iface={site.interface},blocksz=1048576,framecnt=4096"]
    argv += ["--", "--forward-mode=mac", f"--eth-peer=0,{first}", "--total-num-mbufs=16384"]
    argv += ["--auto-start", "--no-lsc-interrupt"]
    process = site.inside.popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        yield Running(site.cpus, _wait_until_it_polls(process))
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        process.communicate(timeout=LIMIT_S)


def _wait_until_it_polls(process: subprocess.Popen[str]) -> tuple[str, ...]:
    """Its polling threads. What it prints comes too late: it prints into a buffer."""
    until_s = time.monotonic() + _START_S
    while time.monotonic() < until_s and process.poll() is None:
        time.sleep(0.02)
        threads = _workers(process.pid)
        if threads and all(times_ns(thread)[0] > _POLLING_NS for thread in threads):
            return threads
    process.kill()
    said, _ = process.communicate()
    lines = [line for line in said.splitlines() if line.strip()]
    complaints = [line for line in lines if _COMPLAINT.search(line)]
    said = next(iter(complaints or lines[-1:]), "it said nothing")
    raise Unavailable(f"dpdk-testpmd does not forward: {said}")


def _workers(pid: int) -> tuple[str, ...]:
    with suppress(FileNotFoundError):  # it has just ended
        return tuple(
            f"{pid}/task/{task.name}"
            for task in Path(f"/proc/{pid}/task").iterdir()
            if "worker" in task.joinpath("comm").read_text()
        )
    return ()
