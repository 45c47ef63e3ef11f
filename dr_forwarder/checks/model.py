"""Model: what one check looks at, and what it found. Nothing is contacted here.

Two real servers with equal targets are one check, whatever virtual services they belong to.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Final, Protocol

from dr_forwarder.config import vip_checks
from dr_forwarder.config.directives import CHECK_PORTS
from dr_forwarder.config.model import Address, Check, CheckType, Real, Virtual, bracketed, endpoint


@dataclass(frozen=True, slots=True)
class Target:
    """One distinct check; its ``check`` holds the real server's own request and receive."""

    address: Address
    port: int
    """Where the check goes; 0 where the configuration names no port."""
    protocol: str
    check: Check
    vip: Address | None = None
    """The address that the check goes to at the real server's MAC address, instead of its own."""
    arguments: tuple[str, ...] = ()
    """What an external check is told; it says the virtual service too, so each has its own."""

    def __hash__(self) -> int:
        # Enough to tell nearly all apart: a look-up must not hash a whole Check each time.
        return hash((int(self.address), self.port, self.check.request, self.arguments))

    @property
    def destination(self) -> Address:
        """Where the check's packets go."""
        return self.vip or self.address

    @property
    def name(self) -> str:
        """``10.0.0.1:80``, for logs."""
        return endpoint(self.address, self.port)


@dataclass(frozen=True, slots=True)
class Result:
    """What one check found."""

    passed: bool | None
    """None: it could not be carried out, which says nothing of the server."""
    reason: str
    """One short line, whether it passed or not."""
    duration_s: float


class CheckError(Exception):
    """The server did not do what the check asks for; the text is the reason."""


class HindranceError(Exception):
    """The check could not be made, for a reason on this host: the server's health stays as it is.

    The text is the cause, the same for every server that it keeps from being checked, and the cure.
    """


class VipPath(Protocol):
    """The clients' way to a VIP, for checks."""

    async def mac(self, server: Address) -> bytes:
        """The real server's MAC address, once it is known."""

    async def connect(self, server: Address, vip: Address, port: int) -> asyncio.Transport:
        """A connection to the VIP at this real server; raises OSError."""


Family = Callable[[Target], Awaitable[str]]
"""A way to check: returns what it saw, raises CheckError (or OSError) with what was wrong, and
HindranceError (or OSError with an errno of `LOCAL`) when that is not the server's."""

LOCAL: Final = {
    errno.EMFILE: "raise the limit of open files: ulimit -n, systemd: LimitNOFILE=",
    errno.ENFILE: "raise the host's limit of open files: sysctl fs.file-max",
    errno.ENOBUFS: "this host is short of memory",
    errno.ENOMEM: "this host is short of memory",
    errno.EAGAIN: "this host allows no more processes, threads or sockets: ulimit -u, TasksMax=",
    errno.EADDRNOTAVAIL: "this host has no address there, or no free port:"
    " sysctl net.ipv4.ip_local_port_range",
    errno.ENETUNREACH: "this host has no route there: is the interface up, has it its address? IPv6"
    " ones go with the link: sysctl net.ipv6.conf.all.keep_addr_on_down=1",
    errno.ENETDOWN: "this host's interface is down",
    errno.ENODEV: "this host's interface is gone",
    errno.EPERM: "this host does not allow it: a firewall of its own, or a capability is missing",
    errno.EACCES: "this host does not allow it: a route that prohibits, or a capability is missing",
    errno.EAFNOSUPPORT: "this host does not have that kind of address",
    errno.EPROTONOSUPPORT: "this host does not have that protocol: is its module loaded?",
    errno.ESOCKTNOSUPPORT: "this host does not have that protocol: is its module loaded?",
    errno.ENOSPC: "this host's disk is full",
    errno.EDQUOT: "this host's disk is full",
}
"""What only this host can be the cause of, and the cure. A server that does not answer ARP is
EHOSTUNREACH, one that refuses or resets has its own numbers too."""
_CHAIN: Final = 8
"""So many causes of causes are looked through."""


