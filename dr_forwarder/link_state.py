"""Link state: how it stands with a director's interface, as it tells whoever asks. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LinkState:
    """How it stands with the interface that frames come in by, for who asks."""

    interface: str
    state: str
    """``up``, ``down`` or ``gone``."""
    mac: str | None = None
    mtu: int | None = None
    hindrance: str | None = None
    """Why the director cannot work as the network is now, and goes on as it was."""
    changes: int = 0
    """So much has become of it since the start; the events say what."""

    @property
    def text(self) -> str:
        """As one line."""
        more = "" if self.hindrance is None else f"; cannot be used as it is now: {self.hindrance}"
        about = "" if self.mac is None else f" (MAC {self.mac}, MTU {self.mtu})"
        return f"interface {self.interface} {self.state}{about}{more}"
