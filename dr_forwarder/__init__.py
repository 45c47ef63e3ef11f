"""A director (load balancer) for LVS direct routing that needs no kernel IPVS.

Public: `Director`, `Engine`, `Client`, `dr_forwarder.config.load` and `dr_forwarder.replay.Replay`.
They are imported when first used, because a command that only lists must not wait for them.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in typing, whose import would take a quick command's time
if TYPE_CHECKING:
    from typing import Any

    from .client import Client
    from .dataplane import Engine
    from .director import Director

__all__ = ["Client", "Director", "Engine"]


def __getattr__(name: str) -> Any:
    match name:
        case "Client":
            from .client import Client

            return Client
        case "Director":
            from .director import Director

            return Director
        case "Engine":
            from .dataplane import Engine

            return Engine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
