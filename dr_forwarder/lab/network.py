"""Network: what a lab is to those who look into it, whichever process they are in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from dr_forwarder.lab import links, traffic
from dr_forwarder.lab.errors import LabError
from dr_forwarder.lab.namespace import Namespace
from dr_forwarder.lab.topology import Host, Topology


class Network(Protocol):
    """A lab in this process (`Lab`) or in another (`Attached`)."""

    @property
    def topology(self) -> Topology:
        """Who is on the network."""

    def namespace(self, name: str) -> Namespace:
        """The namespace of a host."""

    def stop_web(self, name: str) -> None:
        """Kill the web server of a real server."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What the director got from one real server's own address."""

    server: Host
    answered: bool
    said: str


def check(network: Network) -> tuple[Finding, ...]:
    """Ask each real server by its own address, from the director."""
    return tuple(_ask(network, server) for server in network.topology.servers)


def _ask(network: Network, server: Host) -> Finding:
    asker = network.namespace(network.topology.director.name)
    target = traffic.Target(server.address, limit_s=2.0)
    try:
        said = traffic.get(asker.socket(), target, "/")
    except (OSError, LabError) as error:
        return Finding(server, answered=False, said=str(error))
    return Finding(server, answered=True, said=said.strip())


@dataclass(frozen=True, slots=True)
class Breaker:
    """One classic mistake of direct routing: what it is, and how to make it."""

    sentence: str
    apply: Callable[[Network], None]


def break_(network: Network, name: str) -> str:
    """Make the mistake of that name in `BREAKERS`; the sentence that tells what is wrong now."""
    breaker = BREAKERS.get(name)
    if breaker is None:
        raise LabError(f"there is no breaker {name!r}; there are: {', '.join(BREAKERS)}")
    breaker.apply(network)
    return breaker.sentence.format(
        server=network.topology.servers[0].name, vip=network.topology.vip
    )


def _answer_arp(network: Network) -> None:
    inside = network.namespace(network.topology.servers[0].name)
    # The kernel takes the larger of the two.
    inside.sysctl("net.ipv4.conf.all.arp_ignore", 0)
    inside.sysctl("net.ipv4.conf.eth0.arp_ignore", 0)


def _lose_vip(network: Network) -> None:
    inside = network.namespace(network.topology.servers[0].name)
    for vip in network.topology.vips:
        links.remove_vip(inside, vip)


def _stop_web(network: Network) -> None:
    network.stop_web(network.topology.servers[0].name)


BREAKERS: Mapping[str, Breaker] = {
    "arp": Breaker(
        "{server} now answers ARP for {vip} (arp_ignore=0): clients go round the director",
        _answer_arp,
    ),
    "no-vip": Breaker(
        "{server} has no {vip} on lo any more: it drops what the director sends it",
        _lose_vip,
    ),
    "web": Breaker(
        "the web server of {server} is stopped: its port 80 refuses connections",
        _stop_web,
    ),
}
