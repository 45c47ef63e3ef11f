"""Listen: the TCP address of the metrics and the page, as it is written. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address

from .endpoints import Address, endpoint

LOOPBACK = IPv4Address("127.0.0.1")
_LIKE = "ADDRESS:PORT, like 127.0.0.1:9700 or [::1]:9700; :9700 is the loopback's"


@dataclass(frozen=True, slots=True)
class Listen:
    """Where is listened; ``str`` is how it is written."""

    address: Address
    port: int

    def __str__(self) -> str:
        return endpoint(self.address, self.port)


def parse(text: str) -> Listen:
    """Reads ``127.0.0.1:9700``, ``[::1]:9700``, ``:9700`` or ``9700``; raises ValueError."""
    host, _, port = text.strip().rpartition(":")
    if not port.isascii() or not port.isdecimal() or len(port) > 5 or not 0 < int(port) < 65536:
        raise ValueError(f"must be {_LIKE}, not {text!r}")
    if not host:
        return Listen(LOOPBACK, int(port))
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        raise ValueError(f"must be {_LIKE}: {host!r} is no IP address") from None
    if bracketed != (address.version == 6):
        raise ValueError(f"must be {_LIKE}, not {text!r}")
    return Listen(address, int(port))
