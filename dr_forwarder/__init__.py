"""A director (load balancer) for LVS direct routing that needs no kernel IPVS.

Public: `Director`, `Engine`, and `dr_forwarder.config.load`. They are imported when first used,
because a command that only lists must not wait for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .dataplane import Engine
    from .director import Director

__all__ = ["Director", "Engine"]


def __getattr__(name: str) -> Any:
    if name == "Director":
        from .director import Director

        return Director
    if name == "Engine":
        from .dataplane import Engine

        return Engine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
