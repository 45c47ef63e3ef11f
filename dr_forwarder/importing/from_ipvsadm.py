"""From ipvsadm: the lines of `ipvsadm -S`, or a script of such commands, as a native document."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace

from .. import flags
from ..config import Mark
from ..config.model import bracketed, endpoint
from ..ipvsadm.options import HINT, UsageError, Verb
from ..ipvsadm.parse import Command, parse
from ..ipvsadm.values import Names
from ..table import HOST_MASK, Key, Server, Service, ServiceFlag
from .model import Document, Line, Report, Table, Value, VirtualTable

_NOT_DR = {"masq": "masquerading", "ipip": "a tunnel"}
_NO_MARK = "nothing says what this mark stands for: give the rules that set it (--marks FILE)"
_AT_ONCE = "a file says what is to be, and this is done at once: not taken"
_MOST_WEIGHT = 65535
_TIMEOUTS = ("timeout_tcp", "timeout_tcp_fin", "timeout_udp")


def convert(text: str, names: Names, marks: Sequence[Mark]) -> tuple[Document, tuple[Line, ...]]:
    """What ipvsadm itself would refuse is left out and told."""
    report = Report(text.split("\n"))
    table = _Table(report, frozenset(mark.mark for mark in marks))
    for number, raw in enumerate(report.texts, 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        try:
            table.take(number, parse(_words(line), names))
        except (UsageError, ValueError) as error:
            reason = "no command line of ipvsadm" if str(error) == HINT else error
            report.differs(number, f"not taken: {reason}")
    return table.document, report.lines()


def _words(line: str) -> list[str]:
    words = shlex.split(line, comments=True)
    return words[1:] if words and re.search(r"(^|/)ipvsadm$", words[0]) else words


class _Table:
    """The table that the lines so far make."""

    def __init__(self, report: Report, marks: frozenset[int]) -> None:
        self.document = Document()
        self._report = report
        self._marks = marks
        self._services: dict[Key, VirtualTable] = {}
        self._servers: dict[tuple[Key, str], Table] = {}

    def take(self, number: int, command: Command) -> None:
        """The next line; raises ValueError for one that cannot be."""
        self._report.same(number)
        match command.verb:
            case Verb.ADD_SERVICE | Verb.EDIT_SERVICE if command.service is not None:
                self._service(number, command.service, command)
            case Verb.ADD_SERVER | Verb.EDIT_SERVER if command.service and command.server:
                self._server(number, command, command.service.key, command.server)
            case Verb.SET:
                given = zip(_TIMEOUTS, command.timeouts, strict=True)
                self.document.director.values |= {name: s for name, s in given if s}
            case Verb.START_DAEMON if command.daemon is not None:
                values = self.document.director.values
                values[f"sync_{command.daemon.role}"] = command.daemon.interface
                values["sync_id"] = command.daemon.sync_id
            case Verb.CLEAR if not self._services:
                pass  # a file begins with an empty table
            case _:
                self._report.differs(number, _AT_ONCE)

    def _service(self, number: int, service: Service, command: Command) -> None:
        key = service.key
        if key.protocol == "sctp":
            raise ValueError("a file has no SCTP services; `ipvsadm -R` on the director takes them")
        if command.engine:
            self._report.differs(number, "there are no persistence engines: persistent by address")
        if key.protocol == "fwm" and int(key.address) not in self._marks:
            self._report.differs(number, _NO_MARK)
        if key.protocol == "fwm" and service.flags & ServiceFlag.ONE_PACKET:
            self._report.differs(number, "one-packet scheduling of a mark is not in a file's reach")
        table = self._services.get(key)
        if table is None:
            table = self._services[key] = VirtualTable()
            self.document.virtuals.append(table)
        table.values = _opening(key) | _scheduling(service)

    def _server(self, number: int, command: Command, key: Key, server: Server) -> None:
        service = self._services.get(key)
        if service is None:
            raise ValueError("no line before says -A of its service")
        where = endpoint(server.address, server.port) if server.port else bracketed(server.address)
        if command.method != "gate":
            how = f"{where} is reached by {_NOT_DR[command.method]}: left out"
            self._report.not_dr(number, how)
            service.remarks.append(how)
            return
        if server.weight > _MOST_WEIGHT:
            self._report.differs(number, f"a weight is at most {_MOST_WEIGHT}")
            server = replace(server, weight=_MOST_WEIGHT)
        if server.lower > server.upper:
            self._report.differs(number, "a lower threshold needs an upper one that is not less")
            server = replace(server, lower=0)
        table = self._servers.get((key, where))
        if table is None:
            table = self._servers[key, where] = Table()
            service.real.append(table)
        table.values = {"address": where} | _weighing(server)


def _opening(key: Key) -> dict[str, Value]:
    if key.protocol == "fwm":
        mark: dict[str, Value] = {"fwmark": int(key.address)}
        return mark | {"ipv6": True} if key.address.version == 6 else mark
    return {"address": endpoint(key.address, key.port), "protocol": key.protocol}


def _scheduling(service: Service) -> dict[str, Value]:
    # Nobody checks what ipvsadm puts into a table.
    values: dict[str, Value] = {"scheduler": service.scheduler, "checktype": "on"}
    if chosen := flags.shown(service.flags, scheduler=service.scheduler):
        values["schedflags"] = chosen
    if service.persistent_s is not None:
        values["persistent"] = service.persistent_s
        if service.key.address.version == 4 and service.mask != HOST_MASK:
            values["netmask"] = str(service.mask)
        elif service.key.address.version == 6:
            values["netmask"] = str(int(service.mask).bit_count())
    if service.flags & ServiceFlag.ONE_PACKET and service.key.protocol == "udp":
        values["ops"] = True
    return values


def _weighing(server: Server) -> dict[str, Value]:
    values: dict[str, Value] = {} if server.weight == 1 else {"weight": server.weight}
    if server.upper:
        values["upper"] = server.upper
    if server.lower and server.upper:
        values["lower"] = server.lower
    return values
