"""Hindrances: what keeps checks from being carried out, said once and when it is over. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Final

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


SETTLING_S: Final = 3.0
"""After a link came back: Linux asks for a neighbour's MAC address three times, a second apart, and
fails all that wait for it then, also what began after the first request was lost."""
BLOCKED_S: Final = 35.0
"""After a link came back: a switch port passes nothing for 30 s where the spanning tree listens and
learns for 15 s each (IEEE 802.1D); then the check that follows has to pass."""


@dataclass(slots=True)
class LinkTrouble:
    """Whether checks failed because the director's own interface was in trouble meanwhile.

    While it is down or gone, and shortly after, no failure is a server's. After it came back,
    the switch may still block its port; and while the director only cannot work as the network is
    (its address was taken away, say, and servers are asked by some other way), nothing may come
    through. Then none is as long as no check of the same IP version has passed since.
    """

    _until_s: float = float("-inf")
    """When it was last down or gone."""
    _told: str = ""
    _answering: set[int] = field(default_factory=set)
    """IP versions of servers that have answered since the link came back or the hindrance began."""

    def heard(self, event: LinkEvent, *, now_s: float) -> None:
        """Takes an event; what comes back has been away until now."""
        if event.step in (LinkStep.UP, LinkStep.FOUND):
            self._away(f"interface {event.interface} was down", now_s)

    def judged(self, what: Target, result: Result, link: LinkState, *, now_s: float) -> Result:
        """The same result, or one that says nothing of the server."""
        if link.state != "up":
            self._away(f"interface {link.interface} is {link.state}", now_s)
        began_s = now_s - result.duration_s
        since_s = began_s - self._until_s
        is_blocked = since_s <= BLOCKED_S
        if link.hindrance is None and not is_blocked:
            self._answering.clear()
        elif result.passed and since_s > 0:
            self._answering.add(what.address.version)
        if result.passed is not False:
            return result
        is_answering = what.address.version in self._answering
        if since_s <= SETTLING_S or (is_blocked and not is_answering):
            return replace(result, passed=None, reason=self._told)
        if link.hindrance is not None and not is_answering:
            return replace(result, passed=None, reason=link.hindrance)
        return result

    def _away(self, told: str, now_s: float) -> None:
        self._until_s, self._told = now_s, told
        self._answering.clear()
