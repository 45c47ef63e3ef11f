"""Assemble: a draft into the finished configuration. Defaults, and what must fit together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from ipaddress import IPv4Address
from pathlib import Path

from .. import listen, vlan
from .directive import Kind, Level
from .directives import CHECK_PORTS, DIRECTIVES, LOAD_SCHEDULERS
from .draft import Draft, Reading, Scope, Section, one_of
from .model import (
    Alert,
    Check,
    CheckType,
    Config,
    Fallback,
    IoMode,
    MacMode,
    Settings,
    SyncDaemon,
    Tuning,
    Virtual,
)
from .native import DIRECTOR
from .servers import with_slash

_SERVICE_OF = {port: service for service, port in CHECK_PORTS.items()}
_DNS_PORTS = ("53", "domain")


def assemble(draft: Draft, reading: Reading) -> Config:
    """Resolve all defaults and hold the parts against each other; errors stay with the reading."""
    shared = Scope(draft.shared, draft.shared)
    known = [section for section in draft.virtuals if section.target.is_known]
    virtuals = tuple(_virtual(section, draft.shared, reading) for section in known)
    whole = [
        each for each, own in zip(virtuals, known, strict=True) if "protocol" not in own.failed
    ]
    _find_duplicates(whole, reading)
    lines = {**draft.shared.lines, **draft.director.lines}
    return Config(
        path=reading.file,
        virtuals=virtuals,
        marks=tuple(draft.marks),
        settings=_settings(draft.director),
        readd_quiescent=shared.flag("readdquiescent"),
        auto_reload=shared.flag("autoreload"),
        callback=shared.text("callback"),
        log_file=shared.string("logfile"),
        execute=shared.words("execute"),
        supervised=shared.flag("supervised"),
        fork=shared.flag("fork"),
        maintenance_dir=shared.text("maintenancedir"),
        notices=reading.notices,
        lines=tuple(lines.items()),
        shared=tuple(_shared(draft.shared)),
    )


def _shared(section: Section) -> Iterator[tuple[str, object]]:
    scope = Scope(section, section)
    for row in DIRECTIVES:
        match row.name:
            case "checktimeout":
                yield row.name, _timeout(scope, "checktimeout", "negotiatetimeout", 5)
            case "negotiatetimeout":
                yield row.name, _timeout(scope, "negotiatetimeout", "checktimeout", 30)
            case "fallback" | "fallback6":
                spare = section.spares.get(6 if row.name.endswith("6") else 4)
                yield row.name, spare and Fallback(spare.address, spare.port or 0, spare.line)
            case _ if row.level in (Level.GLOBAL, Level.BOTH):
                if row.ours and row.name not in section.values:
                    continue
                default = () if row.kind in (Kind.LIST, Kind.REPEATED) else None
                value = scope.find(row.name)
                yield row.name, default if value is None else value


def _settings(director: Section) -> Settings:
    scope = Scope(director, director, {row.name: row for row in DIRECTOR})
    state_dir = scope.text("state_dir")
    recorder_dir = scope.text("flight_recorder_dir")
    return Settings(
        interface=scope.text("interface"),
        interface_wait_s=scope.count("interface_wait"),
        mac=MacMode(scope.string("mac")),
        vlan=vlan.parse(tags) if (tags := scope.text("vlan")) else vlan.UNTAGGED,
        virtual_router_id=scope.count("virtual_router_id"),
        announce_interval_s=scope.count("announce_interval"),
        io=IoMode(scope.string("io")),
        workers=scope.count("workers"),
        realtime=scope.flag("realtime"),
        state_dir=None if state_dir is None else Path(state_dir),
        flight_recorder_dir=None if recorder_dir is None else Path(recorder_dir),
        listen=listen.parse(address) if (address := scope.text("listen")) else None,
        listen_writable=scope.flag("listen_writable"),
        listen_names=scope.words("listen_names"),
        connections=scope.count("connections"),
        timeout_tcp_s=scope.count("timeout_tcp"),
        timeout_tcp_fin_s=scope.count("timeout_tcp_fin"),
        timeout_udp_s=scope.count("timeout_udp"),
        peers=tuple(bytes.fromhex(mac.replace(":", "")) for mac in scope.words("peers")),
        standby=scope.flag("standby"),
        sync_sock_size=scope.count("sync_sock_size"),
        daemons=tuple(
            SyncDaemon(role, interface, scope.count("sync_id"))
            for role in ("master", "backup")
            if (interface := scope.text(f"sync_{role}"))
        ),
        tuning=Tuning(**{each.name: scope.count(each.name) for each in fields(Tuning)}),
    )


def _virtual(section: Section, shared: Section, reading: Reading) -> Virtual:
    scope = Scope(section, shared)
    target = section.target
    protocol = _protocol(scope, reading)
    port = 0
    with reading.gathering(section, "port"):
        port = reading.port(target.port, protocol, section.line) if target.address else 0
    virtual = Virtual(
        protocol=protocol,
        address=target.address,
        port=port,
        real=tuple(section.reals),
        fwmark=target.fwmark,
        ipv6=target.family == 6,
        scheduler=scope.string("scheduler"),
        scheduler_flags=scope.text("schedflags"),
        persistent_s=scope.number("persistent"),
        netmask=_netmask(scope, reading),
        one_packet=scope.flag("ops") and protocol == "udp",
        slow_start_s=scope.count("slow_start"),
        check=_check(scope, port, reading),
        fallback=_fallback(section, shared, port),
        fallback_command=scope.text("fallbackcommand") or None,
        fallback_at_stop=scope.flag("fallback_at_stop"),
        quiescent=scope.flag("quiescent"),
        clean_stop=scope.flag("cleanstop"),
        monitor_file=scope.text("monitorfile"),
        service_name=scope.text("servicename"),
        comment=scope.text("comment"),
        alert=_alert(scope),
        line=section.line,
        lines=tuple(section.lines.items()),
    )
    if not section.failed & {"port", "persistent"}:
        _need_persistence(virtual, reading)
    _hold_together(virtual, reading)
    return virtual


def _protocol(scope: Scope, reading: Reading) -> str:
    target, given = scope.own.target, scope.text("protocol")
    if target.address is None:
        if given not in (None, "fwm"):
            reading.fault(
                f"protocol must be fwm for a firewall mark, not {given!r}",
                scope.own.line_of("protocol"),
            )
        return "fwm"
    if given == "fwm":
        reading.fault(
            "protocol must be tcp or udp for an address, not 'fwm'", scope.own.line_of("protocol")
        )
    return given or ("udp" if target.port in _DNS_PORTS else "tcp")


def _netmask(scope: Scope, reading: Reading) -> str | None:
    netmask = scope.text("netmask")
    if netmask is None:
        return None
    line = scope.own.line_of("netmask")
    if scope.own.target.family == 6:
        if not (netmask.isascii() and netmask.isdecimal() and 1 <= int(netmask[:9]) <= 128):
            reading.fault(f"netmask must be in 1..128 for IPv6, not {netmask!r}", line)
        return netmask
    try:
        IPv4Address(netmask)
    except ValueError:
        reading.fault(f"netmask must be like 255.255.255.0, not {netmask!r}", line)
    return netmask


def _check(scope: Scope, port: int, reading: Reading) -> Check:
    kind, connects = _check_type(scope)
    service = scope.text("service") or _SERVICE_OF.get(port, "none")
    login, password = _credentials(scope, reading)
    return Check(
        type=kind,
        connects=connects,
        service=service,
        port=scope.number("checkport"),
        command=scope.string("checkcommand"),
        request=with_slash(scope.string("request")) or "/",
        receive=scope.string("receive"),
        http_method=scope.string("httpmethod"),
        virtual_host=scope.text("virtualhost"),
        login=login,
        password=password,
        database=scope.string("database"),
        secret=scope.string("secret"),
        check_timeout_s=_timeout(scope, "checktimeout", "negotiatetimeout", 5),
        negotiate_timeout_s=_timeout(scope, "negotiatetimeout", "checktimeout", 30),
        interval_s=scope.count("checkinterval"),
        ping_count=scope.count("checkcount"),
        failure_count=scope.count("failurecount"),
        rise_count=scope.count("risecount"),
        flap_count=scope.count("flapcount"),
        flap_out=scope.flag("flapout"),
        jitter_percent=scope.count("jitter"),
        verify_cert=scope.flag("verify_cert"),
        ca_file=scope.text("ca_file"),
        sni=scope.text("sni"),
        dns_type=scope.text("dnstype"),
        through_vip=scope.flag("check_through_vip"),
    )


def _check_type(scope: Scope) -> tuple[CheckType, int]:
    """Give the type and the N of a combined check; no connects at all is always negotiate."""
    connects = scope.number("checktype")
    if connects is None:
        return CheckType(scope.string("checktype")), 0
    return (CheckType.COMBINED if connects else CheckType.NEGOTIATE), connects


def _timeout(scope: Scope, name: str, stand_in: str, default: int) -> int:
    """Find a time limit: own, own stand-in, global, global stand-in, default."""
    for section in (scope.own, scope.shared):
        for wanted in (name, stand_in):
            value = section.values.get(wanted)
            if isinstance(value, int):
                return value
    return default


def _credentials(scope: Scope, reading: Reading) -> tuple[str, str]:
    """Give login and password; ftp and sip have defaults, but only when written out."""
    login, password = scope.string("login"), scope.string("passwd")
    nobody = f"ldirectord@{reading.host_name}"
    match scope.text("service"):
        case "ftp":
            return login or "anonymous", password or nobody
        case "sip":
            return login or nobody, password
    return login, password


def _fallback(section: Section, shared: Section, port: int) -> Fallback | None:
    """Take its own fallback, else the global one of its family, for firewall marks too."""
    family = section.target.family
    for place in (section, shared):
        if family in place.spares:
            spare = place.spares[family]
            return None if spare is None else spare.of(port)
    return None


def _alert(scope: Scope) -> Alert:
    return Alert(
        to=scope.words("emailalert"),
        frequency_s=scope.count("emailalertfreq"),
        status=frozenset(scope.words("emailalertstatus")),
        sender=scope.text("emailalertfrom"),
        smtp=scope.text("smtp"),
    )


def _need_persistence(virtual: Virtual, reading: Reading) -> None:
    if virtual.address is not None and virtual.port == 0 and virtual.persistent_s is None:
        reading.fault(
            f"{virtual.name} is every port and needs persistence: add persistent=300", virtual.line
        )


def _hold_together(virtual: Virtual, reading: Reading) -> None:
    """Tell of what would bite at run time."""
    if virtual.netmask is not None and virtual.persistent_s is None:
        reading.note("netmask does nothing without persistent", virtual.line_of("netmask"))
    if virtual.scheduler not in LOAD_SCHEDULERS and "slow_start" in dict(virtual.lines):
        reading.note(
            f"slow_start does nothing under {virtual.scheduler}: it needs"
            f" {one_of(LOAD_SCHEDULERS)}",
            virtual.line_of("slow_start"),
        )
    if virtual.real and not any(real.weight for real in virtual.real):
        reading.note(
            f"all real servers of {virtual.name} have weight 0: it serves nobody", virtual.line
        )
    if virtual.fallback is not None:
        spare = virtual.fallback
        if any(real.address == spare.address for real in virtual.real):
            reading.note(
                f"the fallback of {virtual.name} is one of its real servers: {spare.address}",
                spare.line,
            )


def _find_duplicates(virtuals: Iterable[Virtual], reading: Reading) -> None:
    seen: dict[object, Virtual] = {}
    for virtual in virtuals:
        key = (virtual.protocol, virtual.address, virtual.port, virtual.fwmark, virtual.ipv6)
        first = seen.setdefault(key, virtual)
        if first is not virtual:
            reading.fault(
                f"virtual service {virtual.protocol} {virtual.name} is already defined at line"
                f" {first.line}: put its real servers there",
                virtual.line,
            )
