"""What an ipvsadm command line says, as data: ``parse``. No I/O, no name look-ups, no kernel.

Errors that ipvsadm finds itself are UsageError with its text and exit status; what the kernel
refuses is for whoever carries the command out (``refusal``).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Any

from .ipvsadm_options import (
    HINT,
    LISTING,
    UsageError,
    Verb,
    Words,
    check_options,
    take_options,
    take_verb,
)

Address = IPv4Address | IPv6Address

DEFAULT_PERSISTENT_S = 360
MAX_TIMEOUT_S = 31 * 24 * 60 * 60
MAX_SIGNED = 2**31 - 1


@dataclass(frozen=True, slots=True)
class ServiceName:
    """What names a virtual service: protocol, address and port, or a firewall mark."""

    protocol: str
    """``tcp``, ``udp``, ``sctp``, or ``fwmark``."""
    address: Address | None = None
    port: int = 0
    mark: int = 0
    version: int = 4


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A real server; port 0 is "as the service"."""

    address: Address
    port: int


@dataclass(frozen=True, slots=True)
class Command:
    """One command line; what was not given has ipvsadm's default."""

    verb: Verb
    service: ServiceName | None = None
    real: Endpoint | None = None
    scheduler: str = "wlc"
    persistent_s: int | None = None
    mask: Address | None = None
    engine: str = ""
    flags: frozenset[str] = frozenset()
    """``ops`` and the scheduler's: ``sh-port``, ``mh-fallback``, ``flag-1`` ..."""
    method: str = "gate"
    weight: int = 1
    upper: int = 0
    lower: int = 0
    numeric: bool = False
    timeouts: tuple[int, int, int] = (0, 0, 0)
    role: str = ""
    """``master`` or ``backup``, of the synchronisation daemon."""
    details: frozenset[str] = frozenset()
    """Of a listing: ``stats rate thresholds persistent-conn exact connection timeout daemon``."""
    others: dict[str, str] = field(default_factory=dict)
    """Options that no field above holds, by name."""


# ---- Values ----

_FLAGS = {"flag-1", "flag-2", "flag-3", "sh-fallback", "sh-port", "mh-fallback", "mh-port"}
_METHODS = {"g": "gate", "gatewaying": "gate", "i": "ipip", "ipip": "ipip"}


def _number(text: str, most: int, error: str, *, least: int = 0) -> int:
    if not text.lstrip("+").isdigit() or not least <= int(text) <= most:
        raise UsageError(error)
    return int(text)


def _endpoint(text: str, error: str) -> Endpoint:
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host = text
    try:
        address: Address
        if host.startswith("[") and host.endswith("]"):
            address = IPv6Address(host[1:-1])
        else:
            address = IPv4Address(host)
    except (AddressValueError, ValueError) as reason:
        raise UsageError(error) from reason
    return Endpoint(address, _port(port, error) if colon else 0)


def _port(text: str, error: str) -> int:
    if text.isdigit():
        return _number(text, 65535, error)
    try:
        return socket.getservbyname(text)
    except OSError as reason:
        raise UsageError(error) from reason


def _service(name: str, value: str, version: int) -> ServiceName:
    if name in ("f", "fwmark-service"):
        mark = _number(value, 2**32 - 1, f"invalid fwmark value `{value}' specified", least=1)
        return ServiceName("fwmark", mark=mark, version=version)
    protocol = {"t": "tcp", "u": "udp"}.get(name) or name.removesuffix("-service")
    at = _endpoint(value, "illegal virtual server address[:port] specified")
    return ServiceName(protocol, at.address, at.port, version=at.address.version)


def _mask(text: str, version: int) -> Address:
    """Dotted as inet_aton takes it (``24`` is 0.0.0.24), of IPv6 a prefix length."""
    error = "illegal virtual server persistent mask specified"
    if version == 6:
        length = _number(text, 128, "illegal ipv6 netmask specified", least=1)
        return IPv6Address((2**128 - 1) ^ (2 ** (128 - length) - 1))
    try:
        return IPv4Address(socket.inet_aton(text))
    except OSError as reason:
        raise UsageError(error) from reason


def _flags(text: str, scheduler: str) -> frozenset[str]:
    flags = [flag for flag in text.split(",") if flag]
    for flag in flags:
        if flag not in _FLAGS:
            raise UsageError(f"invalid scheduler flag `{flag}'")
        if flag[:2] in ("sh", "mh") and flag[:2] != scheduler:
            raise UsageError(f"incompatible scheduler flag `{flag}'")
    return frozenset(flags)


_READERS: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "real-server": lambda _, value: {
        "real": _endpoint(value, "illegal real server address[:port] specified")
    },
    "scheduler": lambda _, value: {"scheduler": value[:15]},
    "persistent": lambda _, value: {
        "persistent_s": _number(
            value or str(DEFAULT_PERSISTENT_S),
            MAX_TIMEOUT_S,
            f"invalid timeout value `{value}' specified",
            least=1,
        )
    },
    "pe": lambda _, value: {"engine": value},
    "forwarding-method": lambda name, _: {"method": _METHODS.get(name, "masq")},
    "weight": lambda _, value: {"weight": _number(value, MAX_SIGNED, "illegal weight specified")},
    "u-threshold": lambda _, value: {
        "upper": _number(value, MAX_SIGNED, "illegal u_threshold specified")
    },
    "l-threshold": lambda _, value: {
        "lower": _number(value, MAX_SIGNED, "illegal l_threshold specified")
    },
    "numeric": lambda _, __: {"numeric": True},
}
_DETAILS = LISTING - {"numeric", "service-address", "ipv6"}
_ELSEWHERE = {"service-address", "ipv6", "netmask", "sched-flags", "ops"}