def target(virtual: Virtual, real: Real) -> Target:
    """The check of this real server in this virtual service."""
    check = virtual.check
    own = replace(
        check,
        request=_request(check.request if real.request is None else real.request, check.service),
        receive=check.receive if real.receive is None else real.receive,
        # ldirectord sends trailing blanks along; no server has such a name.
        virtual_host=(check.virtual_host or "").strip() or None,
    )
    port = check.port or real.port or CHECK_PORTS.get(check.service, 0) or virtual.port
    external = check.type in (CheckType.EXTERNAL, CheckType.EXTERNAL_PERL)
    return Target(
        address=real.address,
        port=port,
        protocol=virtual.protocol,
        check=own,
        vip=virtual.address if check.through_vip and not vip_checks.obstacle(virtual) else None,
        arguments=_arguments(virtual, real) if external else (),
    )


def _arguments(virtual: Virtual, real: Real) -> tuple[str, str, str, str]:
    """As ldirectord tells them: IPv6 in brackets, the real server's port and not checkport."""
    vip = str(virtual.fwmark) if virtual.address is None else bracketed(virtual.address)
    return vip, str(virtual.port), bracketed(real.address), str(real.port)


_NUMBERS: Final[dict[type, int]] = {
    ConnectionResetError: errno.ECONNRESET,
    ConnectionRefusedError: errno.ECONNREFUSED,
    ConnectionAbortedError: errno.ECONNABORTED,
    BrokenPipeError: errno.EPIPE,
}
"""Of errors that asyncio makes itself, without one and without a word."""


def os_reason(error: OSError) -> str:
    """``connection refused``: the system's words for it, without the number."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    if not error.errno and isinstance(error.__cause__, OSError):
        return os_reason(error.__cause__)
    number = error.errno or (0 if str(error) else _NUMBERS.get(type(error), 0))
    return os.strerror(number).lower() if number else str(error) or type(error).__name__


def hindrance(error: BaseException) -> str | None:
    """Why a check could not be carried out, by what it raised; None if that is the server's doing.

    Libraries wrap what the system says, so the causes of the error are looked at as well. What a
    CheckError was made of for lack of a permission is its own business: a check command that is
    not executable, say, is a failure. A limit of ours is for the server to answer in, unless the
    check says what it waited for here.
    """
    limit = isinstance(error, TimeoutError) and not error.errno
    link: BaseException | None = error
    for _ in range(_CHAIN):
        if link is None:
            break
        refused = isinstance(error, CheckError) and isinstance(link, PermissionError)
        # On its way to another error a socket may just have had nothing to read.
        passing = link is not error and isinstance(link, BlockingIOError)
        mute = limit and not isinstance(link, HindranceError)
        if not (refused or passing or mute) and (told := _hindrance(link)) is not None:
            return told
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return None


def _hindrance(error: BaseException) -> str | None:
    match error:
        case HindranceError():
            return str(error)
        case MemoryError():
            return f"out of memory ({LOCAL[errno.ENOMEM]})"
        case RuntimeError() if "start new thread" in str(error):
            return f"no thread can be started ({LOCAL[errno.EAGAIN]})"
        case ssl.SSLError() | socket.gaierror():
            return None  # their numbers are of another kind: 1 is not EPERM
        case OSError() if error.errno in LOCAL:
            return f"{os.strerror(error.errno).lower()} ({LOCAL[error.errno]})"
    return None


def own_endpoint(name: tuple[str, int]) -> str:
    """``10.0.0.9:40000``, ``[::1]:40000``: a socket's own name, without a scope."""
    return endpoint(ip_address(name[0].partition("%")[0]), name[1])


def octets(text: str) -> bytes:
    """Text of the configuration file as the file has it, which need not be UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def _request(written: str, service: str) -> str:
    """A request begins with a slash, unless it is a whole URL; the file's reader adds one."""
    bare = written.removeprefix("/")
    if bare.startswith(f"{service}://"):
        return bare
    return "/" + bare
