"""Ipvs: what ipvsadm drives. Kernel IPVS for the original; a director, near or far, for ours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from ..table import Change, Connection, Key, ServiceRow, SyncDaemon
from .proc import Totals


class Ipvs(Protocol):
    """A director's table. Errors are the kernel's errnos, 0 for none."""

    def services(self) -> Sequence[ServiceRow]:
        """Give the table."""

    def connections(self) -> Iterable[Connection]:
        """Give the connection table."""

    def totals(self) -> Totals:
        """Give what was counted over all services."""

    def timeouts(self) -> tuple[int, int, int]:
        """Give seconds: established TCP, TCP after a FIN, UDP."""

    def apply(self, changes: Sequence[Change]) -> Sequence[int]:
        """Make changes in their order, in one piece; an errno for each."""

    def set_timeouts(self, *, tcp_s: int = 0, tcp_fin_s: int = 0, udp_s: int = 0) -> None:
        """Set seconds; 0 keeps what is."""

    def zero(self, key: Key | None = None) -> int:
        """Clear counters and rates of one service and its servers, or of all."""

    def daemons(self) -> Sequence[SyncDaemon]:
        """Give the synchronisation daemons that run, the master first."""

    def start_daemon(self, options: SyncDaemon) -> int:
        """Start a synchronisation daemon."""

    def stop_daemon(self, role: str) -> int:
        """Stop the synchronisation daemon of a role."""
