"""The network under the director changes, one change after the other, beside connections."""

from __future__ import annotations

import os
import socket
import sys
import time
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import changing
from cluster import PORT, Cluster, Variant
from running import wait_until

from dr_forwarder.lab import Lab

CONNECTIONS = 200
ROUNDS = {"IPv4": 3}
"""Of the others one: a round takes half a minute."""
QUIET_S = 3.0
MOST_WAKEUPS = 100
"""A second; a worker that spins has a hundred thousand."""
MOST_CPU = 0.25
"""Of one CPU; checks and questions for MAC addresses go on."""
_LIMIT_S = 20.0
_NEW_INTERFACE = {
    "made_anew",
    "made_anew_at_once",
    "renamed_and_back",
    "in_another_namespace_and_back",
}


def changes_for(variant: Variant) -> list[str]:
    """What can be done to it: a VLAN's own interface goes with the one below; and the kernel lets
    no MTU be longer than what an XDP program takes."""
    without = _NEW_INTERFACE if variant.vlan else set()
    if "xdp" in variant.options:
        without = {"longer_frames_and_back"}
    return [name for name in changing.CHANGES if name not in without]


def is_served(lab: Lab, vip: str) -> bool:
    """Whether a new connection is answered; what is lost is not waited for long."""
    family = socket.AF_INET if ip_address(vip).version == 4 else socket.AF_INET6
    with lab.namespace("client").socket(family) as asking:
        asking.settimeout(0.2)
        try:
            asking.connect((vip, PORT))
            asking.sendall(b"?\n")
            return bool(asking.recv(100))
        except OSError:
            return False


def cpu_s(cluster: Cluster) -> float:
    """That the director has used."""
    assert cluster.director.process is not None
    fields = Path(f"/proc/{cluster.director.process.pid}/stat").read_text().split(") ")[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wakeups(cluster: Cluster) -> int:
    """Of all workers."""
    return sum(each.wakeups for each in cluster.director.client.stats().workers)


def assert_idle(cluster: Cluster) -> None:
    """Without traffic the director sleeps."""
    before, used_s, began_s = wakeups(cluster), cpu_s(cluster), time.monotonic()
    time.sleep(QUIET_S)
    took_s = time.monotonic() - began_s
    rate = (wakeups(cluster) - before) / took_s
    share = (cpu_s(cluster) - used_s) / took_s
    cluster.figures["wake-ups a second"] = f"{rate:.0f}"
    cluster.figures["CPU"] = f"{share:.0%}"
    assert rate < MOST_WAKEUPS
    assert share < MOST_CPU


def test_changes_of_the_network(tortured: Cluster) -> None:
    held = tortured.hold(CONNECTIONS)
    slowest = 0.0, "none"
    done = 0
    for _ in range(ROUNDS.get(tortured.variant.name, 1)):
        for name in changes_for(tortured.variant):
            changing.CHANGES[name](tortured.lab)
            took_s = wait_until(
                partial(is_served, tortured.lab, tortured.variant.vip),
                f"served again after {name}",
                limit_s=_LIMIT_S,
            )
            print(f"{name}: {took_s:.2f} s", file=sys.stderr)
            slowest = max(slowest, (took_s, name))
            done += 1
    tortured.figures["changes"] = str(done)
    tortured.figures["slowest"] = f"{slowest[0]:.1f} s ({slowest[1].replace('_', ' ')})"
    tortured.assert_unharmed(held)
    held.end()
    assert_idle(tortured)
    assert tortured.director.stop() == 0, tortured.director.log
