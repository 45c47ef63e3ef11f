"""Daemons: who tells other directors of its connections, and who listens. Frozen data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address

from .endpoints import Address


@dataclass(frozen=True, slots=True)
class SyncDaemon:
    """A synchronisation daemon as ``ipvsadm --start-daemon`` describes it; 0 and None: default."""

    role: str = field(metadata={"choices": ("master", "backup")})
    """``master``, who tells of its connections, or ``backup``, who listens."""
    interface: str = "eth0"
    sync_id: int = field(default=0, metadata={"least": 0, "most": 255})
    """0..255; a backup with 0 listens to all."""
    max_length: int = field(default=0, metadata={"least": 0, "most": 65507})
    """Of a message, bytes."""
    group: Address | None = None
    port: int = field(default=0, metadata={"least": 0, "most": 65535})
    ttl: int = field(default=0, metadata={"least": 0, "most": 255})

    def resolved(self, *, mtu: int = 1500) -> SyncDaemon:
        """With kernel IPVS's defaults: 224.0.0.81:8848, TTL 1, what fits 1500 bytes.

        A backup takes messages as long as its interface's ``mtu`` lets through, and not less than
        1024 bytes whatever it is told.
        """
        group = self.group or IPv4Address("224.0.0.81")
        headers = 8 + (20 if group.version == 4 else 40)
        least, longest = 1, 1500
        if self.role == "backup":
            least, longest = 1024, min(max(mtu, 1500), 65535)
        length = longest - headers
        if self.max_length:
            length = min(max(self.max_length, least), 65535 - headers)
        return replace(
            self, group=group, max_length=length, port=self.port or 8848, ttl=self.ttl or 1
        )
