"""Validation: what was asked for in JSON as frozen data, or Invalid with the field. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any

from ..endpoints import Address
from ..flags import NO_FLAGS, ServiceFlag
from ..orders import DEADLINE_S, ENDINGS
from ..table import HOST_MASK, Change, Drain, Key, Operation, Server, Service, SyncDaemon

MOST_CHANGES = 65536
_HOST_MASK_6 = IPv6Address((1 << 128) - 1)
_PROTOCOLS = ("tcp", "udp", "sctp", "fwm")
_LONGEST_PERSISTENCE_S = 31 * 86400
_LONGEST_SLOW_START_S = 3600
_MOST_U31 = (1 << 31) - 1
_FLAG_BITS = sum(ServiceFlag)

_OPERATIONS = {each.name.lower(): each for each in Operation if each is not Operation.SET_MAC}
_OF_SERVICE = {
    *(Operation.ADD_SERVICE, Operation.EDIT_SERVICE, Operation.DELETE_SERVICE),
    *(Operation.ADD_SERVER, Operation.EDIT_SERVER, Operation.DELETE_SERVER),
    Operation.ZERO_SERVICE,
}
_LONGEST_DEADLINE_S = 31 * 86400
_ORDERS = ("drain", "disable", "enable")
_OF_SERVER = {Operation.ADD_SERVER, Operation.EDIT_SERVER, Operation.DELETE_SERVER}


class Invalid(Exception):  # noqa: N818 - a request is, and the text says why
    """What is wrong with a request, and in which field, as ``changes[3].server.weight``."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Asked:
    """What an operator wants of a server."""

    order: str
    """``drain``, ``disable`` or ``enable``."""
    server: Address
    service: Key | None
    """None: of all services that have the server."""
    deadline_s: int
    then: Drain


def changes(raw: Any) -> tuple[tuple[Change, ...], bool]:
    """The body of ``POST /v1/changes``: the changes, and whether to stop at the first failure."""
    body = _object(raw, "", {"changes", "stop"})
    items = body.get("changes")
    if not isinstance(items, list):
        raise Invalid("changes", "must be a list of changes")
    if len(items) > MOST_CHANGES:
        raise Invalid("changes", f"at most {MOST_CHANGES} at a time")
    stop = _flag(body, "", "stop")
    return tuple(_change(each, f"changes[{i}]") for i, each in enumerate(items)), stop


def timeouts(raw: Any) -> dict[str, int]:
    """The body of ``PUT /v1/timeouts``: seconds by name, 0 for what stays."""
    names = ("tcp_s", "tcp_fin_s", "udp_s")
    body = _object(raw, "", set(names))
    return {name: _number(body, "", name, 0, 0, _LONGEST_PERSISTENCE_S) for name in names}


def standby(raw: Any) -> bool:
    """The body of ``PUT /v1/standby``."""
    body = _object(raw, "", {"standby"})
    if "standby" not in body:
        raise Invalid("standby", "must be true or false")
    return _flag(body, "", "standby")


def order(raw: Any) -> Asked:
    """The body of ``POST /v1/orders``."""
    body = _object(raw, "", {"order", "server", "service", "deadline_s", "then"})
    what = body.get("order")
    if what not in _ORDERS:
        raise Invalid("order", f"must be one of {', '.join(_ORDERS)}")
    if what != "drain" and "deadline_s" in body:
        raise Invalid("deadline_s", "goes with drain only")
    service = body.get("service")
    return Asked(
        what,
        _address(body, "", "server"),
        None if service is None else _key(service, "service"),
        _number(body, "", "deadline_s", DEADLINE_S, 0, _LONGEST_DEADLINE_S),
        _ending(body),
    )


def _ending(body: Mapping[str, Any]) -> Drain:
    words = [ending.value for ending in ENDINGS]
    word = body.get("then", Drain.RESET.value)
    if word not in words:
        raise Invalid("then", f"must be one of {', '.join(words)}")
    return Drain(word)


