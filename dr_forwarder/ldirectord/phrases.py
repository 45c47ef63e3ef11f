"""Phrases: events in the words of ldirectord's log, and of its e-mails' subjects. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from ..config.model import endpoint
from ..events import (
    Event,
    FallbackEvent,
    HealthEvent,
    Phase,
    ServerEvent,
    ServiceEvent,
    SoftFailure,
    SoftFailuresOver,
    Step,
)
from ..table import Key

_SERVICE_STEPS = {Step.ADDED: "Added", Step.CHANGED: "Changed"}
_WEIGHED = {
    Step.ADDED: "Added",
    Step.RESTORED: "Restored",
    Step.QUIESCENT: "Quiescent",
    Step.READDED: "Readd Quiescent",
}
_OCCASIONS = {Phase.STARTING: " (start)", Phase.RELOADING: " (start)", Phase.STOPPING: " (stop)"}


def phrase(event: Event, phase: Phase = Phase.RUNNING) -> str | None:
    """An event as ldirectord logs it; None for what it does not know of.

    The reason of a failure is ours: ldirectord does not log it.
    """
    match event:
        case ServiceEvent(Step.PURGED, service):
            return f"Purged virtual server{_OCCASIONS.get(phase, '')}: {service.name}"
        case ServiceEvent(step, service):
            return f"{_SERVICE_STEPS[step]} virtual server: {service.name}"
        case ServerEvent():
            return _server(event, phase)
        case HealthEvent(address, port, _, up, reason):
            state = "up" if up else "down"
            return f"Check of {endpoint(address, port)}: {state} ({reason})"
        case SoftFailure(address, port, services, failures, most, reason):
            where = f"{endpoint(address, port)} ({_services(services)})"
            return f"Soft failure real server: {where} failure {failures}/{most}: {reason}"
        case SoftFailuresOver(address, port, services):
            where = f"{endpoint(address, port)} ({_services(services)})"
            return f"Resetting soft failure count: {where}"
        case FallbackEvent(service, on):
            state = "No real server is up" if on else "A real server is up again"
            return f"{state}: {service.name}"
    return None


def _server(event: ServerEvent, phase: Phase) -> str:
    kind = "fallback" if event.fallback else "real"
    where = f"{event.server.name} ({event.service.name})"
    match event.step:
        case Step.DELETED:
            return f"Deleted {kind} server: {where}"
        case Step.PURGED:
            return f"Purged {kind} server{_OCCASIONS.get(phase, '')}: {where}"
    return f"{_WEIGHED[event.step]} {kind} server: {where} (Weight set to {event.server.weight})"


def _services(keys: Iterable[Key]) -> str:
    return ", ".join(f"{key.protocol}:{key.name}" for key in keys)
