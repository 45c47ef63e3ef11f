"""Command: carries out ipvsadm's command lines on an Ipvs. Prints nothing: gives what to print."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..table import Change, Operation, Service, ServiceRow
from . import connections, listing, refusals, save
from .listing import NameOf, View
from .options import HINT, REFUSED, UsageError, Verb
from .parse import Command, parse
from .values import Names

TYPE_CHECKING = False  # as in typing, whose import would take a quick command's time
if TYPE_CHECKING:
    from .ipvs import Ipvs

VERSION = "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n"

OPERATIONS = {
    Verb.ADD_SERVICE: Operation.ADD_SERVICE,
    Verb.EDIT_SERVICE: Operation.EDIT_SERVICE,
    Verb.DELETE_SERVICE: Operation.DELETE_SERVICE,
    Verb.ADD_SERVER: Operation.ADD_SERVER,
    Verb.EDIT_SERVER: Operation.EDIT_SERVER,
    Verb.DELETE_SERVER: Operation.DELETE_SERVER,
}
_MOST_AT_ONCE = 4096
"""Lines of a saved table that are asked for together."""
_OTHER_METHODS = {"masq": "masquerading (-m)", "ipip": "tunneling (-i)"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command line printed, and how it ended."""

    status: int = 0
    out: str = ""
    error: str = ""
    lines: Iterable[str] = ()
    """More of what it printed, and much, so that it is made while it is printed."""

    @property
    def printed(self) -> str:
        """All of it."""
        return self.out + "".join(self.lines)


def run(
    words: Sequence[str], ipvs: Ipvs, names: Names, given: Callable[[], str] = lambda: ""
) -> Outcome:
    """Carries out the words after ``ipvsadm``; ``given`` reads standard input, for ``-R``."""
    try:
        command = parse(words, names)
    except UsageError as error:
        return Outcome(error.status, error=f"{error.text}\n")
    if command.verb is Verb.RESTORE:
        return _restore(given(), ipvs, names)
    return _carry_out(command, ipvs, names)


def _help() -> str:
    with open(os.path.join(os.path.dirname(__file__), "help.txt"), encoding="ascii") as file:
        return file.read()


def _say(verb: Verb) -> Outcome | None:
    if verb is Verb.HELP:
        return Outcome(out=VERSION + _help())
    return Outcome(out=VERSION) if verb is Verb.VERSION else None


# ---- Restoring ----


def _restore(given: str, ipvs: Ipvs, names: Names) -> Outcome:
    """Line by line; what the kernel refuses stops nothing, what makes no sense does.

    All lines are understood before the first is carried out, as far as the first bad one.
    """
    status, out, error = 0, "", ""
    understood = list(_understood(given, names))
    for each, outcome in _carried_out(understood, ipvs, names):
        status = outcome.status
        out += outcome.printed
        error += outcome.error
        if isinstance(each, Command) and each.verb is Verb.LIST and status:
            break  # ipvsadm ends at a service that it cannot list
    return Outcome(status, out, error)


def _carried_out(
    understood: Sequence[Command | Outcome], ipvs: Ipvs, names: Names
) -> Iterator[tuple[Command | Outcome, Outcome]]:
    """Each with its outcome; changes that follow each other are asked for together."""
    waiting: list[Command] = []
    for each in understood:
        if isinstance(each, Command) and _is_change(each):
            waiting.append(each)
            continue
        yield from _changed(waiting, ipvs)
        waiting = []
        yield each, each if isinstance(each, Outcome) else _carry_out(each, ipvs, names)
    yield from _changed(waiting, ipvs)


def _changed(commands: Sequence[Command], ipvs: Ipvs) -> Iterator[tuple[Command, Outcome]]:
    for first in range(0, len(commands), _MOST_AT_ONCE):
        some = commands[first : first + _MOST_AT_ONCE]
        numbers = ipvs.apply([_change_of(each) for each in some])
        for each, number in zip(some, numbers, strict=True):
            yield each, _outcome(each.verb, number)


def _understood(given: str, names: Names) -> Iterator[Command | Outcome]:
    for line in given.split("\n"):
        words = [word for word in line.split() if word != "ipvsadm"]
        if not words:
            continue
        try:
            command = parse(words, names)
        except UsageError as error:
            yield Outcome(error.status, error=f"{error.text}\n")
            if _ends_restoring(error):
                return
            continue
        if command.verb is Verb.RESTORE:
            yield Outcome(REFUSED, error=f"{HINT}\n")
            return
        yield command
        if command.verb in (Verb.HELP, Verb.VERSION):
            return