# ---- The whole line ----


def parse(words: Sequence[str]) -> Command:
    """Raises UsageError. ``words`` are those after ``ipvsadm``; none at all is ``-L``."""
    if not words:
        return Command(Verb.LIST)
    left = Words(list(words))
    verb = take_verb(left)
    if verb is Verb.SET:
        return _parse_set(left.rest)
    command = Command(verb)
    if verb in (Verb.START_DAEMON, Verb.STOP_DAEMON):
        command = replace(command, role=_take_role(left, verb))
    given = take_options(left)
    if left.rest:
        raise UsageError(f"unexpected argument {left.rest[0]}")
    check_options(verb, given)
    return _check(_fill(command, given), given)


def _take_role(words: Words, verb: Verb) -> str:
    if not words.rest:
        raise UsageError(HINT, status=255)
    role = words.rest.pop(0)
    if role not in ("master", "backup"):
        word = "start-daemon parameter" if verb is Verb.START_DAEMON else "start_daemon"
        raise UsageError(f"illegal {word} specified")
    return role


def _parse_set(words: list[str]) -> Command:
    for word in words:
        if word.startswith("-"):
            raise UsageError(f"{word}: unknown option", status=255)
    if len(words) < 3:
        raise UsageError("--set option requires 3 timeout values")
    if len(words) > 3:
        raise UsageError(f"unexpected argument {words[3]}")
    values = [_number(w, MAX_SIGNED, f"invalid timeout value `{w}' specified") for w in words]
    return Command(Verb.SET, timeouts=(values[0], values[1], values[2]))


def _fill(command: Command, given: dict[str, tuple[str, str]]) -> Command:
    values: dict[str, Any] = {}
    others = {}
    for name, (used, value) in given.items():
        if name in _READERS:
            values |= _READERS[name](used, value)
        elif name not in _ELSEWHERE and name not in _DETAILS:
            others[name] = value
    version = 6 if "ipv6" in given else 4
    if "service-address" in given:
        values["service"] = service = _service(*given["service-address"], version)
        version = service.version
    if "netmask" in given:
        values["mask"] = _mask(given["netmask"][1], version)
    scheduler = values.get("scheduler", command.scheduler)
    flags = _flags(given["sched-flags"][1] if "sched-flags" in given else "", scheduler)
    values["flags"] = flags | ({"ops"} if "ops" in given else set())
    details = frozenset(_DETAILS.intersection(given)) if command.verb is Verb.LIST else frozenset()
    return replace(command, details=details, others=others, **values)


def _check(command: Command, given: Iterable[str]) -> Command:
    service = command.service
    details = command.details
    if command.verb in (Verb.ADD_SERVICE, Verb.EDIT_SERVICE) and service is not None:
        if service.protocol != "fwmark" and service.port == 0 and command.persistent_s is None:
            raise UsageError("Zero port specified for non-persistent service")
        if "ops" in command.flags and service.protocol not in ("udp", "fwmark"):
            raise UsageError("One-Packet Scheduling is only for UDP virtual services")
    if details & {"connection", "timeout", "daemon"} and details & {"stats", "rate", "thresholds"}:
        raise UsageError("options conflicts in the list command")
    if {"timeout", "daemon"} <= details:
        raise UsageError(
            "The option 'daemon' conflicts with the 'timeout' option in the 'list' command"
        )
    if command.real is None or service is None:
        return command
    if command.method != "ipip" and command.real.address.version != service.version:
        raise UsageError("Different address family is allowed only for tunneling servers")
    if service.protocol != "fwmark" and command.method in ("gate", "ipip"):
        # Nothing rewrites the port on this way.
        return replace(command, real=replace(command.real, port=service.port))
    return command


# ---- What the kernel says ----

_REFUSALS = {
    (Verb.ADD_SERVICE, errno.EEXIST): "Service already exists",
    (Verb.ADD_SERVICE, errno.ENOENT): "Scheduler or persistence engine not found",
    (Verb.EDIT_SERVICE, errno.ENOENT): "Scheduler or persistence engine not found",
    (Verb.EDIT_SERVICE, errno.ESRCH): "No such service",
    (Verb.DELETE_SERVICE, errno.ESRCH): "No such service",
    (Verb.ZERO, errno.ESRCH): "No such service",
    (Verb.LIST, errno.ESRCH): "No such service",
    (Verb.ADD_SERVER, errno.ESRCH): "Service not defined",
    (Verb.EDIT_SERVER, errno.ESRCH): "Service not defined",
    (Verb.DELETE_SERVER, errno.ESRCH): "Service not defined",
    (Verb.ADD_SERVER, errno.EEXIST): "Destination already exists",
    (Verb.EDIT_SERVER, errno.ENOENT): "No such destination",
    (Verb.DELETE_SERVER, errno.ENOENT): "No such destination",
    (Verb.ADD_SERVER, errno.ERANGE): "Numerical result out of range",
    (Verb.EDIT_SERVER, errno.ERANGE): "Numerical result out of range",
}


def refusal(verb: Verb, number: int) -> tuple[int, str]:
    """Exit status and text for an errno of the kernel."""
    text = _REFUSALS.get((verb, number), f"errno {number}")
    return (1 if verb is Verb.LIST else 255), text
