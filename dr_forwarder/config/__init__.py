"""Config: a configuration file, ldirectord's or native, as frozen data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from . import ldirectord, ldirectord_lines, marks, names, needs, toml
from .assemble import assemble
from .draft import Reading, Resolver, ServicePorts
from .model import (
    Address,
    Alert,
    Check,
    CheckType,
    Config,
    ConfigError,
    Fallback,
    IoMode,
    MacMode,
    Mark,
    Notice,
    Real,
    Settings,
    Virtual,
    endpoint,
)
from .support import OTHERWISE, SCHEDULERS, refuse_unsupported

__all__ = [
    "OTHERWISE",
    "SCHEDULERS",
    "Address",
    "Alert",
    "Check",
    "CheckType",
    "Config",
    "ConfigError",
    "Fallback",
    "IoMode",
    "MacMode",
    "Mark",
    "Notice",
    "Real",
    "Resolver",
    "ServicePorts",
    "Settings",
    "Virtual",
    "endpoint",
    "load",
    "load_text",
    "parse_text",
    "refuse_unsupported",
]


def load(
    path: str | Path,
    *,
    resolver: Resolver = names.resolve,
    service_ports: ServicePorts = names.service_port,
    host_name: str | None = None,
    skip_unsupported: bool = False,
    rules: str | Path | None = None,
    rules_later: bool = False,
) -> Config:
    """Read a file: ``.toml`` is the native form, anything else ldirectord's grammar.

    ``rules`` is a file of firewall rules that define marks; with ``rules_later`` a mark that
    nothing defines yet is only told of.
    """
    raw = _read(path)
    return load_text(
        _decoded(raw, path) if _native(path) else ldirectord_lines.decoded(raw),
        extra_marks=()
        if rules is None
        else marks.parse(_decoded(_read(rules), rules), file=str(rules)),
        path=path,
        resolver=resolver,
        service_ports=service_ports,
        host_name=host_name,
        skip_unsupported=skip_unsupported,
        rules_later=rules_later,
    )


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"cannot be read: {reason}", file=str(path)) from error


def load_text(
    text: str,
    *,
    path: str | Path,
    extra_marks: Sequence[Mark] = (),
    resolver: Resolver = names.resolve,
    service_ports: ServicePorts = names.service_port,
    host_name: str | None = None,
    skip_unsupported: bool = False,
    rules_later: bool = False,
) -> Config:
    """Read the text of a file; its path says which form it has.

    Raises ConfigError with all that is wrong in it.
    """
    reading = _reading(path, resolver, service_ports, host_name, skip_unsupported)
    config = _read_form(text, reading)
    config = replace(config, marks=(*config.marks, *extra_marks))
    with reading.gathering():
        config = refuse_unsupported(config, rules_later=rules_later)
    with reading.gathering():
        config = needs.hold(config, needs.HERE)
    reading.refuse()
    return config


def parse_text(
    text: str,
    *,
    path: str | Path,
    resolver: Resolver = names.resolve,
    service_ports: ServicePorts = names.service_port,
    host_name: str | None = None,
    skip_unsupported: bool = False,
) -> Config:
    """Read all that the grammar knows, also what the director does not do yet."""
    reading = _reading(path, resolver, service_ports, host_name, skip_unsupported)
    config = _read_form(text, reading)
    reading.refuse()
    return config


def _reading(
    path: str | Path,
    resolver: Resolver,
    service_ports: ServicePorts,
    host_name: str | None,
    skip_unsupported: bool,
) -> Reading:
    name = names.host_name() if host_name is None else host_name
    return Reading(str(path), resolver, service_ports, name, skip_unsupported)


def _read_form(text: str, reading: Reading) -> Config:
    form = toml if _native(reading.file) else ldirectord
    return assemble(form.read(text, reading), reading)


def _native(path: str | Path) -> bool:
    return Path(path).suffix == ".toml"


def _decoded(raw: bytes, path: str | Path) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError("must be UTF-8", file=str(path), line=line) from error
