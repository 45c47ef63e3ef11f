"""Parse: what an ipvsadm command line says, as data. Pure, but for the names that Names knows.

Errors that ipvsadm finds itself are UsageError with its text and exit status; what the kernel
refuses is for whoever carries the command out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from ..endpoints import Address
from ..flags import ServiceFlag
from ..table import HOST_MASK, Key, Server, Service, SyncDaemon
from . import values
from .options import (
    HINT,
    REFUSED,
    TUNNEL,
    UNCHECKED,
    Option,
    Reader,
    UsageError,
    Verb,
    check_together,
)
from .values import Names

_DEFAULT_SCHEDULER = "wlc"
_DEFAULT_PERSISTENT_S = 360
_MOST_TIMEOUT_S = 31 * 24 * 60 * 60
_MOST_SIGNED = 2**31 - 1
_HOST_MASK_6 = IPv6Address(2**128 - 1)
_NAME_LENGTH = 15
_PROTOCOLS = {"tcp-service": "tcp", "udp-service": "udp", "sctp-service": "sctp"}
_METHODS = {"gatewaying": "gate", "ipip": "ipip", "masquerading": "masq"}


@dataclass(frozen=True, slots=True)
class Command:
    """One command line; what was not given has ipvsadm's default."""

    verb: Verb
    service: Service | None = None
    server: Server | None = None
    method: str = "gate"
    """``gate``, ``ipip`` or ``masq``."""
    engine: str = ""
    """A persistence engine."""
    given: frozenset[str] = frozenset()
    """The options' names: ``numeric``, ``stats`` ..."""
    timeouts: tuple[int, int, int] = (0, 0, 0)
    daemon: SyncDaemon | None = None


@dataclass(slots=True)
class _Entry:
    """What the options have said so far, in their order, which matters to some."""

    names: Names
    given: dict[str, str] = field(default_factory=dict)
    """Values of the options by their names; empty for those that take none."""
    key: Key | None = None
    mask: Address = HOST_MASK
    server: tuple[Address, int] | None = None
    method: str = "gate"
    persistent_s: int | None = None
    numbers: dict[str, int] = field(default_factory=dict)
    group: Address | None = None

    @property
    def protocol(self) -> str:
        """Whose ports a name may be of; ipvsadm has none before it has seen a service."""
        if self.key is None:
            return ""
        return "tcp" if self.key.protocol == "fwm" else self.key.protocol


def parse(words: Sequence[str], names: Names) -> Command:
    """Raises UsageError. ``words`` are those after ``ipvsadm``; none at all is ``-L``."""
    if not words:
        return Command(Verb.LIST)
    reader = Reader(words)
    verb, role = _take_verb(reader)
    if verb in (Verb.HELP, Verb.VERSION):
        return Command(verb)
    if verb in (Verb.START_DAEMON, Verb.STOP_DAEMON):
        _check_role(verb, role)
    entry = _Entry(names)
    for option, value in reader:
        if option.verb is not None:
            raise UsageError(f"invalid option `{reader.word}'")
        _take(entry, option, value)
    timeouts = _take_timeouts(reader) if verb is Verb.SET else (0, 0, 0)
    if reader.rest:
        raise UsageError(f"unexpected argument {reader.rest[0]}")
    scheduler = entry.given.get("scheduler", "")[:_NAME_LENGTH] or _DEFAULT_SCHEDULER
    flags = values.scheduler_flags(entry.given.get("sched-flags", ""), scheduler)
    check_together(verb, entry.given)
    _check_sense(verb, entry)
    return Command(
        verb=verb,
        service=_service(entry, scheduler, flags),
        server=_server(verb, entry),
        method=entry.method,
        engine=entry.given.get("pe", "")[:_NAME_LENGTH],
        given=frozenset(entry.given),
        timeouts=timeouts,
        daemon=_daemon(entry, role) if role else None,
    )


# ---- The command ----


def _take_verb(reader: Reader) -> tuple[Verb, str]:
    try:
        option, value = next(reader, (None, None))
    except UsageError as error:
        raise UsageError(HINT, status=REFUSED) from error
    if option is None or option.verb is None:
        raise UsageError(HINT, status=REFUSED)
    return option.verb, value or ""


