"""From keepalived: the virtual servers of a keepalived.conf as a native document.

VRRP, its scripts and notifications are another program's: told of, and not taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from ..config import Mark
from ..config.model import bracketed
from . import keepalived_blocks, keepalived_checks, keepalived_globals
from .keepalived_blocks import Statement, not_taken
from .keepalived_checks import CHECKERS, FOREIGN, Checked, seconds, take_retry
from .keepalived_targets import Targets
from .model import Document, Line, Report, Table, Value, VirtualTable

_INTERVAL_S = 60
"""Seconds between two checks, where no delay_loop says otherwise."""
_PERSISTENT_S = 360
_METHODS = {"NAT": "masquerading", "TUN": "a tunnel"}
_VRRP = (
    "VRRP goes on beside the director, without the virtual addresses, which the director"
    " announces itself; notify_master runs `dr-forwarder takeover`, notify_backup `dr-forwarder"
    " standby`"
)
_NOTIFY = "nothing is run for a single server; fallbackcommand, when the last one goes"
_QUORUM = "write fallbackcommand, which is run with start or stop"
_NOT_TAKEN = {
    "persistence_engine": "there are no persistence engines: persistent goes by the address",
    "ha_suspend": "a director that stands by checks its servers all the same",
    "omega": "nothing is run for servers at the end",
    "sorry_server_inhibit": "the fallback is in the table only while it is needed",
    "delay_before_retry": "a failed check is repeated after checkinterval",
    "warmup": "checks are spread over their interval anyway",
    "notify_up": _NOTIFY,
    "notify_down": _NOTIFY,
    "quorum_up": _QUORUM,
    "quorum_down": _QUORUM,
}
_FLAGS = ("flag-1", "flag-2", "flag-3", "sh-port", "sh-fallback", "mh-port", "mh-fallback")


def convert(text: str, file: str, marks: Sequence[Mark]) -> tuple[Document, tuple[Line, ...]]:
    """Raises ConfigError where the blocks do not match or an address is none."""
    report = Report(text.split("\n"))
    statements = keepalived_blocks.parse(text, file)
    groups = {each.value: each for each in statements if each.keyword == "virtual_server_group"}
    known = frozenset(mark.mark for mark in marks)
    reader = _Reader(report, Targets(report, file, groups, known))
    for statement in statements:
        reader.take(statement)
    return reader.document, report.lines()


@dataclass(slots=True)
class _Settings:
    """What a virtual server says, as far as its real servers need it."""

    values: dict[str, Value]
    method: str = "NAT"
    spare_method: str | None = None


class _Reader:
    """One file on its way into a document."""

    def __init__(self, report: Report, targets: Targets) -> None:
        self.document = Document()
        self._report = report
        self._targets = targets

    def take(self, statement: Statement) -> None:
        match statement.keyword:
            case "virtual_server":
                self._virtual(statement)
            case "virtual_server_group":
                self._report.same(statement.line)
            case "global_defs":
                keepalived_globals.take(statement, self.document, self._report)
            case "SSL":
                self._all(statement, "checks show no certificate of their own")
            case "include" | "includea" | "includeb" | "includem" | "includer" | "includew":
                self._all(statement, "import that file by itself")
            case word if word.startswith("@"):
                self._all(statement, "lines for one of several hosts; import without @")
            case word if word.startswith(("vrrp", "static", "garp", "bfd", "track", "linkbeat")):
                self._all(statement, _VRRP)
            case _:
                self._all(statement, "there is nothing like it")

    def _all(self, statement: Statement, how: str) -> None:
        not_taken(statement, how, self._report)

    # ---- Virtual servers ----

    def _virtual(self, statement: Statement) -> None:
        self._report.same(statement.line)
        settings = self._settings(statement)
        tables = [VirtualTable(each) for each in self._targets.of(statement)]
        reals = [each for each in statement.block if each.keyword == "real_server"]
        checks = [(each, keepalived_checks.checked(each, self._report)) for each in reals]
        check = keepalived_checks.common(checks, self._report)
        for table in tables:
            # What the checker says goes before what the service says.
            table.values |= settings.values | check.values
            self._request(table, check)
            self._fallback(table, statement, settings)
            for real, own in checks:
                self._real(table, real, settings, own if own.request != check.request else None)
        if check.values.get("checktype") == "on" and reals:
            self._report.differs(statement.line, "no check: its servers are up (checktype=on)")
        self.document.virtuals += tables

    def _request(self, table: VirtualTable, check: Checked) -> None:
        if check.request is not None:
            table.values["request"] = check.request
        if check.receive:
            table.values["receive"] = check.receive

    def _settings(self, statement: Statement) -> _Settings:
        found = _Settings({"scheduler": "wlc", "checkinterval": _INTERVAL_S})
        flags: list[str] = []
        for each in statement.block:
            if each.keyword in ("real_server", "sorry_server"):
                continue
            self._report.same(each.line)
            if each.keyword in _FLAGS:
                flags.append(each.keyword)
            else:
                self._setting(each, found)
        if flags:
            found.values["schedflags"] = ",".join(flags)
        return found

    def _setting(self, each: Statement, found: _Settings) -> None:
        values = found.values
        match each.keyword:
            case "lb_algo" | "lvs_sched":
                values["scheduler"] = each.value
            case "lb_kind" | "lvs_method":
                found.method = each.value
                self._note_method(each)
            case "sorry_server_lvs_method":
                found.spare_method = each.value
            case "delay_loop":
                values["checkinterval"] = seconds(each, self._report)
            case "persistence_timeout":
                values["persistent"] = seconds(each, self._report) if each.value else _PERSISTENT_S
            case "persistence_granularity":
                values["netmask"] = each.value
            case "protocol":
                self._protocol(each, values)
            case "ops":
                values["ops"] = True
            case "virtualhost":
                values["virtualhost"] = each.value
            case "retry":
                take_retry(each, values, self._report)
            case "inhibit_on_failure":
                values["quiescent"] = _is_on(each)
            case "smtp_alert" if not _is_on(each):
                values["emailalertstatus"] = ["none"]
            case "quorum":
                if each.value != "1":
                    how = "the fallback comes when no server is up, not below a weight"
                    self._report.differs(each.line, how)
            case "alpha" | "hashed" | "ip_family" | "smtp_alert":
                pass  # here nobody is up before the first check; the rest says itself
            case name:
                self._all(each, _NOT_TAKEN.get(name, "there is nothing like it"))

    def _note_method(self, each: Statement) -> None:
        if each.value in _METHODS:
            self._report.not_dr(each.line, f"{each.value} is {_METHODS[each.value]}")

    def _protocol(self, each: Statement, values: dict[str, Value]) -> None:
        if each.value.lower() in ("tcp", "udp"):
            values["protocol"] = each.value.lower()
        else:
            self._report.differs(each.line, f"{each.value} is not in a file's reach: tcp")

    # ---- Servers ----

    def _fallback(self, table: VirtualTable, statement: Statement, settings: _Settings) -> None:
        spare = statement.find("sorry_server")
        if spare is None:
            return
        where = self._server(spare)
        method = settings.spare_method or settings.method
        if self._is_direct(spare, method, where, table):
            table.values["fallback"] = where

    def _server(self, statement: Statement) -> str:
        port = (
            self._targets.number(statement.words[2], statement.line)
            if len(statement.words) > 2
            else 0
        )
        where = self._targets.endpoint(statement.value, port, statement.line)
        return where if port else bracketed(ip_address(statement.value))

    def _is_direct(
        self, statement: Statement, method: str, where: str, table: VirtualTable
    ) -> bool:
        if method == "DR":
            self._report.same(statement.line)
            return True
        how = f"{where} is reached by {_METHODS.get(method, method)}: left out"
        self._report.not_dr(statement.line, how)
        table.remarks.append(how)
        return False

    def _real(
        self, table: VirtualTable, real: Statement, settings: _Settings, own: Checked | None
    ) -> None:
        values: dict[str, Value] = {"address": self._server(real)}
        method = settings.method
        for each in real.block:
            if each.keyword in CHECKERS or each.keyword in FOREIGN:
                continue
            self._report.same(each.line)
            match each.keyword:
                case "weight":
                    values["weight"] = self._targets.number(each.value, each.line)
                case "uthreshold":
                    values["upper"] = self._targets.number(each.value, each.line)
                case "lthreshold":
                    values["lower"] = self._targets.number(each.value, each.line)
                case "lb_kind" | "lvs_method":
                    method = each.value
                    self._note_method(each)
                case "inhibit_on_failure" if _is_on(each):
                    self._for_all(table, each, "quiescent", True)
                case "virtualhost":
                    self._for_all(table, each, "virtualhost", each.value)
                case "alpha":
                    pass
                case name:
                    how = _NOT_TAKEN.get(name, "of the whole service, or not at all")
                    self._all(each, f"{how}")
        if not self._is_direct(real, method, str(values["address"]), table):
            return
        if own is not None and own.request is not None:
            values |= {"request": own.request, "receive": own.receive}
        table.real.append(Table(values))

    def _for_all(self, table: VirtualTable, each: Statement, name: str, value: Value) -> None:
        """What is a server's own in keepalived, and here the service's."""
        if table.values.setdefault(name, value) != value:
            self._report.differs(each.line, f"{name} holds for all servers of a service")


def _is_on(each: Statement) -> bool:
    return each.value.lower() not in ("off", "false", "no")
