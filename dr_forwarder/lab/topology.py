"""Topology: which hosts a lab has, with their addresses and MACs. Data only, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface


@dataclass(frozen=True, slots=True)
class Host:
    """One host: its interface ``eth0`` has these addresses, the first of them IPv4."""

    name: str
    interfaces: tuple[Interface, ...]

    @property
    def address(self) -> IPv4Address:
        """The first IPv4 address, by which the lab speaks of the host."""
        return next(i.ip for i in self.interfaces if isinstance(i, IPv4Interface))

    @property
    def mac(self) -> str:
        """The address, readable in the MAC: 10.10.10.60 is at 02:00:0a:0a:0a:3c."""
        return "02:00:" + self.address.packed.hex(":")

    @property
    def port(self) -> str:
        """The name of the bridge's end of the host's cable."""
        return f"p-{self.name}"

    @property
    def port_mac(self) -> str:
        """The MAC of the bridge's end, nobody's destination."""
        return "02:ff:" + self.address.packed.hex(":")

    @property
    def wants_ipv6(self) -> bool:
        """Whether one of the addresses is IPv6; without, IPv6 is off and the wire quiet."""
        return any(isinstance(i, IPv6Interface) for i in self.interfaces)


def _host(name: str, interface: str) -> Host:
    return Host(name, (IPv4Interface(interface),))


_CLIENT = _host("client", "10.10.10.10/24")
_DIRECTOR = _host("director", "10.10.10.61/24")
_VM2 = _host("vm2", "10.10.10.62/24")
_VM3 = _host("vm3", "10.10.10.63/24")
_VIP = IPv4Address("10.10.10.60")


@dataclass(frozen=True, slots=True)
class Topology:
    """A client, a director and real servers on one switch; the defaults are the tutorial's."""

    client: Host = _CLIENT
    director: Host = _DIRECTOR
    servers: tuple[Host, ...] = (_VM2, _VM3)
    vips: tuple[Address, ...] = (_VIP,)

    @property
    def vip(self) -> Address:
        """The virtual address the client asks when told nothing else."""
        return self.vips[0]

    @property
    def hosts(self) -> tuple[Host, ...]:
        """Everybody on the switch, in the order of the picture."""
        return (self.client, self.director, *self.servers)

    def host(self, name: str) -> Host:
        """The host of that name; KeyError when the lab has none."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(name)


def with_servers(count: int) -> Topology:
    """The tutorial's network with real servers vm2 (10.10.10.62), vm3 (.63) and so on."""
    servers = tuple(_host(f"vm{n + 2}", f"{_VM2.address + n}/24") for n in range(count))
    return Topology(servers=servers)
