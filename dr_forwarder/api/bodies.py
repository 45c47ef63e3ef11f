"""Bodies: what calls are told and what they answer, where that is not the table's own data. Pure.

What a request's data cannot say by its types alone is seen to here; raises Invalid.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address
from typing import Any

from ..endpoints import Address
from ..flags import NO_FLAGS, ServiceFlag
from ..orders import DEADLINE_S, ENDINGS, Order, State
from ..records import MOST_EVERY, Filter, from_query
from ..table import HOST_MASK, Change, Drain, Key, Operation, Server, Service
from .reading import Invalid

MOST_CHANGES = 65536
_HOST_MASK_6 = IPv6Address((1 << 128) - 1)
_U31 = {"least": 0, "most": (1 << 31) - 1}
_SECONDS = {"least": 0, "most": 31 * 86400}
_FLAG_BITS = sum(ServiceFlag)

_OPERATIONS = {each.name.lower(): each for each in Operation if each is not Operation.SET_MAC}
_OF_SERVER = {Operation.ADD_SERVER, Operation.EDIT_SERVER, Operation.DELETE_SERVER}
_OF_NOTHING = {Operation.ZERO_ALL, Operation.CLEAR}


# ---- Asked ----


@dataclass(frozen=True, slots=True)
class AskedService:
    """A virtual service as it should be; to name one for its servers, ``key`` is enough."""

    key: Key
    scheduler: str = "wlc"
    persistent_s: int | None = field(default=None, metadata={**_SECONDS, "least": 1})
    mask: Address | None = None
    """Which bits of a client's address a persistence template keeps; left out: all."""
    flags: int = field(default=NO_FLAGS.value, metadata={"least": 0, "most": _FLAG_BITS})
    """4: one packet; 8, 16, 32: the scheduler's three flags."""
    slow_start_s: int = field(default=0, metadata={"least": 0, "most": 3600})

    def read(self, at: str) -> Service:
        """As the table has it."""
        if self.flags & ~_FLAG_BITS:
            raise Invalid(f"{at}.flags", "has bits that are no flags of a service")
        version = self.key.address.version
        mask = self.mask or (HOST_MASK if version == 4 else _HOST_MASK_6)
        if mask.version != version:
            raise Invalid(f"{at}.mask", f"must be an IPv{version} mask")
        return Service(
            self.key,
            self.scheduler,
            self.persistent_s,
            mask,
            ServiceFlag(self.flags),
            self.slow_start_s,
        )


@dataclass(frozen=True, slots=True)
class AskedServer:
    """A real server as it should be; what is left out is the default, also of one that is there."""

    address: Address
    port: int | None = field(default=None, metadata={"least": 0, "most": 65535})
    """Left out: the service's."""
    weight: int = field(default=1, metadata=_U31)
    upper: int = field(default=0, metadata=_U31)
    """Of its connections, from where it gets no more; 0: no limit."""
    lower: int = field(default=0, metadata=_U31)
    """Below which it gets some again; 0: three quarters of ``upper``."""

    def read(self, at: str, service: Service) -> Server:
        """As the table has it."""
        if self.address.version != service.key.address.version:
            raise Invalid(f"{at}.address", "must be of the service's address family")
        port = service.key.port if self.port is None else self.port
        return Server(self.address, port, self.weight, self.upper, self.lower)


@dataclass(frozen=True, slots=True)
class AskedChange:
    """One change of the table."""

    operation: str = field(metadata={"choices": tuple(_OPERATIONS)})
    service: AskedService | None = None
    """Of all operations but ``zero_all`` and ``clear``."""
    server: AskedServer | None = None
    """Of ``add_server``, ``edit_server`` and ``delete_server``."""

    def read(self, at: str) -> Change:
        """As the director does it."""
        operation = _OPERATIONS[self.operation]
        if operation in _OF_NOTHING:
            return Change(operation, None)
        service = _given(self.service, f"{at}.service").read(f"{at}.service")
        if operation not in _OF_SERVER:
            return Change(operation, service)
        server = _given(self.server, f"{at}.server")
        return Change(operation, service, server.read(f"{at}.server", service))


def _given(what: Any, at: str) -> Any:
    if what is None:
        raise Invalid(at, "must be an object")
    return what


@dataclass(frozen=True, slots=True)
class AskedChanges:
    """Changes that are made in one piece, in their order: no packet sees half of them."""

    changes: tuple[AskedChange, ...] = field(metadata={"most": MOST_CHANGES})
    stop: bool = False
    """Whether those after the first that fails are not tried, and answered ECANCELED."""

    def read(self) -> tuple[Change, ...]:
        """As the director does them."""
        return tuple(each.read(f"changes[{i}]") for i, each in enumerate(self.changes))


