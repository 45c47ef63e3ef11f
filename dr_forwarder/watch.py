"""Watch: what the checks' results say of each real server, and the events they are. No I/O."""

from __future__ import annotations

from collections.abc import Mapping

from .checks.model import Result, Target, target
from .config.model import Config, Real, Virtual
from .events import Bus, HealthEvent, SoftFailure, SoftFailuresOver
from .health import Health
from .plan import service_of
from .table import Key


class Watch:
    """The health of every real server of one configuration."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._health: dict[Target, Health] = {}
        self._services: dict[Target, tuple[Key, ...]] = {}

    def follow(self, config: Config) -> tuple[Target, ...]:
        """Takes another configuration, and gives its checks; the same check keeps its health."""
        services: dict[Target, dict[Key, None]] = {}
        for virtual in config.virtuals:
            for real in virtual.real:
                services.setdefault(target(virtual, real), {})[service_of(virtual).key] = None
        self._services = {what: tuple(keys) for what, keys in services.items()}
        self._health = {what: self._health.get(what, Health()) for what in services}
        return tuple(services)

    def result(self, what: Target, result: Result) -> bool:
        """Takes a check's result; true if its server went up or down by it."""
        before = self._health.get(what)
        if before is None:
            return False
        after = before.after(
            result.passed,
            result.reason,
            failure_count=what.check.failure_count,
            rise_count=what.check.rise_count,
        )
        self._health[what] = after
        self._tell(what, before, after)
        return after.up != before.up

    def _tell(self, what: Target, before: Health, after: Health) -> None:
        where = (what.address, what.port, self._services[what])
        if after.up != before.up:
            self._bus.emit(HealthEvent(*where, up=after.up is True, reason=after.reason))
        elif after.up and after.failures:
            most = what.check.failure_count
            self._bus.emit(SoftFailure(*where, after.failures, most, after.reason))
        elif after.up and before.failures:
            self._bus.emit(SoftFailuresOver(*where))

    def health(self, virtual: Virtual, real: Real) -> Health:
        """What is known of this real server."""
        return self._health.get(target(virtual, real), Health())

    def services(self, what: Target) -> tuple[Key, ...]:
        """Those that this check is about."""
        return self._services[what]

    @property
    def all(self) -> Mapping[Target, Health]:
        """What is known of every check."""
        return self._health
