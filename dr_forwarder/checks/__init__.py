"""Checks: ask one real server whether it works. What the answers mean is `health`'s business."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from dr_forwarder.checks import connect, http, ping
from dr_forwarder.checks.model import CheckError, Family, Result, Target, os_reason, target
from dr_forwarder.config.model import CheckType

__all__ = ["Result", "Target", "run", "target"]

_log = logging.getLogger(__name__)

_REASON_LENGTH: Final = 200


async def run(
    target: Target,
    *,
    kind: CheckType | None = None,
    limit_s: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Result:
    """Check once. Whatever the server does, there is a Result within the check's time limit.

    `kind` is the turn of a combined check; `limit_s` replaces the configured limit.
    """
    family = _family(target, kind or target.check.type)
    limit_s = _limit_s(target, family) if limit_s is None else limit_s
    began_s = clock()
    try:
        async with asyncio.timeout(limit_s):
            passed, reason = True, await family(target)
    except CheckError as error:
        passed, reason = False, str(error)
    except OSError as error:
        passed = False
        # ETIMEDOUT is a TimeoutError too, but the system's own, and says so.
        ours = isinstance(error, TimeoutError) and not error.errno
        reason = f"no answer within {limit_s:g} s" if ours else os_reason(error)
    except Exception as error:
        # A bug in one check must not end the others: this is their supervisor.
        _log.exception("check of %s failed unexpectedly", target.name)
        passed, reason = False, f"{type(error).__name__}: {error}"
    return Result(passed=passed, reason=_one_line(reason), duration_s=clock() - began_s)


def _family(target: Target, kind: CheckType) -> Family:
    # A udp port cannot be connected to. ldirectord pings instead, and lets the connects of a
    # combined check pass.
    if kind is CheckType.CONNECT and target.protocol == "udp":
        return _pass if target.check.type is CheckType.COMBINED else ping.check
    if kind in (CheckType.NEGOTIATE, CheckType.COMBINED):
        return _SERVICES.get(target.check.service, _not_yet)
    return _KINDS[kind]


def _limit_s(target: Target, family: Family) -> float:
    check = target.check
    if family is ping.check:
        # ldirectord's checktimeout is for one try.
        return check.check_timeout_s * check.ping_count
    if family is connect.check:
        return check.check_timeout_s
    return check.negotiate_timeout_s


async def _pass(target: Target) -> str:
    return "not checked"


async def _off(target: Target) -> str:
    raise CheckError("checktype=off")


async def _not_yet(target: Target) -> str:
    """Everything that cannot be checked yet passes; the configuration gives notice of it."""
    check = target.check
    if check.type in (CheckType.EXTERNAL, CheckType.EXTERNAL_PERL):
        return f"checktype {check.type.value} is not checked yet"
    return f"service {check.service} is not checked yet"


_SERVICES: Final[dict[str, Family]] = {
    "http": http.check,
    "https": http.check,
    "none": _pass,
}

_KINDS: Final[dict[CheckType, Family]] = {
    CheckType.CONNECT: connect.check,
    CheckType.PING: ping.check,
    CheckType.ON: _pass,
    CheckType.OFF: _off,
    CheckType.EXTERNAL: _not_yet,
    CheckType.EXTERNAL_PERL: _not_yet,
}


def _one_line(reason: str) -> str:
    """Servers write parts of a reason, so it is cut to a line that a log can hold."""
    line = " ".join(reason.split())
    return "".join(c if c.isprintable() else "?" for c in line)[:_REASON_LENGTH]
