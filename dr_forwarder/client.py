"""Client: asks and changes a running director over its Unix socket. Imports nothing slow."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence

from . import exchange, messages
from .endpoints import Address
from .errors import STARTING, NotRunning, Refused
from .link_state import LinkState
from .table import (
    Applied,
    Change,
    Connection,
    Drain,
    Key,
    Operation,
    Service,
    ServiceRow,
    Stats,
    SyncDaemon,
)

TYPE_CHECKING = False  # as in typing, whose import would take a quick command's time
if TYPE_CHECKING:
    from typing import Any

    from .orders import Member, OrderRow
    from .records import Filter, Record, Traced

_LIMIT_S = 10.0
_SILENCE_S = 30.0
"""What has no end says something more often than that."""
_SOCKET_NAME = "control"


class Client:
    """A running director, by its state directory. Each call asks anew.

    Raises NotRunning when none answers there, and Refused when it answers no.
    """

    def __init__(self, state_dir: str | os.PathLike[str]) -> None:
        self._directory = os.fspath(state_dir)
        self._path = os.path.join(self._directory, _SOCKET_NAME)

    # ---- Looks ----

    def get(self, what: str) -> Any:
        """The JSON at /v1/``what``."""
        return self._ask("GET", what)

    def lines(self, what: str, *, limit_s: float | None = _LIMIT_S) -> Iterator[bytes]:
        """The lines of JSON at /v1/``what``, as they come; waits for each at most ``limit_s``."""
        with self._reaching():
            try:
                yield from exchange.lines(self._path, f"/v1/{what}", limit_s=limit_s)
            except exchange.NoStreamError as error:
                raise _refused(error.answer, what) from error

    def services(self) -> tuple[ServiceRow, ...]:
        """The table."""
        return tuple(messages.service_row(raw) for raw in self.get("services"))

    def connections(self) -> tuple[Connection, ...]:
        """The connection table; a large one is better gone through by ``each_connection``."""
        return tuple(self.each_connection())

    def each_connection(self) -> Iterator[Connection]:
        """Entry by entry, as they come; what changes meanwhile may or may not be seen."""
        for line in self.lines("connections"):
            yield messages.connection(json.loads(line))

    def stats(self) -> Stats:
        """The counters."""
        return messages.stats(self.get("stats"))

    def timeouts(self) -> tuple[int, int, int]:
        """Seconds: established TCP, TCP after a FIN, UDP."""
        raw = self.get("timeouts")
        return raw["tcp_s"], raw["tcp_fin_s"], raw["udp_s"]

    def events(self, after: int = 0, *, follow: bool = True) -> Iterator[dict[str, Any]]:
        """What happens, as `EventLine` in docs/api.md describes it, from the event after this on.

        Without end, but for a client that is a thousand events behind: that is told by a last line
        with a ``gap``. Not ``follow``: only what has happened already.
        """
        what = _with_query("events", {"after": str(after), "follow": "1" if follow else "0"})
        for line in self.lines(what, limit_s=_SILENCE_S):
            said = json.loads(line)
            if said["number"] is not None or said["gap"] is not None:
                yield said

    def trace(self, asked: Filter) -> Iterator[Traced]:
        """Records of decisions as they are made, and each second what is missing; without end."""
        from .records import query

        for line in self.lines(_with_query("trace", query(asked)), limit_s=_SILENCE_S):
            yield messages.traced(json.loads(line))

    def drops(self) -> tuple[Record, ...]:
        """The last dropped frames of each verdict, by their time."""
        return tuple(messages.record(raw) for raw in self.get("drops"))

    # ---- Changes ----

    def apply(self, changes: Sequence[Change], *, stop: bool = False) -> tuple[int, ...]:
        """Applies changes in one piece, in their order; 0 or an errno for each.

        With ``stop`` those after the first that fails are not tried: ECANCELED.
        """
        return self.apply_and_tell(changes, stop=stop).results

    def apply_and_tell(self, changes: Sequence[Change], *, stop: bool = False) -> Applied:
        """As ``apply``, with warnings of addresses that cannot be served there."""
        said = {"stop": stop, "changes": [messages.change(each) for each in changes]}
        answer = self._ask("POST", "changes", said)
        return Applied(tuple(answer["results"]), tuple(answer["warnings"]))

    def zero(self, key: Key | None = None) -> int:
        """``ipvsadm -Z``: of one service and its servers, or of all; 0, or ESRCH."""
        change = Change(Operation.ZERO_ALL, None)
        if key is not None:
            change = Change(Operation.ZERO_SERVICE, Service(key))
        return self.apply([change])[0]

    def set_timeouts(self, tcp_s: int = 0, tcp_fin_s: int = 0, udp_s: int = 0) -> None:
        """``ipvsadm --set``: seconds; 0 keeps what is."""
        said = {"tcp_s": tcp_s, "tcp_fin_s": tcp_fin_s, "udp_s": udp_s}
        self._ask("PUT", "timeouts", said)

    def reload(self) -> tuple[str, ...]:
        """Has it read its configuration file again; gives notices about the file.

        Raises Refused with file, line and reason, and changes nothing, if it cannot be used.
        """
        return tuple(self._ask("POST", "reload")["notices"])

    # ---- Orders ----

    def orders(self) -> tuple[OrderRow, ...]:
        """Which servers were taken out, and how far that is."""
        return tuple(messages.order_row(raw) for raw in self.get("orders"))

    def drain(
        self,
        server: Address,
        service: Key | None = None,
        *,
        deadline_s: int = 600,
        then: Drain = Drain.RESET,
    ) -> tuple[Member, ...]:
        """Gives a server of one service, or of all, no new connections; gives back of which.

        Those that are left after ``deadline_s`` seconds end as ``then`` says. It holds until
        ``enable``, whatever checks, files and restarts say.
        """
        said = {"deadline_s": deadline_s, "then": then.value}
        return self._order("drain", server, service, **said)

    def disable(
        self, server: Address, service: Key | None = None, *, then: Drain = Drain.RESET
    ) -> tuple[Member, ...]:
        """The same, and its connections end at once."""
        return self._order("disable", server, service, then=then.value)

    def enable(self, server: Address, service: Key | None = None) -> tuple[Member, ...]:
        """Takes it back: checks and the file decide again."""
        return self._order("enable", server, service)

    def _order(
        self, order: str, server: Address, service: Key | None, **more: object
    ) -> tuple[Member, ...]:
        said = {"order": order, "server": str(server), **more}
        if service is not None:
            said["service"] = messages.jsonable(service)
        return tuple(messages.member(raw) for raw in self._ask("POST", "orders", said))

    # ---- Synchronisation ----

    def daemons(self) -> tuple[SyncDaemon, ...]:
        """Those that run, the master first."""
        return tuple(messages.daemon(raw) for raw in self.get("daemons"))

    def start_daemon(self, daemon: SyncDaemon) -> int:
        """0, or an errno: EEXIST, ENODEV ..."""
        return int(self._ask("POST", "daemons", messages.jsonable(daemon))["result"])

    def stop_daemon(self, role: str) -> int:
        """0, or ESRCH."""
        return int(self._ask("DELETE", f"daemons/{role}")["result"])

    def link(self) -> LinkState:
        """How it stands with the interface."""
        return LinkState(**self.get("link"))

    # ---- A pair of directors ----

    def standby(self) -> bool:
        """Whether it leaves the VIPs to another director."""
        return bool(self.get("standby")["standby"])

    def stand_by(self, *, standby: bool) -> None:
        """Has it leave the VIPs to another director, or take them over."""
        self._ask("PUT", "standby", {"standby": standby})

    # ---- The exchange ----

    def _ask(self, method: str, what: str, said: object = None) -> Any:
        body = None if said is None else json.dumps(said, separators=(",", ":")).encode()
        with self._reaching():
            path = f"/v1/{what}"
            answer = exchange.exchange(self._path, method, path, body, limit_s=_LIMIT_S)
        if answer.status not in (200, 204):
            raise _refused(answer, what)
        return json.loads(answer.body) if answer.body else None

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            raise NotRunning(
                f"{self._path}: permission denied; run as the director's user"
            ) from error
        except OSError as error:
            raise NotRunning(f"no director is running in {self._directory} ({error})") from error


def _with_query(what: str, said: Mapping[str, str]) -> str:
    if not said:
        return what
    from urllib.parse import urlencode

    return f"{what}?{urlencode(said)}"


def _refused(answer: exchange.Answer, what: str) -> NotRunning | Refused:
    try:
        said = json.loads(answer.body)
        if said["error"] == STARTING:
            return NotRunning(STARTING)
        return Refused(said["error"], status=answer.status, field=said.get("field"))
    except (ValueError, KeyError, TypeError):
        text = f"the director answers {answer.status} {answer.reason} to {what}"
        return Refused(text, status=answer.status)
