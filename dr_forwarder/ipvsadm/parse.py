"""Parse: what an ipvsadm command line says, as data. Pure, but for the names that Names knows.

Errors that ipvsadm finds itself are UsageError with its text and exit status; what the kernel
refuses is for whoever carries the command out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..flags import ServiceFlag
from ..table import HOST_MASK, Server, Service, SyncDaemon
from . import values
from .entry import HOST_MASK_6, Entry, take, timeout
from .options import (
    HINT,
    REFUSED,
    TUNNEL,
    Reader,
    UsageError,
    Verb,
    check_together,
)
from .values import Names

_DEFAULT_SCHEDULER = "wlc"
_NAME_LENGTH = 15


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
    entry = Entry(names)
    for option, value in reader:
        if option.verb is not None:
            raise UsageError(f"invalid option `{reader.word}'")
        take(entry, option, value)
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
    seconds = [timeout(word, least=0) for word in reader.rest[:3]]
    del reader.rest[:3]
    return seconds[0], seconds[1], seconds[2]


# ---- The whole line ----


def _check_sense(verb: Verb, entry: Entry) -> None:
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


def _check_tunnel(entry: Entry) -> None:
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


def _service(entry: Entry, scheduler: str, flags: ServiceFlag) -> Service | None:
    if entry.key is None:
        return None
    if "ops" in entry.given:
        flags |= ServiceFlag.ONE_PACKET
    # Without persistence a mask is taken and nobody uses it.
    full = HOST_MASK if entry.key.address.version == 4 else HOST_MASK_6
    mask = entry.mask if entry.persistent_s is not None else full
    return Service(entry.key, scheduler, entry.persistent_s, mask, flags)


def _server(verb: Verb, entry: Entry) -> Server | None:
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


def _daemon(entry: Entry, role: str) -> SyncDaemon:
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
