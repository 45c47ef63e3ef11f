"""Hindrances: what keeps checks from being carried out, said once and when it is over. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from .checks.model import Result, Target
from .events import ChecksHindered, ChecksUnhindered, LinkEvent, LinkStep
from .link_state import LinkState


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


@dataclass(slots=True)
class LinkTrouble:
    """Whether checks failed because the director's own interface was in trouble meanwhile.

    While it is down or gone no failure is a server's. While the director only cannot work as the
    network is (its address was taken away, say, and servers are asked by some other way), none is
    as long as no check of the same IP version has passed since.
    """

    _until_s: float = float("-inf")
    """When it was last down or gone."""
    _told: str = ""
    _answering: set[int] = field(default_factory=set)
    """IP versions of servers that have answered although the director is hindered."""

    def heard(self, event: LinkEvent, *, now_s: float) -> None:
        """Takes an event; what comes back has been away until now."""
        if event.step in (LinkStep.UP, LinkStep.FOUND):
            self._until_s, self._told = now_s, f"interface {event.interface} was down"

    def judged(self, what: Target, result: Result, link: LinkState, *, now_s: float) -> Result:
        """The same result, or one that says nothing of the server."""
        if link.state != "up":
            self._until_s, self._told = now_s, f"interface {link.interface} is {link.state}"
        if link.hindrance is None:
            self._answering.clear()
        elif result.passed:
            self._answering.add(what.address.version)
        if result.passed is not False:
            return result
        if now_s - result.duration_s <= self._until_s:
            return replace(result, passed=None, reason=self._told)
        if link.hindrance is not None and what.address.version not in self._answering:
            return replace(result, passed=None, reason=link.hindrance)
        return result
