"""Names: hosts, ports and this machine, as the system knows them. The only asker in config."""

from __future__ import annotations

import importlib.util
import os
import socket
from ipaddress import ip_address

from .model import Address


def resolve(host: str, family: int) -> Address:
    """Give the first address of a host in family 4 or 6."""
    kind = socket.AF_INET6 if family == 6 else socket.AF_INET
    answers = socket.getaddrinfo(host, None, family=kind, type=socket.SOCK_STREAM)
    return ip_address(str(answers[0][4][0]).partition("%")[0])


def service_port(name: str, protocol: str) -> int:
    """Give the port of a name in /etc/services, for one protocol or (empty) for any."""
    return socket.getservbyname(name, protocol) if protocol else socket.getservbyname(name)


def installed(module: str) -> bool:
    """Say whether a Python library is there, without importing it."""
    return importlib.util.find_spec(module) is not None


def unreadable(path: str) -> str:
    """Say why a file cannot be read; nothing if it can."""
    try:
        with open(path, "rb"):
            return ""
    except OSError as error:
        return (error.strerror or "").lower()


def host_name() -> str:
    """Give the name of this machine as ldirectord takes it."""
    return os.environ.get("HOSTNAME") or os.uname().nodename
