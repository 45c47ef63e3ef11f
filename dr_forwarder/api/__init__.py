"""API: HTTP and JSON on a Unix socket in the state directory: everything can be seen and changed.

The socket has mode 0600, and who asks must be the director's user or root besides.
"""

from __future__ import annotations

from .server import SOCKET_NAME, serving

__all__ = ["SOCKET_NAME", "serving"]
