"""Load of which a recording holds only the totals."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .compare import Found, same
from .wire import tcp, udp
from .world import World

_WALK = ("S", "A", "PA+18", "A")
_WALK_BYTES = 44 + 40 + 58 + 40


class Load:
    """Clients that nobody else is, and what they sent so far."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._clients = 0
        self._so_far: Counter[str] = Counter()

    def client(self) -> str:
        """Somebody new."""
        self._clients += 1
        return f"10.2.{self._clients >> 8}.{self._clients & 255}:{10000 + self._clients}"

    def send(self, step: dict[str, Any]) -> Found:
        """A step of totals: since the start, or of datagrams."""
        if "ip_bytes_each" in step:
            self._datagrams(step["packets"], step["ip_bytes_each"])
            return
        names = ("connections_so_far", "packets_so_far", "ip_bytes_so_far")
        connections, packets, size = (step[name] - self._so_far[name] for name in names)
        self._so_far = Counter({name: step[name] for name in names})
        ours = (connections * len(_WALK), connections * _WALK_BYTES)
        yield from same("load: packets, bytes", (packets, size), ours)
        target = self._world.target()
        for _ in range(connections):
            source = self.client()
            for flags in _WALK:
                self._world.forward(tcp(flags, source, target))

    def _datagrams(self, count: int, size: int) -> None:
        """As many clients as there are servers, in turn, so that each server has one."""
        servers = len(self._world.services()[0].servers)
        target = self._world.target()
        frames = [
            udp(f"10.1.0.{number + 1}:5000", target, bytes(size - 28)) for number in range(servers)
        ]
        for number in range(count):
            self._world.forward(frames[number % servers])
