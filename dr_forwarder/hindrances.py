"""Hindrances: what keeps checks from being carried out, said once and when it is over. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from .checks.model import Result, Target
from .events import ChecksHindered, ChecksUnhindered


@dataclass(slots=True)
class Hindrances:
    """Of all checks of one director.

    One is over when no check meets it any more and as many as there are have been carried out
    since the last that met it: at the edge of a limit, where one check in a hundred finds no free
    descriptor, it is said once and not a hundred times.
    """

    count: int = 0
    """Checks that could not be carried out."""
    _met: dict[Target, str] = field(default_factory=dict)
    """By whose last check."""
    _carried_out: dict[str, int] = field(default_factory=dict)
    """Since a check last met it, by each that has been said."""

    def heard(
        self, what: Target, result: Result, *, checks: int
    ) -> tuple[ChecksHindered | ChecksUnhindered, ...]:
        """Takes a result, of so many checks in all; returns what there is to say."""
        if result.passed is None:
            self.count += 1
            self._met[what] = result.reason
            is_new = result.reason not in self._carried_out
            self._carried_out[result.reason] = 0
            return (ChecksHindered(result.reason),) if is_new else ()
        self._met.pop(what, None)
        for cause in self._carried_out:
            self._carried_out[cause] += 1
        return self._over(checks)

    def keep(self, present: Collection[Target]) -> tuple[ChecksUnhindered, ...]:
        """Forgets checks that are no more."""
        self._met = {what: cause for what, cause in self._met.items() if what in present}
        return self._over(len(present))

    def _over(self, checks: int) -> tuple[ChecksUnhindered, ...]:
        if not self._carried_out:
            return ()
        met = {*self._met.values()}
        over = [c for c, since in self._carried_out.items() if since >= checks and c not in met]
        for cause in over:
            del self._carried_out[cause]
        return tuple(ChecksUnhindered(cause) for cause in over)