def daemon(raw: Any) -> SyncDaemon:
    """The body of ``POST /v1/daemons``."""
    names = {"role", "interface", "sync_id", "max_length", "group", "port", "ttl"}
    body = _object(raw, "", names)
    role, interface = body.get("role"), body.get("interface", "eth0")
    if role not in ("master", "backup"):
        raise Invalid("role", "must be master or backup")
    if not isinstance(interface, str):
        raise Invalid("interface", "must be an interface's name")
    return SyncDaemon(
        role,
        interface,
        _number(body, "", "sync_id", 0, 0, 255),
        _number(body, "", "max_length", 0, 0, 65507),
        None if body.get("group") is None else _address(body, "", "group"),
        _number(body, "", "port", 0, 0, 65535),
        _number(body, "", "ttl", 0, 0, 255),
    )


def _change(raw: Any, at: str) -> Change:
    body = _object(raw, at, {"operation", "service", "server"})
    operation = _OPERATIONS.get(str(body.get("operation")))
    if operation is None:
        raise Invalid(f"{at}.operation", f"must be one of {', '.join(_OPERATIONS)}")
    service = server = None
    if operation in _OF_SERVICE:
        service = _service(body.get("service"), f"{at}.service")
        if operation in _OF_SERVER:
            server = _server(body.get("server"), f"{at}.server", service)
    return Change(operation, service, server)


def _service(raw: Any, at: str) -> Service:
    fields = {"key", "scheduler", "persistent_s", "mask", "flags", "slow_start_s"}
    body = _object(raw, at, fields)
    key = _key(body.get("key"), f"{at}.key")
    persistent_s = None
    if body.get("persistent_s") is not None:
        persistent_s = _number(body, at, "persistent_s", 0, 1, _LONGEST_PERSISTENCE_S)
    flags = _number(body, at, "flags", NO_FLAGS.value, 0, _FLAG_BITS)
    if flags & ~_FLAG_BITS:
        raise Invalid(f"{at}.flags", "has bits that are no flags of a service")
    version = key.address.version
    mask = _address(body, at, "mask", HOST_MASK if version == 4 else _HOST_MASK_6)
    if mask.version != version:
        raise Invalid(f"{at}.mask", f"must be an IPv{version} mask")
    scheduler = body.get("scheduler", "wlc")
    if not isinstance(scheduler, str):
        raise Invalid(f"{at}.scheduler", "must be a scheduler's name")
    slow_start_s = _number(body, at, "slow_start_s", 0, 0, _LONGEST_SLOW_START_S)
    return Service(key, scheduler, persistent_s, mask, ServiceFlag(flags), slow_start_s)


def _key(raw: Any, at: str) -> Key:
    body = _object(raw, at, {"protocol", "address", "port"})
    protocol = body.get("protocol")
    if protocol not in _PROTOCOLS:
        raise Invalid(f"{at}.protocol", f"must be one of {', '.join(_PROTOCOLS)}")
    return Key(protocol, _address(body, at, "address"), _number(body, at, "port", 0, 0, 65535))


def _server(raw: Any, at: str, service: Service) -> Server:
    body = _object(raw, at, {"address", "port", "weight", "upper", "lower"})
    address = _address(body, at, "address")
    if address.version != service.key.address.version:
        raise Invalid(f"{at}.address", "must be of the service's address family")
    return Server(
        address,
        _number(body, at, "port", service.key.port, 0, 65535),
        _number(body, at, "weight", 1, 0, _MOST_U31),
        _number(body, at, "upper", 0, 0, _MOST_U31),
        _number(body, at, "lower", 0, 0, _MOST_U31),
    )


# ---- Single values ----


def _object(raw: Any, at: str, known: Collection[str]) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        raise Invalid(at or "the body", "must be an object")
    for name in raw:
        if name not in known:
            raise Invalid(_under(at, name), f"is not known; known are {', '.join(sorted(known))}")
    return raw


def _under(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _number(
    body: Mapping[str, Any], at: str, name: str, default: int, least: int, most: int
) -> int:
    value = body.get(name, default)
    if type(value) is not int or not least <= value <= most:
        raise Invalid(_under(at, name), f"must be a whole number from {least} to {most}")
    return value


def _flag(body: Mapping[str, Any], at: str, name: str) -> bool:
    value = body.get(name, False)
    if type(value) is not bool:
        raise Invalid(_under(at, name), "must be true or false")
    return value


def _address(
    body: Mapping[str, Any], at: str, name: str, default: Address | None = None
) -> Address:
    value = body.get(name)
    if value is None and default is not None:
        return default
    try:
        if isinstance(value, str):
            return ip_address(value)
    except ValueError:
        pass
    raise Invalid(_under(at, name), "must be an IPv4 or IPv6 address as text")
