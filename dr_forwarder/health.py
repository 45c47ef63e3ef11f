"""Health: what a run of check results means. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

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


RESULTS: Final = 20
"""So many of the last results of a server say whether it flaps."""


@dataclass(frozen=True, slots=True)
class Flapping:
    """Whether a server goes up and down again and again.

    It does from `limit` changes within its last `RESULTS` results on, until no more than a third
    of them are left.
    """

    on: bool = False
    changes: int = 0
    """A bit for each result, the last one lowest: whether it took the server up or down."""

    @property
    def count(self) -> int:
        """Changes within the last results."""
        return self.changes.bit_count()

    def after(self, *, changed: bool, limit: int) -> Flapping:
        """One result later; with a limit of 0 no server flaps."""
        changes = (self.changes << 1 | changed) & ((1 << RESULTS) - 1)
        count = changes.bit_count()
        on = limit > 0 and (count > limit // 3 if self.on else count >= limit)
        return Flapping(on, changes)


def next_type(check: Check, *, passes: int) -> CheckType:
    """Which check is due after so many passes in a row: only a combined check's type changes.

    It negotiates, then connects N times, then negotiates again; after any failure it negotiates.
    """
    if check.type is not CheckType.COMBINED:
        return check.type
    turn = passes % (check.connects + 1)
    return CheckType.NEGOTIATE if turn == 0 else CheckType.CONNECT
