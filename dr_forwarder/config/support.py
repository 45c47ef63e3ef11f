"""Support: what this director does not do, or does otherwise: told or refused. Nothing else decides
that. Supporting something new means taking its entry away here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from .. import flags
from .model import Config, ConfigError, Notice, Virtual

SCHEDULERS: Final[tuple[str, ...]] = (
    *("rr", "wrr", "lc", "wlc", "sed", "nq", "sh", "dh", "mh", "fo", "ovf"),
    *("lblc", "lblcr", "twos"),
)

_UNDEFINED = (
    "firewall mark {} is defined nowhere: give the rules that set it"
    " (--marks FILE, as iptables-save or nft list ruleset prints them), or [[mark]] in TOML"
)

OTHERWISE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cleanstop=no": "cleanstop=no: nothing is forwarded while no director runs; table and"
        " connections stay in the state directory, and the next start goes on with them",
    }
)
"""A directive, or a directive and its value, and what happens to it instead."""


def nothing_served(config: Config) -> tuple[Notice, ...]:
    """Tell of a file that has no virtual service; to ldirectord it is none that is wrong."""
    if config.virtuals:
        return ()
    return (Notice("no virtual service: nothing is forwarded until dr-ipvsadm adds one"),)


def refuse_unsupported(config: Config, *, rules_later: bool = False) -> Config:
    """Add a notice for each kind of thing done otherwise; raise for all that has to be done."""
    defined = {mark.mark for mark in config.marks}
    notices = list(config.notices)
    errors: list[ConfigError] = []
    for virtual in config.virtuals:
        if virtual.address is None and virtual.fwmark not in defined:
            reason = _UNDEFINED.format(virtual.fwmark)
            if rules_later:
                notices.append(Notice(reason, virtual.line))
            else:
                errors.append(ConfigError(reason, file=config.path, line=virtual.line))
        errors += _refusals(virtual, config.path)
    if errors:
        raise ConfigError.of_all(errors)
    first: dict[str, int] = {}
    for what, line in sorted(_used(config), key=lambda use: use[1]):
        if what in OTHERWISE:
            first.setdefault(OTHERWISE[what], line)
    notices += (Notice(reason, line) for reason, line in first.items())
    return replace(config, notices=tuple(sorted(notices, key=lambda notice: notice.line)))


def _refusals(virtual: Virtual, path: str) -> Iterator[ConfigError]:
    if virtual.scheduler not in SCHEDULERS:
        *most, last = SCHEDULERS
        reason = f"scheduler must be {', '.join(most)} or {last}, not {virtual.scheduler!r}"
        yield ConfigError(reason, file=path, line=virtual.line_of("scheduler"))
    elif virtual.scheduler_flags is not None and (reason := _refuse_flags(virtual)):
        yield ConfigError(reason, file=path, line=virtual.line_of("schedflags"))


def _refuse_flags(virtual: Virtual) -> str:
    try:
        flags.parse(virtual.scheduler_flags or "", scheduler=virtual.scheduler)
    except ValueError as error:
        return str(error)
    return ""


def _used(config: Config) -> Iterator[tuple[str, int]]:
    """Give everything that is in use and may be an entry of OTHERWISE, with its line."""
    yield from config.lines
    for virtual in config.virtuals:
        yield from virtual.lines
        if not virtual.clean_stop:
            yield "cleanstop=no", virtual.line_of("cleanstop") or config.line_of("cleanstop")
