"""Names: hosts and ports as this system knows them. The only asker in ipvsadm.

The resolver is imported by who asks it: a command that is told numbers must not wait for it.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from ..endpoints import Address


class SystemNames:
    """What the resolver and /etc/services say."""

    def host(self, address: Address) -> str | None:
        """Give an address's name."""
        import socket

        try:
            return socket.gethostbyaddr(str(address))[0]
        except OSError:
            return None

    def port(self, number: int, protocol: str) -> str | None:
        """Give the name of a port."""
        import socket

        try:
            return socket.getservbyport(number, protocol)
        except OSError:
            return None

    def address(self, text: str) -> IPv4Address | None:
        """Give an address written in any of inet_aton's ways, or a host's."""
        if (address := written(text)) is not None:
            return address
        import socket

        try:
            return IPv4Address(socket.gethostbyname(text)) if text else None
        except (OSError, UnicodeError):
            return None

    def number(self, port: str, protocol: str) -> int | None:
        """Give the number of a named port."""
        import socket

        try:
            return socket.getservbyname(port, protocol)
        except OSError:
            return None


def written(text: str) -> IPv4Address | None:
    """What inet_aton makes of it: ``10.1`` is 10.0.0.1, ``24`` is 0.0.0.24."""
    try:
        return IPv4Address(text)
    except ValueError:
        pass
    import socket

    try:
        return IPv4Address(socket.inet_aton(text))
    except (OSError, UnicodeError):
        return None