def _check_role(verb: Verb, role: str) -> None:
    if role not in ("master", "backup"):
        word = "start-daemon parameter" if verb is Verb.START_DAEMON else "start_daemon"
        raise UsageError(f"illegal {word} specified")


def _take_timeouts(reader: Reader) -> tuple[int, int, int]:
    if len(reader.rest) < 3:
        raise UsageError("--set option requires 3 timeout values")
    seconds = [_timeout(word, least=0) for word in reader.rest[:3]]
    del reader.rest[:3]
    return seconds[0], seconds[1], seconds[2]


def _timeout(text: str, *, least: int) -> int:
    found = values.number(text, least, _MOST_TIMEOUT_S)
    if found is None:
        raise UsageError(f"invalid timeout value `{text}' specified")
    return found


# ---- The options ----


def _take(entry: _Entry, option: Option, value: str | None) -> None:
    if option.called in entry.given and option.called not in UNCHECKED:
        raise UsageError(f"multiple '{option.called}' options specified")
    if option.called not in UNCHECKED:
        entry.given[option.called] = value or ""
    if option.called in _NUMBERS:
        least, most, said = _NUMBERS[option.called]
        found = values.number(value or "", least, most)
        if found is None:
            raise UsageError(f"illegal {said} specified")
        entry.numbers[option.called] = found
    elif option.called in _READERS:
        _READERS[option.called](entry, option.word, value)


_NUMBERS: Mapping[str, tuple[int, int, str]] = {
    "weight": (0, _MOST_SIGNED, "weight"),
    "u-threshold": (0, _MOST_SIGNED, "u_threshold"),
    "l-threshold": (0, _MOST_SIGNED, "l_threshold"),
    "syncid": (0, 255, "syncid"),
    "sync-maxlen": (1, 65507, "sync-maxlen"),
    "mcast-port": (1, 65535, "mcast-port"),
    "mcast-ttl": (1, 255, "mcast-ttl"),
    "tun-port": (1, 65535, "tunnel port"),
}
"""By option: the limits, and what the message calls it."""


def _read_service(entry: _Entry, word: str, value: str | None) -> None:
    text = value or ""
    if word == "fwmark-service":
        mark = values.number(text, 1, 2**32 - 1)
        if mark is None:
            raise UsageError(f"invalid fwmark value `{text}' specified")
        entry.key = Key("fwm", IPv4Address(mark), 0)
        return
    found = values.endpoint(text, _PROTOCOLS[word], entry.names)
    if found is None:
        raise UsageError("illegal virtual server address[:port] specified")
    address, port = found
    entry.key = Key(_PROTOCOLS[word], address, port or 0)
    if address.version == 6:
        entry.mask = _HOST_MASK_6


def _read_ipv6(entry: _Entry, word: str, value: str | None) -> None:
    if entry.key is None or entry.key.protocol != "fwm":
        raise UsageError("-6 used before -f\n")
    entry.key = Key("fwm", IPv6Address(int(entry.key.address)), 0)
    entry.mask = _HOST_MASK_6


def _read_mask(entry: _Entry, word: str, value: str | None) -> None:
    text = value or ""
    if entry.key is not None and entry.key.address.version == 6:
        entry.mask = values.ipv6_mask(text)
        return
    mask = entry.names.address(text)
    if mask is None:
        raise UsageError("illegal virtual server persistent mask specified")
    entry.mask = mask


def _read_persistent(entry: _Entry, word: str, value: str | None) -> None:
    entry.persistent_s = _DEFAULT_PERSISTENT_S if value is None else _timeout(value, least=1)


def _read_server(entry: _Entry, word: str, value: str | None) -> None:
    found = values.endpoint(value or "", entry.protocol, entry.names)
    if found is None:
        raise UsageError("illegal real server address[:port] specified")
    address, port = found
    service_port = entry.key.port if entry.key is not None else 0
    entry.server = address, service_port if port is None else port


def _read_method(entry: _Entry, word: str, value: str | None) -> None:
    entry.method = _METHODS[word]


def _read_group(entry: _Entry, word: str, value: str | None) -> None:
    entry.group = values.multicast_group(value or "")


