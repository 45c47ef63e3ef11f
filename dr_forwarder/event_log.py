"""Event log: what happens, written to the log, in ldirectord's phrases where it has them."""

from __future__ import annotations

import logging

from .config.model import endpoint
from .events import (
    ChangeRefused,
    ChecksHindered,
    ChecksUnhindered,
    Event,
    FallbackEvent,
    FramesLost,
    FramesLostNoMore,
    Happening,
    HealthEvent,
    LinkEvent,
    LinkStep,
    MacConflict,
    MacLearned,
    MacRefused,
    OrderEvent,
    OrderStep,
    Reloaded,
    ReloadFailed,
    Room,
    ServerFlapping,
    Started,
    VipConflict,
    VipLocal,
)
from .health import RESULTS
from .ldirectord.phrases import phrase

_log = logging.getLogger(__name__)

_LEVELS: dict[type, int] = {
    MacConflict: logging.WARNING,
    MacRefused: logging.WARNING,
    VipConflict: logging.WARNING,
    ChecksHindered: logging.WARNING,
    ServerFlapping: logging.WARNING,
    FramesLost: logging.WARNING,
    ChangeRefused: logging.ERROR,
    ReloadFailed: logging.ERROR,
}


_LINK = {
    LinkStep.GONE: "is gone",
    LinkStep.FOUND: "is there",
    LinkStep.DOWN: "is down",
    LinkStep.UP: "is up",
    LinkStep.MOVED: "may be at another port of the network",
    LinkStep.RENAMED: "was renamed",
    LinkStep.MAC: "has another MAC address",
    LinkStep.MTU: "has another MTU",
    LinkStep.ADDRESSES: "has other addresses",
    LinkStep.HINDERED: "cannot be used as it is now, the director goes on as it was",
    LinkStep.UNHINDERED: "can be used again",
}
_ROOM = {
    Room.TABLE: "the connection table",
    Room.UNPROVED: "the share of unproved connections",
    Room.RING: "the receive ring",
}
_LOST = {
    Room.TABLE: "frames dropped",
    Room.UNPROVED: "connections displaced",
    Room.RING: "frames dropped",
}
_MORE_ROOM = {
    Room.TABLE: "`connections` gives it more room, `drop_entry` sheds what a flood began",
    Room.UNPROVED: "it looks like a flood: clients that go on after their SYN are not touched",
    Room.RING: "the director does not keep up: give it a CPU of its own, or more `workers`",
}
_TROUBLE = {LinkStep.GONE, LinkStep.DOWN, LinkStep.HINDERED}


def level(event: Event) -> int:
    """How urgent it is."""
    match event:
        case HealthEvent(up=False) | FallbackEvent(on=True) | VipLocal(on=True):
            return logging.WARNING
        case LinkEvent(step=step) if step in _TROUBLE:
            return logging.WARNING
    return _LEVELS.get(type(event), logging.INFO)


def log(happening: Happening) -> None:
    """Writes one, whatever it is."""
    if (line := text(happening)) is not None:
        _log.log(level(happening.event), "%s", line)


def text(happening: Happening) -> str | None:
    """What happened, as one line; None for what nobody need know of."""
    event = happening.event
    match event:
        case MacLearned(address, mac):
            return f"Real server {address} is at {mac.hex(':')}"
        case MacConflict(address, mac, other):
            kept = f"{mac.hex(':')} still answers and is kept"
            return f"Real server {address}: {other.hex(':')} claims its address too; {kept}"
        case MacRefused(address, mac, whose):
            where = f"somebody says that it is at {mac.hex(':')}"
            return f"Real server {address}: {where}, which is {whose}: not believed"
        case VipLocal(vip, interface, why, on):
            over = f"VIP {vip} is no longer an address of this host's kernel (on {interface})"
            return why if on else over
        case VipConflict(vip, mac, blame):
            return f"VIP {vip} is claimed by {mac.hex(':')}: {blame}"
        case ServerFlapping(address, port, _, on, changes, held, reason):
            return _flapping(endpoint(address, port), on, changes, held, reason)
        case ChecksHindered(cause):
            return f"Checks cannot be carried out, servers stay as they are: {cause}"
        case ChecksUnhindered(cause):
            return f"Checks are carried out again: over is {cause}"
        case FramesLost(where, frames, seconds, detail):
            lately = f" in {seconds:.0f} s" if seconds else ""
            full = f"{frames} {_LOST[where]}{lately}" + (detail and f", {detail}")
            return f"No room in {_ROOM[where]}: {full}; {_MORE_ROOM[where]}"
        case FramesLostNoMore(where, frames):
            return f"Room again in {_ROOM[where]}: {frames} {_LOST[where]} in all"
        case LinkEvent(step, interface, detail):
            return f"Interface {interface} {_LINK[step]}{detail and f': {detail}'}"
        case OrderEvent():
            return _order(event)
        case ChangeRefused(what, errno):
            return f"{what}: refused: errno {errno}"
        case Started(virtuals):
            return f"Running: {virtuals} virtual servers"
        case Reloaded(path):
            return f"Reloaded {path}"
        case ReloadFailed(_, reason):
            reasons = "; ".join(reason.splitlines())
            return f"Not reloaded: the director goes on as it was: {reasons}"
    return phrase(event, happening.phase)


def _flapping(where: str, on: bool, changes: int, held: bool, reason: str) -> str:
    if not on:
        return f"Check of {where}: does not flap any more ({reason})"
    then = "it is out until then" if held else "it is in and out as its checks say"
    return (
        f"Check of {where}: flapping, {changes} changes in the last {RESULTS} checks;"
        f" no more is said until it calms down, {then} ({reason})"
    )


def _order(event: OrderEvent) -> str:
    where = f"real server: {event.server} ({event.service.name})"
    match event.step:
        case OrderStep.DRAINING:
            end = f"{event.left} connections, {event.then.value} in {event.left_s:.0f} s"
            return f"Draining {where}: {end}"
        case OrderStep.DISABLED:
            return f"Disabled {where}: {event.left} connections, {event.then.value}"
        case OrderStep.DEADLINE:
            return f"Drained {where}: {event.left} connections left, {event.then.value}"
    return f"Enabled {where}"
