"""Config: a configuration file, ldirectord's or native, as frozen data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from . import ldirectord, marks, names, needs, toml
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
        # ldirectord passes bytes through; TOML is UTF-8 and nothing else.
        _decoded(raw, path) if _native(path) else raw.decode("utf-8", "surrogateescape"),
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
    """Read the text of a file; its path says which form it has."""
    config = parse_text(
        text,
        path=path,
        resolver=resolver,
        service_ports=service_ports,
        host_name=host_name,
        skip_unsupported=skip_unsupported,
    )
    whole = replace(config, marks=(*config.marks, *extra_marks))
    supported = refuse_unsupported(whole, rules_later=rules_later)
    return needs.hold(supported, needs.HERE)


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
    reading = Reading(
        file=str(path),
        resolver=resolver,
        service_ports=service_ports,
        host_name=names.host_name() if host_name is None else host_name,
        skip_unsupported=skip_unsupported,
    )
    form = toml if _native(path) else ldirectord
    return assemble(form.read(text, reading), reading)


def _native(path: str | Path) -> bool:
    return Path(path).suffix == ".toml"


def _decoded(raw: bytes, path: str | Path) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError("must be UTF-8", file=str(path), line=line) from error