def _read_tunnel_type(entry: _Entry, word: str, value: str | None) -> None:
    if value not in ("ipip", "gue", "gre"):
        raise UsageError("illegal tunnel type specified")


_READERS: Mapping[str, Callable[[_Entry, str, str | None], None]] = {
    "service-address": _read_service,
    "ipv6": _read_ipv6,
    "netmask": _read_mask,
    "persistent": _read_persistent,
    "real-server": _read_server,
    "forwarding-method": _read_method,
    "mcast-group": _read_group,
    "tun-type": _read_tunnel_type,
}


# ---- The whole line ----


def _check_sense(verb: Verb, entry: _Entry) -> None:
    key = entry.key
    if key is None:
        return
    if verb in (Verb.ADD_SERVICE, Verb.EDIT_SERVICE):
        if key.protocol != "fwm" and key.port == 0 and entry.persistent_s is None:
            raise UsageError("Zero port specified for non-persistent service")
        if "ops" in entry.given and key.protocol not in ("udp", "fwm"):
            raise UsageError("One-Packet Scheduling is only for UDP virtual services")
    if verb in (Verb.ADD_SERVER, Verb.EDIT_SERVER) and entry.server is not None:
        if entry.method != "ipip" and entry.server[0].version != key.address.version:
            raise UsageError("Different address family is allowed only for tunneling servers")
        _check_tunnel(entry)


def _check_tunnel(entry: _Entry) -> None:
    given = [name for name in TUNNEL if name in entry.given]
    if entry.method != "ipip":
        if given:
            raise UsageError("Tunnel options conflict with forward method")
        return
    kind = entry.given.get("tun-type", "ipip")
    if kind == "gue" and "tun-port" not in given:
        raise UsageError("You need to supply the 'tun-port' option for the 'gue' tunnel type")
    chosen = ""
    for name in given[1:] if "tun-type" in given else given:
        if name not in _TUNNEL_OPTIONS[kind]:
            raise UsageError(f"Illegal '{name}' option with the '{kind}' tunnel type")
        if name == "tun-port":
            continue
        if chosen:
            raise UsageError(
                f"The option '{name}' conflicts with the '{chosen}' option in the '{kind}'"
                " tunnel type"
            )
        chosen = name


_TUNNEL_OPTIONS: Mapping[str, frozenset[str]] = {
    "ipip": frozenset(),
    "gue": frozenset({"tun-port", "tun-nocsum", "tun-csum", "tun-remcsum"}),
    "gre": frozenset({"tun-nocsum", "tun-csum"}),
}


def _service(entry: _Entry, scheduler: str, flags: ServiceFlag) -> Service | None:
    if entry.key is None:
        return None
    if "ops" in entry.given:
        flags |= ServiceFlag.ONE_PACKET
    # Without persistence a mask is taken and nobody uses it.
    full = HOST_MASK if entry.key.address.version == 4 else _HOST_MASK_6
    mask = entry.mask if entry.persistent_s is not None else full
    return Service(entry.key, scheduler, entry.persistent_s, mask, flags)


def _server(verb: Verb, entry: _Entry) -> Server | None:
    if entry.server is None or entry.key is None:
        return None
    address, port = entry.server
    is_changed = verb in (Verb.ADD_SERVER, Verb.EDIT_SERVER)
    if is_changed and entry.key.protocol != "fwm" and entry.method != "masq":
        # Nothing rewrites the port on these ways.
        port = entry.key.port
    return Server(
        address,
        port,
        entry.numbers.get("weight", 1),
        entry.numbers.get("u-threshold", 0),
        entry.numbers.get("l-threshold", 0),
    )


def _daemon(entry: _Entry, role: str) -> SyncDaemon:
    interface = entry.given.get("mcast-interface", "")[:_NAME_LENGTH]
    return SyncDaemon(
        role=role,
        interface=interface or "eth0",
        sync_id=entry.numbers.get("syncid", 0),
        max_length=entry.numbers.get("sync-maxlen", 0),
        group=entry.group,
        port=entry.numbers.get("mcast-port", 0),
        ttl=entry.numbers.get("mcast-ttl", 0),
    )
