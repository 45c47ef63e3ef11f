"""Terms: a configuration in ldirectord's own words, all defaults resolved. Pure."""

from __future__ import annotations

from typing import Any

from ..checks.model import target
from ..config.model import Address, CheckType, Config, Fallback, Real, Virtual, bracketed, endpoint

_PROTOCOL_OPTIONS = {"tcp": "-t", "udp": "-u", "fwm": "-f", "sctp": "--sctp-service"}


def in_terms(config: Config) -> dict[str, Any]:
    """Everything that was understood, for ``check --json``; IPv6 addresses are in brackets."""
    return {
        "globals": {name: _value(value) for name, value in config.shared},
        "virtuals": [_virtual(virtual) for virtual in config.virtuals],
    }


def service_arguments(virtual: Virtual) -> str:
    """What stands after ``ipvsadm -A``: ``-t 10.0.0.1:80 -s wrr -p 600``."""
    words = [_PROTOCOL_OPTIONS[virtual.protocol], virtual.name]
    if virtual.address is None and virtual.ipv6:
        words.append("-6")
    if virtual.one_packet:
        words.append("-o")
    words += ["-s", virtual.scheduler]
    if virtual.persistent_s is not None:
        words += ["-p", str(virtual.persistent_s)]
        if virtual.netmask is not None:
            words += ["-M", virtual.netmask]
    if virtual.scheduler_flags is not None:
        words += ["-b", virtual.scheduler_flags]
    return " ".join(words)


def _value(value: object) -> Any:
    match value:
        case bool():
            return "yes" if value else "no"
        case tuple():
            return list(value)
        case Fallback():
            return _fallback(value)
    return value


def _virtual(virtual: Virtual) -> dict[str, Any]:
    check, alert = virtual.check, virtual.alert
    return {
        "protocol": virtual.protocol,
        "server": None if virtual.address is None else bracketed(virtual.address),
        "port": virtual.port,
        "fwm": virtual.fwmark or None,
        "ipv6": virtual.ipv6,
        "service": check.service,
        "checktype": check.type.value,
        "num_connects": check.connects if check.type is CheckType.COMBINED else None,
        "checkport": check.port,
        "checkcommand": check.command,
        "virtualhost": check.virtual_host,
        "httpmethod": check.http_method,
        "request": check.request,
        "receive": check.receive,
        "login": check.login,
        "passwd": check.password,
        "database": check.database,
        "secret": check.secret,
        "scheduler": virtual.scheduler,
        "schedflags": virtual.scheduler_flags,
        "persistent": virtual.persistent_s,
        "netmask": virtual.netmask,
        "ops": _value(virtual.one_packet),
        "fallback": _fallback(virtual.fallback),
        "fallbackcommand": virtual.fallback_command,
        "checktimeout": check.check_timeout_s,
        "negotiatetimeout": check.negotiate_timeout_s,
        "checkinterval": check.interval_s,
        "failurecount": check.failure_count,
        "checkcount": check.ping_count,
        "quiescent": _value(virtual.quiescent),
        "cleanstop": _value(virtual.clean_stop),
        "monitorfile": virtual.monitor_file,
        "servicename": virtual.service_name,
        "comment": virtual.comment,
        "emailalert": list(alert.to),
        "emailalertfreq": alert.frequency_s,
        "emailalertstatus": sorted(alert.status),
        "smtp": alert.smtp,
        "ipvsadm_service_args": service_arguments(virtual),
        "real": [_real(virtual, real) for real in virtual.real],
    }


def _fallback(fallback: Fallback | None) -> dict[str, Any] | None:
    if fallback is None:
        return None
    return {"server": bracketed(fallback.address), "port": fallback.port, "forward": "gate"}


def _real(virtual: Virtual, real: Real) -> dict[str, Any]:
    asked = target(virtual, real)
    return {
        "server": bracketed(real.address),
        "port": real.port,
        "forward": "gate",
        "weight": real.weight,
        "lthreshold": real.lower,
        "uthreshold": real.upper,
        "request": virtual.check.request if real.request is None else real.request,
        "receive": asked.check.receive,
        "url": _url(asked.check.service, asked.check.request, asked.address, asked.port),
    }


def _url(service: str, request: str, address: Address, port: int) -> str:
    """A request that is a whole URL of the service is used as it is."""
    if not request.startswith("/"):
        return request
    return f"{service}://{endpoint(address, port)}{request}"