def _ends_restoring(error: UsageError) -> bool:
    """What popt finds later in a line than the command does not."""
    return error.status != REFUSED or error.text == HINT


# ---- One command ----


def _carry_out(command: Command, ipvs: Ipvs, names: Names) -> Outcome:
    said = _say(command.verb)
    if said is not None:
        return said
    match command.verb:
        case Verb.LIST:
            return _list(command, ipvs, names)
        case Verb.SAVE:
            return Outcome(out=save.saved(ipvs.services(), _name_of(command, names)))
        case Verb.SET:
            tcp_s, tcp_fin_s, udp_s = command.timeouts
            ipvs.set_timeouts(tcp_s=tcp_s, tcp_fin_s=tcp_fin_s, udp_s=udp_s)
            return Outcome()
        case Verb.ZERO:
            key = command.service.key if command.service is not None else None
            return _outcome(command.verb, ipvs.zero(key))
        case Verb.CLEAR:
            ipvs.apply([Change(Operation.CLEAR, None)])
            return Outcome()
        case Verb.START_DAEMON | Verb.STOP_DAEMON:
            return _drive_daemon(command, ipvs)
    return _change(command, ipvs)


def _outcome(verb: Verb, number: int) -> Outcome:
    if number == 0:
        return Outcome()
    status = 1 if verb is Verb.LIST else REFUSED
    return Outcome(status, error=f"{refusals.text(verb, number)}\n")


def _change(command: Command, ipvs: Ipvs) -> Outcome:
    if command.engine:
        return _outcome(command.verb, _without_engine(command, ipvs))
    if command.method != "gate":
        return Outcome(
            REFUSED,
            error=f"{_OTHER_METHODS[command.method]} is not done here: dr-forwarder forwards by"
            " direct routing (-g) only\n",
        )
    return _outcome(command.verb, ipvs.apply([_change_of(command)])[0])


def _is_change(command: Command) -> bool:
    """Whether all that it does is one change of the table."""
    return command.verb in OPERATIONS and not command.engine and command.method == "gate"


def _change_of(command: Command) -> Change:
    return Change(OPERATIONS[command.verb], command.service, command.server)


def _without_engine(command: Command, ipvs: Ipvs) -> int:
    """What a kernel answers that has no such persistence engine: it looks at the service first."""
    exists = bool(_rows(ipvs.services(), command.service))
    if command.verb is Verb.ADD_SERVICE:
        return errno.EEXIST if exists else errno.ENOENT
    return errno.ENOENT if exists else errno.ESRCH


def _drive_daemon(command: Command, ipvs: Ipvs) -> Outcome:
    assert command.daemon is not None
    if command.verb is Verb.START_DAEMON:
        return _outcome(command.verb, ipvs.start_daemon(command.daemon))
    return _outcome(command.verb, ipvs.stop_daemon(command.daemon.role))


# ---- Listing ----


def _name_of(command: Command, names: Names) -> NameOf:
    return listing.numeric if "numeric" in command.given else listing.named(names)


def _list(command: Command, ipvs: Ipvs, names: Names) -> Outcome:
    given, name_of = command.given, _name_of(command, names)
    if "connection" in given:
        persistent = "persistent-conn" in given
        entries = ipvs.connections()
        return Outcome(lines=connections.lines(entries, name_of=name_of, persistent=persistent))
    if "timeout" in given:
        return Outcome(out=listing.timeouts(ipvs.timeouts()))
    if "daemon" in given:
        return Outcome(out=listing.daemons(ipvs.daemons()))
    rows = _rows(ipvs.services(), command.service)
    if not rows and command.service is not None:
        return _outcome(Verb.LIST, errno.ESRCH)
    text = listing.table(
        rows,
        view=next((view for view in View if view.value in given), View.PLAIN),
        exact="exact" in given,
        name_of=name_of,
        in_order="nosort" not in given,
        with_version=command.service is None,
    )
    return Outcome(out=text)


def _rows(rows: Sequence[ServiceRow], service: Service | None) -> Sequence[ServiceRow]:
    if service is None:
        return rows
    return [row for row in rows if row.service.key == service.key]
