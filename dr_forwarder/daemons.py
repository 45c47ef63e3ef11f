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

    def resolved(self) -> SyncDaemon:
        """With kernel IPVS's defaults: 224.0.0.81:8848, TTL 1, what fits 1500 bytes."""
        group = self.group or IPv4Address("224.0.0.81")
        length = self.max_length or 1500 - 8 - (20 if group.version == 4 else 40)
        return replace(
            self, group=group, max_length=length, port=self.port or 8848, ttl=self.ttl or 1
        )
