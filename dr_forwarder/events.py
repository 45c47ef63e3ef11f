"""Events: what happens to a director, as data, and the bus that hands it round. No I/O, no clock.

Whoever wants to know (the log, e-mail, the control socket) listens to the bus. An event says what
happened in the director's own terms; `ldirectord.phrases` says it in ldirectord's words.
"""

from __future__ import annotations

import enum
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from .endpoints import Address
from .table import Drain, Key, Server

_log = logging.getLogger(__name__)

KEPT = 1000
"""So many of the last events can be looked up."""


class Phase(enum.Enum):
    """What the director is at; ldirectord's ``emailalertstatus`` goes by it."""

    STARTING = "starting"
    RUNNING = "running"
    RELOADING = "reloading"
    STOPPING = "stopping"


# ---- The table ----


class Step(enum.Enum):
    """What became of a service or a server in the table."""

    ADDED = "added"
    CHANGED = "changed"
    RESTORED = "restored"
    """The weight is that of the configuration again, or another one."""
    QUIESCENT = "quiescent"
    """Weight 0: connections go on, no new ones come."""
    READDED = "readded"
    """Put in at weight 0 because it is down (``readdquiescent``)."""
    DELETED = "deleted"
    PURGED = "purged"
    """Taken out because the configuration does not have it, or at the end."""


@dataclass(frozen=True, slots=True)
class ServiceEvent:
    """A virtual service was ADDED, CHANGED or PURGED."""

    step: Step
    service: Key


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """A server of a service was ADDED, RESTORED, QUIESCENT, READDED, DELETED or PURGED."""

    step: Step
    service: Key
    server: Server
    fallback: bool = False


@dataclass(frozen=True, slots=True)
class ChangeRefused:
    """The core did not take a change."""

    what: str
    errno: int


@dataclass(frozen=True, slots=True)
class FallbackEvent:
    """No real server of the service is up any more (``on``), or one is again.

    Comes whether the service has a fallback server or not.
    """

    service: Key
    on: bool


# ---- Health ----


@dataclass(frozen=True, slots=True)
class HealthEvent:
    """A check found a server up or down, other than before; services may share a check."""

    address: Address
    port: int
    """That is checked."""
    services: tuple[Key, ...]
    up: bool
    reason: str


@dataclass(frozen=True, slots=True)
class SoftFailure:
    """A check failed that is forgiven for now."""

    address: Address
    port: int
    services: tuple[Key, ...]
    failures: int
    """In a row."""
    failure_count: int
    """So many in a row take the server down."""
    reason: str


@dataclass(frozen=True, slots=True)
class SoftFailuresOver:
    """A check passed after failures that were forgiven."""

    address: Address
    port: int
    services: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class ServerFlapping:
    """A check goes on finding a server up and down in turn (``on``), or does not any more.

    In between nothing is told of its single changes.
    """

    address: Address
    port: int
    """That is checked."""
    services: tuple[Key, ...]
    on: bool
    changes: int
    """Within the last results."""
    held: bool
    """It gets no new connections until it does not flap any more (``flapout``)."""
    reason: str


@dataclass(frozen=True, slots=True)
class ChecksHindered:
    """Checks cannot be carried out, for a cause on this host: health stays as it is."""

    cause: str
    """And its cure."""


@dataclass(frozen=True, slots=True)
class ChecksUnhindered:
    """Every check has been carried out again since that hindered one."""

    cause: str


# ---- Orders ----


class OrderStep(enum.Enum):
    """What became of an operator's order about a server."""

    DRAINING = "draining"
    DISABLED = "disabled"
    DEADLINE = "deadline"
    """Connections that are left end now."""
    ENABLED = "enabled"


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """An operator took a server out or back, or its deadline came."""

    step: OrderStep
    service: Key
    server: Address
    then: Drain
    """How connections end."""
    left: int
    """Connections, at that time."""
    left_s: float
    """Until the deadline."""


# ---- Neighbours ----


@dataclass(frozen=True, slots=True)
class MacLearned:
    """A real server's MAC address is known; ``before`` if it was another one."""

    address: Address
    mac: bytes
    before: bytes | None = None


@dataclass(frozen=True, slots=True)
class MacConflict:
    """A second host claims a real server's address; ``mac`` still answers and is kept."""

    address: Address
    mac: bytes
    other: bytes


@dataclass(frozen=True, slots=True)
class MacRefused:
    """A claim that a real server is at a MAC address which it cannot have."""

    address: Address
    mac: bytes
    whose: str
    """Whose that MAC address is."""


@dataclass(frozen=True, slots=True)
class VipConflict:
    """Another host claims a VIP."""

    vip: Address
    mac: bytes
    blame: str
    """Who that is, and the cure."""