@dataclass(frozen=True, slots=True)
class AskedOrder:
    """What an operator wants of a server."""

    order: str = field(metadata={"choices": ("drain", "disable", "enable")})
    server: Address
    service: Key | None = None
    """Left out: all services that have the server."""
    deadline_s: int | None = field(default=None, metadata=_SECONDS)
    """From now on; left out: 600. Of ``drain`` only."""
    then: str = field(
        default=Drain.RESET.value, metadata={"choices": tuple(each.value for each in ENDINGS)}
    )
    """What becomes of connections that are left at the deadline."""

    def read(self) -> int:
        """How long its connections may go on, seconds."""
        if self.order == "drain":
            return DEADLINE_S if self.deadline_s is None else self.deadline_s
        if self.deadline_s is not None:
            raise Invalid("deadline_s", "goes with drain only")
        return 0


_NUMBER = {"least": 0, "most": MOST_EVERY}


@dataclass(frozen=True, slots=True)
class AskedTrace:
    """Which frames are told of: those for which all of this holds; left out: any."""

    client: str | None = None
    """An address, or a network: `10.0.0.0/8`."""
    service: str | None = None
    """`10.0.0.1`, `10.0.0.1:80`, `udp:[fd00::1]:53`."""
    server: str | None = None
    """A real server's address."""
    verdict: str | None = None
    """One or more, with commas between."""
    first: bool = False
    """Only frames that begin a connection, or would have."""
    every: int = field(default=1, metadata={**_NUMBER, "least": 1})
    """One frame in so many."""
    per_s: int = field(default=0, metadata=_NUMBER)
    """Records a second, at most 5000; 0: 1000."""

    def read(self, verdicts: tuple[str, ...]) -> Filter:
        """As the core is asked; ``verdicts`` are those there are."""
        texts = {"client": self.client, "service": self.service, "server": self.server}
        said = {name: text for name, text in texts.items() if text is not None}
        if self.verdict is not None:
            said["verdict"] = self.verdict
        try:
            asked = from_query(said, known=verdicts)
        except ValueError as error:
            name, _, reason = str(error).partition(": ")
            raise Invalid(name, reason) from error
        return replace(asked, first_only=self.first, every=self.every, per_s=self.per_s)


# ---- Asked and answered ----


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds that connections live without a packet; in a request, 0 keeps what is."""

    tcp_s: int = field(default=0, metadata=_SECONDS)
    """Established TCP."""
    tcp_fin_s: int = field(default=0, metadata=_SECONDS)
    """TCP after a FIN."""
    udp_s: int = field(default=0, metadata=_SECONDS)


@dataclass(frozen=True, slots=True)
class Standby:
    """Whether the VIPs are another director's."""

    standby: bool


# ---- Answered ----


@dataclass(frozen=True, slots=True)
class Errno:
    """What came of it, as the kernel says it."""

    result: int
    """0, or an errno."""


@dataclass(frozen=True, slots=True)
class StandingOrder:
    """An operator's order as it is now."""

    order: Order
    state: State
    active: int
    inactive: int
    left_s: float
    """Until the deadline; 0 from then on."""
    text: str
    """In words: `draining, 3 connections left, reset in 540 s`."""


@dataclass(frozen=True, slots=True)
class ServerOfService:
    """A real server in its service."""

    service: Key
    server: Address


@dataclass(frozen=True, slots=True)
class ServerHealth:
    """What the checks say of a real server, and whether an operator has taken it out."""

    protocol: str
    """Of the virtual service; ``fwm`` for a mark."""
    virtual: str
    server: str
    """With the port that is checked."""
    up: bool | None
    """None: not checked yet, and so without traffic."""
    failures: int
    """In a row; more than 0 while still up is a soft failure."""
    successes: int
    """In a row, of a server that is still down."""
    reason: str
    hindrance: str | None = None
    """Why its last check could not be carried out, on the director's host; all else still holds."""
    order: StandingOrder | None = None


@dataclass(frozen=True, slots=True)
class Reloading:
    """A configuration that is in force now."""

    path: str
    notices: tuple[str, ...]
    """What its reader should know, with file and line."""


@dataclass(frozen=True, slots=True)
class Error:
    """What is wrong."""

    error: str
    field: str | None = None
    """Which part of the request is meant, as ``changes[3].server.weight``."""
