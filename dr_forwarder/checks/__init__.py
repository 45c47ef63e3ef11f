"""Checks: ask one real server whether it works. What the answers mean is `health`'s business."""

from __future__ import annotations

import asyncio
import importlib
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from dr_forwarder.checks import connect, external, ping
from dr_forwarder.checks.model import (
    CheckError,
    Family,
    HindranceError,
    Result,
    Target,
    VipPath,
    hindrance,
    os_reason,
    target,
)
from dr_forwarder.config import vip_checks
from dr_forwarder.config.model import CheckType
from dr_forwarder.config.secrecy import without_passwords

if TYPE_CHECKING:
    from dr_forwarder.checks.apart import Apart

__all__ = ["APART", "AS_CONNECT", "KINDS", "MODULES", "Result", "Target", "run", "target"]

_log = logging.getLogger(__name__)

_REASON_LENGTH: Final = 200
_EXTERNAL: Final = (CheckType.EXTERNAL, CheckType.EXTERNAL_PERL)
_NEGOTIATING: Final = (CheckType.NEGOTIATE, CheckType.COMBINED)


async def run(
    target: Target,
    *,
    kind: CheckType | None = None,
    limit_s: float | None = None,
    path: VipPath | None = None,
    apart: Apart | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Result:
    """Check once. Whatever the server does, there is a Result within the check's time limit.

    What this host is to blame for is no failure of the server's: see `model.LOCAL`.

    `kind` is the turn of a combined check; `limit_s` replaces the configured limit.
    A check through the VIP needs the `path`. With `apart`, checks by programs or by libraries that
    are trusted with neither time nor memory are carried out there.
    """
    kind = kind or target.check.type
    limit_s = _limit_s(target, kind) if limit_s is None else limit_s
    family = _family(target, kind) if apart is None else _family_apart(target, kind, apart)
    if target.vip is not None:
        family = _through_vip(family, target, path)
    began_s = clock()
    passed: bool | None
    try:
        async with asyncio.timeout(limit_s):
            passed, reason = True, await family(target)
    except Exception as error:
        cause = hindrance(error)
        passed = None if cause is not None else False
        reason = _failure(error, target, limit_s) if cause is None else cause
    return Result(passed=passed, reason=_one_line(reason), duration_s=clock() - began_s)


def _failure(error: Exception, target: Target, limit_s: float) -> str:
    """What was wrong with the server."""
    match error:
        case CheckError():
            return str(error)
        # ETIMEDOUT is a TimeoutError too, but the system's own, and says so.
        case TimeoutError() if not error.errno:
            # A check that waits for something in particular lets its end say for what.
            # (Python 3.11 before 3.11.3 names it as the context alone.)
            what = str(error.__cause__ or error.__context__ or "") or "no answer"
            return f"{what} within {limit_s:g} s"
        case OSError():
            return os_reason(error)
    # A bug in one check must not end the others: this is their supervisor.
    _log.error("check of %s failed unexpectedly", target.name, exc_info=error)
    return f"{type(error).__name__}: {error}"


def _family(target: Target, kind: CheckType) -> Family:
    # A udp port cannot be connected to. ldirectord pings instead, and lets the connects of a
    # combined check pass.
    if kind is CheckType.CONNECT and target.protocol == "udp":
        return _pass if target.check.type is CheckType.COMBINED else ping.check
    if kind in _NEGOTIATING:
        return _service(target.check.service)
    return KINDS[kind]


def _family_apart(target: Target, kind: CheckType, apart: Apart) -> Family:
    if kind in _EXTERNAL:
        return partial(apart.check, kind="external")
    if kind in _NEGOTIATING and target.check.service in APART:
        return partial(apart.check, kind=target.check.service)
    return _family(target, kind)


def _through_vip(family: Family, target: Target, path: VipPath | None) -> Family:
    """The check of the same kind that goes to the VIP; one that has none stays as it is."""
    from dr_forwarder.checks import http, through_vip

    if family is not connect.check and target.check.service not in vip_checks.SERVICES:
        return family
    if path is None:
        return _no_path
    return partial(through_vip.check if family is connect.check else http.check, path=path)


async def _no_path(target: Target) -> str:
    raise HindranceError("check_through_vip works in a running director only")


def _service(service: str) -> Family:
    """The module of a service, imported when it is first checked: so are the libraries."""
    module = MODULES.get(service)
    if module is None:
        return _pass
    family: Family = importlib.import_module(f"{__name__}.{module}").check
    return family


def _limit_s(target: Target, kind: CheckType) -> float:
    check = target.check
    if kind is CheckType.PING or (kind is CheckType.CONNECT and target.protocol == "udp"):
        # ldirectord's checktimeout is for one try.
        return check.check_timeout_s * check.ping_count
    if kind in (CheckType.CONNECT, *_EXTERNAL) or check.service in AS_CONNECT:
        return check.check_timeout_s
    return check.negotiate_timeout_s


async def _pass(target: Target) -> str:
    return "not checked"


async def _off(target: Target) -> str:
    raise CheckError("checktype=off")


MODULES: Final = {
    "dns": "dns",
    "ftp": "ftp",
    "http": "http",
    "http_proxy": "http",
    "https": "http",
    "imap": "mail",
    "imaps": "mail",
    "ldap": "ldap",
    "ldaps": "ldap",
    "mysql": "sql",
    "nntp": "nntp",
    "oracle": "sql",
    "pgsql": "sql",
    "pop": "mail",
    "pops": "mail",
    "radius": "radius",
    "simpletcp": "simpletcp",
    "sip": "sip",
    "smtp": "smtp",
    "submission": "smtp",
}
"""Which module checks a service; none is not checked at all. Its first line says what is asked,
that of its `check` what passes: the reference shows both."""

APART: Final = frozenset({"ldap", "ldaps", "mysql", "oracle", "pgsql"})
"""Services whose libraries are trusted with neither time nor memory."""

AS_CONNECT: Final = frozenset({"ldap", "ldaps", "radius"})
"""Services that ldirectord gives checktimeout, not negotiatetimeout."""

KINDS: Final[dict[CheckType, Family]] = {
    CheckType.CONNECT: connect.check,
    CheckType.PING: ping.check,
    CheckType.ON: _pass,
    CheckType.OFF: _off,
    CheckType.EXTERNAL: external.check,
    CheckType.EXTERNAL_PERL: external.check,
}
"""The check of each checktype that does not negotiate."""


def _one_line(reason: str) -> str:
    """Servers write parts of a reason, so it is cut to a line that a log can hold."""
    line = without_passwords(" ".join(reason.split()))
    return "".join(c if c.isprintable() else "?" for c in line)[:_REASON_LENGTH]
