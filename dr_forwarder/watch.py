"""Watch: what the checks' results say of each real server, and the events they are. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from .checks.model import Result, Target, target
from .config.model import Address, Config, Real, Virtual
from .config.table_keys import key_of
from .events import Bus, HealthEvent, ServerFlapping, SoftFailure, SoftFailuresOver
from .health import RESULTS, Flapping, Health
from .hindrances import Hindrances
from .table import Key

Place = tuple[Key, Address, int]
"""A real server in its service: the address and port as written."""
Maintained = Mapping[Place, str]
"""Which file takes a real server down."""
ResultListener = Callable[[Target, Result], None]


class Watch:
    """The health of every real server of one configuration."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._health: dict[Target, Health] = {}
        self._flapping: dict[Target, Flapping] = {}
        self._places: dict[Target, tuple[Place, ...]] = {}
        self._maintained: Maintained = MappingProxyType({})
        self._listeners: list[ResultListener] = []
        self._hindrances = Hindrances()

    def follow(self, config: Config) -> tuple[Target, ...]:
        """Takes another configuration, and gives its checks; the same check keeps its health."""
        places: dict[Target, list[Place]] = {}
        for virtual in config.virtuals:
            for real in virtual.real:
                places.setdefault(target(virtual, real), []).append(_place(virtual, real))
        self._places = {what: tuple(where) for what, where in places.items()}
        self._health = {what: self._health.get(what, Health()) for what in places}
        self._flapping = {
            what: flapping for what, flapping in self._flapping.items() if what in places
        }
        for event in self._hindrances.keep(self._health.keys()):
            self._bus.emit(event)
        return tuple(places)

    def result(self, what: Target, result: Result) -> bool:
        """Takes a check's result; true if its server went up or down by it."""
        before = self._health.get(what)
        if before is None:
            return False
        for listener in tuple(self._listeners):
            listener(what, result)
        for event in self._hindrances.heard(what, result, checks=len(self._health)):
            self._bus.emit(event)
        after = before.after(
            result.passed,
            result.reason,
            failure_count=what.check.failure_count,
            rise_count=what.check.rise_count,
        )
        if result.passed is None:
            self._health[what] = after
            return False
        shown = self._shown(what).up
        was = self._flapping.get(what, Flapping())
        self._health[what] = after
        self._flapping[what] = now = was.after(
            changed=before.up is not None and after.up != before.up, limit=what.check.flap_count
        )
        self._tell(what, before, after, was, now)
        return self._shown(what).up != shown

    def _tell(
        self, what: Target, before: Health, after: Health, was: Flapping, now: Flapping
    ) -> None:
        services = tuple(dict.fromkeys(self._unmaintained(what)))
        where = (what.address, what.port, services)
        if not services:
            return
        if now.on != was.on:
            held = what.check.flap_out
            reason = after.reason
            self._bus.emit(ServerFlapping(*where, now.on, now.count, held, reason))
        if now.on:
            return
        if after.up != before.up or was.on:
            self._bus.emit(HealthEvent(*where, up=after.up is True, reason=after.reason))
        elif after.up and after.failures:
            most = what.check.failure_count
            self._bus.emit(SoftFailure(*where, after.failures, most, after.reason))
        elif after.up and before.failures:
            self._bus.emit(SoftFailuresOver(*where))

    def _unmaintained(self, what: Target) -> Iterator[Key]:
        return (place[0] for place in self._places[what] if place not in self._maintained)

    def listen(self, listener: ResultListener) -> Callable[[], None]:
        """Calls the listener with each single result; returns what ends that. It must not wait."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # ---- Maintenance ----

    def maintain(self, maintained: Maintained) -> bool:
        """Takes these servers down whatever their checks say; true if that changes anything."""
        before, self._maintained = self._maintained, maintained
        if before == maintained:
            return False
        for what, places in self._places.items():
            for place in places:
                was, now = (
                    self._seen(what, before.get(place)),
                    self._seen(what, maintained.get(place)),
                )
                if was.up != now.up:
                    key, address, port = place
                    self._bus.emit(HealthEvent(address, port, (key,), now.up is True, now.reason))
        return True

    def maintained(self, virtual: Virtual, real: Real) -> bool:
        """True if a file takes this real server down."""
        return _place(virtual, real) in self._maintained

    def _seen(self, what: Target, file: str | None) -> Health:
        if file is not None:
            return Health(up=False, reason=f"in maintenance ({file})")
        return self._shown(what)

    def _shown(self, what: Target) -> Health:
        """What its checks say, unless it flaps and is to be out then."""
        health = self._health.get(what, Health())
        flapping = self._flapping.get(what)
        if flapping is None or not flapping.on:
            return health
        reason = f"flapping, {flapping.count} changes in the last {RESULTS} checks: {health.reason}"
        up = False if what.check.flap_out else health.up
        return replace(health, up=up, reason=reason)

    # ---- Looks ----

    def health(self, virtual: Virtual, real: Real) -> Health:
        """What is known of this real server."""
        return self._seen(target(virtual, real), self._maintained.get(_place(virtual, real)))

    def services(self, what: Target) -> tuple[Key, ...]:
        """Those that this check is about."""
        return tuple(place[0] for place in self._places.get(what, ()))

    @property
    def not_carried_out(self) -> int:
        """So many checks could not be."""
        return self._hindrances.count

    @property
    def all(self) -> Mapping[Target, Health]:
        """What is known of every check."""
        return self._health


def _place(virtual: Virtual, real: Real) -> Place:
    return key_of(virtual), real.address, real.port