@dataclass(frozen=True, slots=True)
class VipLocal:
    """This host's kernel has a VIP for an address of its own; or, not ``on``, no longer."""

    vip: Address
    interface: str
    why: str
    """What that does, and the cure."""
    on: bool = True


# ---- The network under it ----


class LinkStep(enum.Enum):
    """What became of an interface that the director works on."""

    GONE = "gone"
    """Deleted, or moved to another network namespace."""
    FOUND = "found"
    """It was made, or made anew under its name; or another one has the real servers now."""
    DOWN = "down"
    """Set down, or without carrier."""
    UP = "up"
    MOVED = "moved"
    """The way out of this host may be another one: the carrier was lost and is back, a bond failed
    over, a bridge has another port."""
    RENAMED = "renamed"
    MAC = "mac"
    MTU = "mtu"
    ADDRESSES = "addresses"
    HINDERED = "hindered"
    """The director cannot work as the network is now, and goes on as it was."""
    UNHINDERED = "unhindered"


@dataclass(frozen=True, slots=True)
class LinkEvent:
    """Something became of an interface."""

    step: LinkStep
    interface: str
    detail: str = ""


# ---- Room ----


class Room(enum.Enum):
    """Where frames found none."""

    TABLE = "table"
    """For another connection, or for a fragment that waits: the verdict `table_full`."""
    UNPROVED = "unproved"
    """For connections whose client has not gone on: the oldest of them were displaced."""
    RING = "ring"
    """The kernel's, for frames that the director had not taken yet: `ring_dropped`."""


@dataclass(frozen=True, slots=True)
class FramesLost:
    """Frames found no room: the first ones, or those of a while in which it went on."""

    where: Room
    frames: int
    """Dropped; of `Room.UNPROVED` connections that were displaced, while their frames went on."""
    seconds: float
    """In which they were lost; 0 where it has just begun."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class FramesLostNoMore:
    """None were for a minute."""

    where: Room
    frames: int
    """Since it began."""


# ---- The director itself ----


@dataclass(frozen=True, slots=True)
class Started:
    """The table has been filled for the first time."""

    virtuals: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """The last event."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """A new configuration is in force."""

    path: str


@dataclass(frozen=True, slots=True)
class ReloadFailed:
    """A new configuration was not taken, and nothing has changed."""

    path: str
    reason: str


Event = (
    ServiceEvent
    | ServerEvent
    | ChangeRefused
    | FallbackEvent
    | OrderEvent
    | HealthEvent
    | SoftFailure
    | SoftFailuresOver
    | ServerFlapping
    | ChecksHindered
    | ChecksUnhindered
    | MacLearned
    | MacConflict
    | MacRefused
    | VipConflict
    | VipLocal
    | LinkEvent
    | FramesLost
    | FramesLostNoMore
    | Started
    | Stopped
    | Reloaded
    | ReloadFailed
)


@dataclass(frozen=True, slots=True)
class Happening:
    """An event, numbered and dated."""

    number: int
    """Grows by one with each event of a director; the first is 1."""
    at_s: float
    """Seconds since 1970."""
    phase: Phase
    event: Event

    @property
    def kind(self) -> str:
        """One word for programs: ``server_added``, ``soft_failure``, ``reload_failed``."""
        match self.event:
            case ServiceEvent(step):
                return f"service_{step.value}"
            case ServerEvent(step):
                return f"server_{step.value}"
            case OrderEvent(order):
                return f"order_{order.value}"
            case LinkEvent(link):
                return f"link_{link.value}"
            case VipLocal(on=on):
                return "vip_local" if on else "vip_local_over"
            case FallbackEvent(on=on):
                return "fallback_on" if on else "fallback_off"
            case HealthEvent(up=up):
                return "health_up" if up else "health_down"
            case ServerFlapping(on=on):
                return "flapping_on" if on else "flapping_off"
        name = type(self.event).__name__
        return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


Listener = Callable[[Happening], None]


class Bus:
    """Hands each event to all listeners, at once and in order, and remembers the last ones."""

    def __init__(self, clock: Callable[[], float], *, kept: int = KEPT) -> None:
        self.phase = Phase.STARTING
        self._clock = clock
        self._number = 0
        self._history: deque[Happening] = deque(maxlen=kept)
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Calls the listener with all that happens from now on; returns what ends that.

        A listener must not wait for anything: the director waits for it.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def emit(self, event: Event) -> None:
        """Something happened."""
        self._number += 1
        happening = Happening(self._number, self._clock(), self.phase, event)
        self._history.append(happening)
        for listener in tuple(self._listeners):
            try:
                listener(happening)
            except Exception:
                # Forwarding goes on whatever is wrong with those who only look.
                _log.exception("a listener failed at %s", happening.kind)

    def history(self, *, after: int = 0) -> tuple[Happening, ...]:
        """What is remembered, the oldest first, from the event after this number on."""
        return tuple(each for each in self._history if each.number > after)
