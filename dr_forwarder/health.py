"""Health: what a run of check results means. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dr_forwarder.config.model import Check, CheckType


@dataclass(frozen=True, slots=True)
class Health:
    """Down after `failure_count` failures in a row, up again after `rise_count` successes.

    A server is unknown until its first result, which decides alone: failures are only forgiven
    to a server that has worked.
    """

    up: bool | None = None
    """None: not checked yet, and so not to be given traffic."""
    failures: int = 0
    """In a row; more than 0 while still up is what ldirectord calls a soft failure."""
    successes: int = 0
    """In a row, of a server that is still down."""
    reason: str = "not checked yet"
    hindrance: str | None = None
    """Why its last check could not be carried out; then all else is what the one before found."""

    def after(
        self, passed: bool | None, reason: str, *, failure_count: int, rise_count: int = 1
    ) -> Health:
        """The health one result later; the caller compares ``up`` to see a transition."""
        if passed is None:
            return replace(self, hindrance=reason)
        if passed:
            successes = self.successes + 1
            if self.up is False and successes < rise_count:
                return Health(up=False, successes=successes, reason=reason)
            return Health(up=True, reason=reason)
        failures = self.failures + 1
        forgiven = self.up is True and failures < failure_count
        return Health(up=forgiven, failures=failures, reason=reason)


def next_type(check: Check, *, passes: int) -> CheckType:
    """Which check is due after so many passes in a row: only a combined check's type changes.

    It negotiates, then connects N times, then negotiates again; after any failure it negotiates.
    """
    if check.type is not CheckType.COMBINED:
        return check.type
    turn = passes % (check.connects + 1)
    return CheckType.NEGOTIATE if turn == 0 else CheckType.CONNECT
