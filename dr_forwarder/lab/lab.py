"""Lab: a whole direct-routing network in this one process. Says nothing; commands.py does."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from dr_forwarder.lab import links, observe, traffic
from dr_forwarder.lab.errors import LabError
from dr_forwarder.lab.namespace import Namespace
from dr_forwarder.lab.privilege import acquire_privileges
from dr_forwarder.lab.sysctls import AS_BOOTED, NO_IPV6, REAL_SERVER, Settings
from dr_forwarder.lab.topology import Address, Host, Topology
from dr_forwarder.lab.web import Web

_TUTORIAL = Topology()
_UPLOAD_LIMIT_S = 30.0


class Lab:
    """The network of a `Topology`, up inside ``with Lab() as lab:`` and gone afterwards.

    Entering it without root puts the process into a user namespace (see `acquire_privileges`).
    """

    def __init__(self, topology: Topology = _TUTORIAL) -> None:
        self.topology = topology
        self._namespaces: dict[str, Namespace] = {}
        self._webs: dict[str, Web] = {}
        self._open = ExitStack()

    def __enter__(self) -> Lab:
        acquire_privileges()
        with ExitStack() as opening:
            self._join_hosts(opening)
            self._set_up_servers()
            links.wait_until_forwarding(self._namespaces["switch"])
            self._open = opening.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()
        self._namespaces.clear()
        self._webs.clear()

    def _join_hosts(self, opening: ExitStack) -> None:
        switch = self._make_namespace("switch", opening)
        _apply(NO_IPV6, switch)
        links.add_bridge(switch)
        for host in self.topology.hosts:
            inside = self._make_namespace(host.name, opening)
            _apply(AS_BOOTED, inside)
            if not host.wants_ipv6:
                _apply(NO_IPV6, inside)
            links.add_cable(switch, host, inside)
            links.add_addresses(inside, host)

    def _make_namespace(self, name: str, opening: ExitStack) -> Namespace:
        namespace = opening.enter_context(Namespace(name))
        self._namespaces[name] = namespace
        return namespace

    def _set_up_servers(self) -> None:
        for server in self.topology.servers:
            inside = self._namespaces[server.name]
            # The sysctls first: with the VIP there, the first ARP request would be answered.
            _apply(REAL_SERVER, inside)
            for vip in self.topology.vips:
                links.add_vip(inside, vip)
            self._webs[server.name] = Web(inside, server)
        for web in self._webs.values():
            web.wait_until_ready()

    def namespace(self, name: str) -> Namespace:
        """Give the namespace of a host, or of the ``switch``."""
        try:
            return self._namespaces[name]
        except KeyError:
            known = ", ".join(self._namespaces) or "none, it is not up"
            raise LabError(f"the lab has no host {name!r}; it has: {known}") from None

    def popen(self, name: str, argv: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        """Start a program on a host; it ends with the lab. See `Namespace.popen`."""
        return self.namespace(name).popen(argv, **options)

    def start_web(self, name: str) -> None:
        """Start the web server of a real server, if it does not run; it listens on return."""
        if not self.web_running(name):
            web = Web(self.namespace(name), self._server(name))
            self._webs[name] = web
            web.wait_until_ready()

    def stop_web(self, name: str) -> None:
        """Kill the web server of a real server: connections are refused from now on."""
        self._server(name)
        self._webs[name].stop()

    def web_running(self, name: str) -> bool:
        """Say whether the web server of a real server runs."""
        self._server(name)
        return self._webs[name].running

    def web_pid(self, name: str) -> int:
        """Give the process of a real server's web server."""
        self._server(name)
        return self._webs[name].pid

    def _server(self, name: str) -> Host:
        if name not in self._webs:
            raise LabError(f"{name!r} is no real server; there are: {', '.join(self._webs)}")
        return self.topology.host(name)

    def get(
        self,
        url_path: str = "/",
        source_port: int | None = None,
        *,
        address: Address | None = None,
        limit_s: float = 5.0,
    ) -> str:
        """Ask the VIP (or `address`) for a page, as the client, by a fresh connection."""
        target = self._target(address, source_port=source_port, limit_s=limit_s)
        return traffic.get(self._client_socket(target), target, url_path)

    def requests(self, count: int, url_path: str = "/") -> list[str]:
        """Ask `count` times, one after the other; the answers in their order."""
        return [self.get(url_path) for _ in range(count)]

    def upload(
        self,
        size_bytes: int,
        seed: int = 0,
        *,
        address: Address | None = None,
        limit_s: float = _UPLOAD_LIMIT_S,
    ) -> traffic.Transfer:
        """Send a stream to the VIP (or `address`); LabError unless it arrived byte-exact."""
        target = self._target(address, limit_s=limit_s)
        return traffic.upload(self._client_socket(target), target, size_bytes, seed)

    def download(
        self,
        size_bytes: int,
        *,
        address: Address | None = None,
        limit_s: float = _UPLOAD_LIMIT_S,
    ) -> traffic.Transfer:
        """Fetch a stream from the VIP (or `address`); LabError unless it arrived byte-exact."""
        target = self._target(address, limit_s=limit_s)
        return traffic.download(self._client_socket(target), target, size_bytes)

    def _target(
        self, address: Address | None, *, source_port: int | None = None, limit_s: float
    ) -> traffic.Target:
        to = address if address is not None else self.topology.vip
        return traffic.Target(to, source_port=source_port, limit_s=limit_s)

    def _client_socket(self, target: traffic.Target) -> socket.socket:
        family = socket.AF_INET if target.address.version == 4 else socket.AF_INET6
        return self.namespace(self.topology.client.name).socket(family)

    def counters(self, name: str) -> dict[str, int]:
        """Read a host's kernel counters, by nstat's names: TcpOutRsts, IpForwDatagrams, ..."""
        return observe.counters(self.namespace(name))

    def interface_counters(self, name: str, interface: str = "eth0") -> dict[str, int]:
        """Read an interface's counters: rx_packets, tx_bytes and the rest of them."""
        return links.statistics(self.namespace(name), interface)

    def tap(self, name: str, interface: str = "eth0") -> observe.Tap:
        """Collect the frames of an interface, inside ``with lab.tap("vm2") as tap:``."""
        return observe.Tap(self.namespace(name), interface)


def _apply(settings: Settings, inside: Namespace) -> None:
    for name, value in settings:
        inside.sysctl(name, value)
