"""Needs: what a check cannot do without, refused or told when the file is read. Pure."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from . import names, vip_checks
from .directive import Value
from .model import CheckType, Config, ConfigError, Notice, Settings, Virtual

EXTRA: Final = "dr-forwarder[checks]"
LOOK: Final = "dr-forwarder[look]"

LIBRARIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "dns": "dns",
        "ldap": "ldap3",
        "ldaps": "ldap3",
        "mysql": "aiomysql",
        "oracle": "oracledb",
        "pgsql": "asyncpg",
        "radius": "pyrad",
    }
)
"""The module that the check of a service imports; the others need nothing of the extra."""

SQL: Final = ("mysql", "oracle", "pgsql")
TLS: Final = ("https", "imaps", "ldaps", "pops", "http_proxy")
FACILITIES: Final = (
    *("auth", "authpriv", "console", "cron", "daemon", "ftp", "kern", "local0", "local1", "local2"),
    *("local3", "local4", "local5", "local6", "local7", "lpr", "mail", "news", "ntp", "security"),
    *("solaris-cron", "syslog", "user", "uucp"),
)
"""Of syslog, as Python names them."""
_IS_DIRECTORY: Final = os.strerror(errno.EISDIR).lower()
_NEGOTIATING: Final = (CheckType.NEGOTIATE, CheckType.COMBINED)
_EXTERNAL: Final = (CheckType.EXTERNAL, CheckType.EXTERNAL_PERL)


@dataclass(frozen=True, slots=True)
class Host:
    """What is asked of this machine."""

    installed: Callable[[str], bool]
    """Whether a Python module can be imported."""
    unreadable: Callable[[str], str]
    """Why a file cannot be read; empty if it can."""


HERE: Final = Host(names.installed, names.unreadable)


def hold(config: Config, host: Host) -> Config:
    """Add a notice for every check that must fail as it is written.

    Raises ConfigError for all that cannot even be begun here.
    """
    if errors := list(_errors(config, host)):
        raise ConfigError.of_all(errors)
    notices = list(config.notices)
    if reason := _no_directory(config, host):
        notices.append(Notice(reason, config.line_of("maintenancedir")))
    for virtual in config.virtuals:
        notices += (Notice(reason, virtual.line_of(name)) for name, reason in _failures(virtual))
    return replace(config, notices=tuple(sorted(notices, key=lambda notice: notice.line)))


def _errors(config: Config, host: Host) -> Iterator[ConfigError]:
    if reason := metrics_missing(config.settings, host):
        yield ConfigError(reason, file=config.path, line=config.line_of("listen"))
    if reason := _no_log(config):
        yield ConfigError(reason, file=config.path, line=config.line_of("logfile"))
    for virtual in config.virtuals:
        for name, reason in _refusals(virtual, host):
            line = dict(virtual.lines).get(name) or config.line_of(name) or virtual.line
            yield ConfigError(reason, file=config.path, line=line)


def metrics_missing(settings: Settings, host: Host) -> str:
    """Say what ``listen`` lacks here, and the cure; nothing if it lacks nothing."""
    if settings.listen is None or host.installed("prometheus_client"):
        return ""
    return (
        "listen needs the Python library prometheus_client, which is not installed:"
        f" pip install '{LOOK}'"
    )


def _no_log(config: Config) -> str:
    where = config.log_file
    if where.startswith("/") or where in FACILITIES:
        return ""
    known = ", ".join(FACILITIES)
    return f"logfile must be an absolute path or a syslog facility ({known}), not {where!r}"


def _no_directory(config: Config, host: Host) -> str:
    if config.maintenance_dir is None:
        return ""
    why = host.unreadable(config.maintenance_dir) or "it is no directory"
    if why == _IS_DIRECTORY:
        return ""
    return f"maintenancedir {config.maintenance_dir}: {why}; nobody is in maintenance"


def _refusals(virtual: Virtual, host: Host) -> Iterator[tuple[str, str]]:
    """Give a directive and what is wrong."""
    check = virtual.check
    if check.type in _EXTERNAL:
        try:
            if not shlex.split(check.command):
                yield "checkcommand", "checkcommand is empty: write the path of a program"
        except ValueError as error:
            yield "checkcommand", f"checkcommand cannot be taken apart ({error}): close its quotes"
    if check.type not in _NEGOTIATING:
        return
    library = LIBRARIES.get(check.service)
    if library is not None and not host.installed(library):
        yield (
            "service",
            f"service {check.service} needs the Python library {library}, which is not installed:"
            f" pip install '{EXTRA}'",
        )
    if check.ca_file is not None and check.verify_cert and (why := host.unreadable(check.ca_file)):
        yield "ca_file", f"ca_file {check.ca_file} cannot be read: {why}"


def _failures(virtual: Virtual) -> Iterator[tuple[str, str]]:
    """Give a directive and why its servers will always be down, or why it does nothing."""
    check = virtual.check
    if check.through_vip and (why := vip_checks.obstacle(virtual)):
        yield "check_through_vip", f"check_through_vip does nothing here: {why}"
    if check.type not in _NEGOTIATING:
        return
    service = check.service
    requests = {check.request if real.request is None else real.request for real in virtual.real}
    if service in SQL and ("/" in requests or not check.login):
        yield "service", f"service {service} needs login and request: its servers are down"
    if service == "oracle" and not check.database:
        yield "service", "service oracle needs database, the SID: its servers are down"
    if service == "http_proxy" and any(not _is_url(request) for request in requests):
        yield (
            "request",
            'service http_proxy needs request="http://HOST/...": its servers are down',
        )
    if service == "radius" and not (check.login and check.secret):
        yield "service", "service radius needs login, passwd and secret: its servers are down"
    if service == "dns" and "/" in requests:
        yield "request", "service dns without request asks for the name servers of the root"
    if service not in TLS:
        ours: dict[str, Value | None] = {"sni": check.sni, "verify_cert": check.verify_cert}
        for name in (name for name, value in ours.items() if value and name in dict(virtual.lines)):
            yield name, f"{name} does nothing with service {service}, which is not TLS"
    if check.ca_file is not None and not check.verify_cert:
        yield "ca_file", "ca_file does nothing without verify_cert=yes"


def _is_url(request: str) -> bool:
    return request.removeprefix("/").startswith(("http://", "https://"))
