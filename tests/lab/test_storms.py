"""Storms of ARP and neighbour discovery: what they cost a director, and that it goes on."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address
from itertools import cycle, islice
from pathlib import Path

import pytest
from running import BOTH_FAMILIES, CONFIG, LIMIT_S, VIP4, VIP6, Running

from dr_forwarder import arp, nd
from dr_forwarder.lab import Lab

IN_IPV6 = f"""\
virtual6=[{VIP6}]:80
        real6=[fd77::62]:80 gate
        real6=[fd77::63]:80 gate
        checktype=on
"""
HOST, HOST6 = IPv4Address("10.10.10.61"), IPv6Address("fd77::61")
SECONDS = 2.0
A_SECOND = 10_000
MOST = 0.5
"""Of a CPU, for the event loop. A tenth was measured for the worst of these."""


def stranger(number: int) -> IPv4Address:
    return IPv4Address("10.10.10.100") + number % 100


def stranger6(number: int) -> IPv6Address:
    return IPv6Address("fd77::1:0") + number


def mac(number: int) -> bytes:
    return b"\x02\x09" + number.to_bytes(4)


STORMS: dict[str, Callable[[int], bytes]] = {
    "among strangers": lambda n: arp.request(
        stranger(n + 1), sender=stranger(n), sender_mac=mac(n)
    ),
    "questions for the VIP": lambda n: arp.request(VIP4, sender=stranger(n), sender_mac=mac(n)),
    "claims to the VIP": lambda n: arp.gratuitous(VIP4, mac=mac(n)),
    "questions for the host": lambda n: arp.request(HOST, sender=stranger(n), sender_mac=mac(n)),
    "solicitations for the VIP": lambda n: nd.solicitation(
        VIP6, sender=stranger6(n), sender_mac=mac(n)
    ),
    "announcements of the VIP": lambda n: nd.unsolicited(VIP6, mac=mac(n)),
    "solicitations for the host": lambda n: nd.solicitation(
        HOST6, sender=stranger6(n), sender_mac=mac(n)
    ),
}


@pytest.fixture(scope="module")
def stormy(possible: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Lab(BOTH_FAMILIES) as lab:
        director = Running(lab, tmp_path_factory.mktemp("storms"))
        try:
            director.start(CONFIG + IN_IPV6)
            yield director
        finally:
            director.stop()


def of_event_loop_s(director: Running) -> float:
    """CPU time of the process's first thread (proc_pid_stat(5))."""
    assert director.process is not None
    stat = Path(f"/proc/{director.process.pid}/task/{director.process.pid}/stat").read_text()
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def send(where: socket.socket, frames: list[bytes]) -> float:
    """At the rate, or as fast as this host has time for it; how long it took."""
    began_s = time.monotonic()
    left, sent = cycle(frames), 0
    while sent < SECONDS * A_SECOND and time.monotonic() - began_s < LIMIT_S:
        due = int((time.monotonic() - began_s) * A_SECOND) + 1
        for frame in islice(left, due - sent):
            where.send(frame)
        sent = max(sent, due)
        time.sleep(0.001)
    return time.monotonic() - began_s


@pytest.mark.parametrize("kind", STORMS)
def test_a_storm_costs_the_event_loop_a_part_of_a_cpu_and_nobody_a_server(
    stormy: Running, kind: str
) -> None:
    before, lines = of_event_loop_s(stormy), stormy.log.count("\n")
    client = stormy.lab.namespace("client").socket(socket.AF_PACKET, socket.SOCK_RAW)
    with client:
        client.bind(("eth0", 0))
        took_s = send(client, [STORMS[kind](number) for number in range(4000)])
    stormy.client.stats()
    assert of_event_loop_s(stormy) - before < MOST * took_s
    assert [row.server.weight for row in stormy.servers()] == [1, 1, 1, 1]
    assert stormy.log.count("\n") - lines < 50
