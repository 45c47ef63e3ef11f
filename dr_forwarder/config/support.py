"""Support: what this director does not do yet, told or refused. Nothing else decides that.

Supporting something new means taking its entry away here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from .directives import CHECK_PORTS
from .model import CheckType, Config, ConfigError, Notice, Virtual

SCHEDULERS: Final[tuple[str, ...]] = ("rr", "wrr", "lc", "wlc")

_MAIL = "e-mail alerts are not sent yet"
_FOREGROUND = "the director always stays in the foreground and needs no second process"

NOT_YET: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{
            f"service={service}": f"service {service} is not checked yet:"
            " its servers count as up without a check"
            for service in sorted({*CHECK_PORTS, "simpletcp"} - {"http", "https"})
        },
        **{
            f"checktype={kind}": f"checktype {kind} is not checked yet:"
            " its servers count as up without a check"
            for kind in ("external", "external-perl")
        },
        "autoreload": "the file is not watched yet: send SIGHUP to read it again",
        "callback": "callback is not run yet",
        "emailalert": _MAIL,
        "emailalertfreq": _MAIL,
        "emailalertfrom": _MAIL,
        "emailalertstatus": _MAIL,
        "execute": "execute is not done yet: start the other configurations yourself",
        "fallbackcommand": "fallbackcommand is not run yet",
        "fork": _FOREGROUND,
        "logfile": "logs go to stderr, not to the logfile",
        "maintenancedir": "maintenancedir is not looked at yet",
        "monitorfile": "monitorfile is not written yet",
        "ops": "ops is not done yet: UDP packets of one client port stay together",
        "schedflags": "scheduler flags are not used yet",
        "smtp": _MAIL,
        "supervised": _FOREGROUND,
    }
)
"""A directive, or a directive and its value, and what happens to it instead."""


def refuse_unsupported(config: Config) -> Config:
    """Add a notice for every kind of thing not done yet; raise for what cannot be left out."""
    for virtual in config.virtuals:
        _refuse_virtual(virtual, config.path)
    if config.settings.workers != 1:
        raise ConfigError(
            f"workers must be 1, not {config.settings.workers}: one worker for now",
            file=config.path,
            line=config.line_of("workers"),
        )
    first: dict[str, int] = {}
    for what, line in sorted(_used(config), key=lambda use: use[1]):
        if what in NOT_YET:
            first.setdefault(NOT_YET[what], line)
    notices = (*config.notices, *(Notice(reason, line) for reason, line in first.items()))
    return replace(config, notices=tuple(sorted(notices, key=lambda notice: notice.line)))


def _refuse_virtual(virtual: Virtual, path: str) -> None:
    reason, line = "", virtual.line
    if virtual.address is None:
        reason = f"firewall marks are not supported yet: write ADDRESS:PORT, not {virtual.fwmark}"
    elif virtual.ipv6:
        reason = f"IPv6 virtual services are not supported yet: {virtual.name}"
    elif virtual.scheduler not in SCHEDULERS:
        *most, last = SCHEDULERS
        reason = f"scheduler must be {', '.join(most)} or {last}, not {virtual.scheduler!r}"
        line = virtual.line_of("scheduler")
    if reason:
        raise ConfigError(reason, file=path, line=line)


def _used(config: Config) -> Iterator[tuple[str, int]]:
    """Give everything that is in use and may be an entry of NOT_YET, with its line."""
    off = {
        name
        for name, on in (
            ("autoreload", config.auto_reload),
            ("fork", config.fork),
            ("supervised", config.supervised),
        )
        if not on
    }
    yield from ((name, line) for name, line in config.lines if name not in off)
    for virtual in config.virtuals:
        for name, line in virtual.lines:
            if name != "ops" or virtual.one_packet:
                yield name, line
        yield f"checktype={virtual.check.type.value}", virtual.line_of("checktype")
        if virtual.check.type in (CheckType.NEGOTIATE, CheckType.COMBINED):
            yield f"service={virtual.check.service}", virtual.line_of("service")
