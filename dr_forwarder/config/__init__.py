"""Config: a configuration file, ldirectord's or native, as frozen data."""

from __future__ import annotations

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
    interface: str | None = None,
) -> Config:
    """Read a file: ``.toml`` is the native form, anything else ldirectord's grammar.

    ``rules`` is a file of firewall rules that define marks, for frames that arrive on the
    interface, if that is known (else on that of the configuration); with ``rules_later`` a mark
    that nothing defines yet is only told of.
    """
    raw = _read(path)
    if (wrong := ldirectord_lines.no_text(raw)) is not None:
        raise ConfigError(wrong[0], file=str(path), line=wrong[1])
    return load_text(
        _decoded(raw, path) if _native(path) else ldirectord_lines.decoded(raw),
        rules=None if rules is None else (str(rules), _decoded(_read(rules), rules)),
        interface=interface,
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
    rules: tuple[str, str] | None = None,
    interface: str | None = None,
    resolver: Resolver = names.resolve,
    service_ports: ServicePorts = names.service_port,
    host_name: str | None = None,
    skip_unsupported: bool = False,
    rules_later: bool = False,
) -> Config:
    """Read the text of a file; its path says which form it has.

    ``rules`` are a file's name and text. Raises ConfigError with all that is wrong.
    """
    reading = _reading(path, resolver, service_ports, host_name, skip_unsupported)
    config = _read_form(text, reading)
    known = interface or config.settings.interface
    found = marks.Found()
    with reading.gathering():
        found = marks.read(rules[1], file=rules[0], interface=known) if rules else found
    config = replace(config, marks=(*config.marks, *found.marks))
    with reading.gathering():
        # Rules with an error say nothing of what they would have defined.
        later = rules_later or (
            rules is not None and any(e.file == rules[0] for e in reading.errors)
        )
        config = refuse_unsupported(config, rules_later=later)
    with reading.gathering():
        config = needs.hold(config, needs.HERE)
    reading.refuse()
    return replace(config, notices=(*config.notices, *found.notices))


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
