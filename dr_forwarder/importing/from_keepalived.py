"""From keepalived: the virtual servers of a keepalived.conf as a native document.

VRRP, its scripts and notifications are another program's: told of, and not taken.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from .. import flags
from ..config import SCHEDULERS, Mark
from ..config.model import ConfigError, bracketed
from . import keepalived_blocks, keepalived_checks, keepalived_globals
from .keepalived_blocks import Statement, not_taken
from .keepalived_checks import CHECKERS, FOREIGN, Checked, Habits, whole
from .keepalived_source import Include, Source
from .keepalived_targets import Targets
from .model import Document, Line, Report, Table, Value, VirtualTable

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
    "hysteresis": _QUORUM,
    "delay_before_retry": "a failed check is repeated after checkinterval",
    "warmup": "checks are spread over their interval anyway",
    "notify_up": _NOTIFY,
    "notify_down": _NOTIFY,
    "quorum_up": _QUORUM,
    "quorum_down": _QUORUM,
}
_MOST = 2**31 - 1
_MOST_WEIGHT = 65535
_SCTP = "a file has no SCTP services; `dr-ipvsadm -A --sctp-service` on the director takes them"
_LONGEST_S = 2_678_400
"""IPVS's own limit on persistence: 31 days."""
_FLAGS = ("flag-1", "flag-2", "flag-3", "sh-port", "sh-fallback", "mh-port", "mh-fallback")


def convert(
    text: str, file: str, marks: Sequence[Mark], host: str, include: Include | None
) -> tuple[Document, tuple[Line, ...]]:
    """Raises ConfigError where the blocks do not match or an address is none."""
    report = Report(text.split("\n"))
    source = Source(report, host, include)
    source.known |= {"_PWD": file.rpartition("/")[0] or ".", "_INSTANCE": host}
    try:
        statements = keepalived_blocks.parse(source.lines(text, file), file)
        groups = {each.value: each for each in statements if each.keyword == "virtual_server_group"}
        known = frozenset(mark.mark for mark in marks)
        reader = _Reader(report, Targets(report, file, groups, known))
        for statement in statements:
            reader.take(statement)
    except ConfigError as error:
        place, line = report.place(error.line)
        raise ConfigError(error.reason, file=place or file, line=line) from error
    return reader.document, report.lines()


def _is_sctp(statement: Statement) -> bool:
    """Whether it is an SCTP service; of a mark keepalived ignores the protocol."""
    said = statement.find("protocol")
    return said is not None and said.value.lower() == "sctp" and statement.value != "fwmark"


def _same_service(one: VirtualTable, other: VirtualTable) -> bool:
    names = ("address", "protocol", "fwmark", "ipv6")
    return all(one.values.get(name) == other.values.get(name) for name in names)


@dataclass(slots=True)
class _Settings:
    """What a virtual server says, as far as its real servers need it."""

    values: dict[str, Value]
    habits: Habits
    method: str = "NAT"
    spare_method: str | None = None
    flags: list[Statement] = field(default_factory=list)


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
            case word if word.startswith(("vrrp", "static", "garp", "bfd", "track", "linkbeat")):
                self._all(statement, _VRRP)
            case _:
                self._all(statement, "there is nothing like it")

    def _all(self, statement: Statement, how: str) -> None:
        not_taken(statement, how, self._report)

    # ---- Virtual servers ----

    def _virtual(self, statement: Statement) -> None:
        if _is_sctp(statement):
            self._all(statement, _SCTP)
            return
        self._report.same(statement.line)
        settings = self._settings(statement)
        tables = [VirtualTable(each) for each in self._targets.of(statement)]
        reals = [each for each in statement.block if each.keyword == "real_server"]
        checks = [
            (each, keepalived_checks.checked(each, self._report, settings.habits)) for each in reals
        ]
        check = keepalived_checks.common(checks, self._report)
        for table in tables:
            # What the checker says goes before what the service says.
            table.values |= self._fitting(table, statement, settings) | check.values
            self._request(table, check)
            self._fallback(table, statement, settings)
            for real, own in checks:
                is_other = (own.request, own.receive) != (check.request, check.receive)
                self._real(table, real, settings, own if is_other else None)
            self._tell_of_check(statement, table, check)
        if not reals:
            self._report.differs(statement.line, "keepalived ignores it: it has no real server")
        for table in tables:
            self._add(table, statement)

    def _add(self, table: VirtualTable, statement: Statement) -> None:
        if any(_same_service(table, each) for each in self.document.virtuals):
            name = table.values.get("address", f"fwmark {table.values.get('fwmark')}")
            how = f"{name} is left out: another virtual_server has it; put its servers there"
            self._report.differs(statement.line, how)
            return
        self.document.virtuals.append(table)

    def _tell_of_check(self, statement: Statement, table: VirtualTable, check: Checked) -> None:
        kind, line = check.values.get("checktype"), statement.line
        if kind == "on":
            self._report.differs(line, "no check: its servers are up (checktype=on)")
            return
        if table.values.get("protocol") == "udp" and kind == "connect":
            self._report.differs(line, "the servers of a UDP service are pinged, not connected to")
        retries = [each for each in statement.block if each.keyword == "retry"]
        if check.values.get("failurecount") != 1 and not retries:
            count = check.values.get("failurecount")
            self._report.differs(line, f"keepalived's retries are failurecount = {count}")

    def _fitting(
        self, table: VirtualTable, statement: Statement, settings: _Settings
    ) -> dict[str, Value]:
        """What is said of the service, as keepalived takes it for this target."""
        values, line = dict(settings.values), statement.line
        if "netmask" in values and ("." in str(values["netmask"])) == _is_ipv6(table):
            netmask = values.pop("netmask")
            for each in statement.block:
                if each.keyword == "persistence_granularity":
                    how = f"not taken: {netmask!r} is no netmask of this family"
                    self._report.differs(each.line, how)
        if "fwmark" in table.values:
            values.pop("protocol", None)  # keepalived takes no notice of it either
            if values.pop("ops", False):
                self._report.differs(line, "ops of a mark is not in a file's reach")
            return values
        if "protocol" not in values:
            values["protocol"] = "udp"
            self._report.differs(line, "no protocol is UDP, as to keepalived: write protocol TCP")
        if values["protocol"] != "udp" and values.pop("ops", False):
            self._report.differs(line, "ops is for UDP alone, as to keepalived")
        if str(table.values["address"]).endswith(":0") and "persistent" not in values:
            values["persistent"] = _PERSISTENT_S
            self._report.differs(line, "every port needs persistence: that of keepalived")
        return values

    def _request(self, table: VirtualTable, check: Checked) -> None:
        if check.request is not None:
            table.values["request"] = check.request
        if check.receive:
            table.values["receive"] = check.receive

    def _settings(self, statement: Statement) -> _Settings:
        habits = Habits().of(statement.block, self._report)
        values: dict[str, Value] = {"scheduler": "wlc", "checkinterval": habits.interval_s}
        if habits.failures is not None:
            values["failurecount"] = habits.failures
        found = _Settings(values, habits)
        for each in statement.block:
            if each.keyword in ("real_server", "sorry_server"):
                continue
            self._report.same(each.line)
            if each.keyword in _FLAGS:
                found.flags.append(each)
            else:
                self._setting(each, found)
        self._flags(found)
        return found

    def _flags(self, found: _Settings) -> None:
        """Those that go with the scheduler; keepalived does not take the others either."""
        names = []
        for each in found.flags:
            try:
                flags.parse(each.keyword, scheduler=str(found.values["scheduler"]))
                names.append(each.keyword)
            except ValueError as error:
                self._report.differs(each.line, f"not taken: {error}")
        if names:
            found.values["schedflags"] = ",".join(names)

    def _setting(self, each: Statement, found: _Settings) -> None:
        values = found.values
        match each.keyword:
            case "lb_algo" | "lvs_sched":
                self._scheduler(each, values)
            case "lb_kind" | "lvs_method":
                found.method = self._method(each) or found.method
            case "sorry_server_lvs_method":
                found.spare_method = self._method(each) or found.spare_method
            case "persistence_timeout":
                seconds = whole(each, 1, _LONGEST_S, self._report) if each.value else _PERSISTENT_S
                if seconds is not None:
                    values["persistent"] = seconds
            case "persistence_granularity":
                self._granularity(each, values)
            case "protocol":
                self._protocol(each, values)
            case "ops":
                values["ops"] = True
            case "virtualhost" if each.value:
                values["virtualhost"] = each.value
            case "inhibit_on_failure":
                values["quiescent"] = True  # whatever stands behind it
            case "smtp_alert" if not _is_on(each):
                values["emailalertstatus"] = ["none"]
            case "quorum":
                if each.value != "1":
                    how = "the fallback comes when no server is up, not below a weight"
                    self._report.differs(each.line, how)
            case "alpha" | "hashed" | "ip_family" | "smtp_alert":
                pass  # here nobody is up before the first check; the rest says itself
            case "delay_loop" | "retry" | "connect_timeout":
                pass  # of the habits
            case name:
                self._all(each, _NOT_TAKEN.get(name, "there is nothing like it"))

    def _scheduler(self, each: Statement, values: dict[str, Value]) -> None:
        if each.value in SCHEDULERS:
            values["scheduler"] = each.value
        else:
            how = f"not taken, as by keepalived: there is no scheduler {each.value!r}"
            self._report.differs(each.line, f"{how}; {values['scheduler']} stays")

    def _granularity(self, each: Statement, values: dict[str, Value]) -> None:
        """Alone it makes a service persistent, too."""
        is_mask = re.fullmatch(r"\d+(\.\d+){3}", each.value) is not None
        try:
            ok = bool(ip_address(each.value)) if is_mask else 1 <= int(each.value) <= 128
        except ValueError:
            ok = False
        if not ok:
            self._report.differs(each.line, f"not taken: {each.value!r} is no netmask")
            return
        values["netmask"] = each.value
        values.setdefault("persistent", _PERSISTENT_S)

    def _method(self, each: Statement) -> str | None:
        if each.value in _METHODS:
            self._report.not_dr(each.line, f"{each.value} is {_METHODS[each.value]}")
        elif each.value != "DR":
            how = f"not taken, as by keepalived: there is no method {each.value!r}"
            self._report.differs(each.line, f"{how}; it writes DR, NAT and TUN")
            return None
        return each.value

    def _protocol(self, each: Statement, values: dict[str, Value]) -> None:
        if each.value.lower() in ("tcp", "udp"):
            values["protocol"] = each.value.lower()
        elif each.value.lower() == "sctp":
            pass  # of a mark, whose protocol is nobody's concern; others are left out
        else:
            self._report.differs(
                each.line, f"not taken, as by keepalived: there is no protocol {each.value!r}"
            )

    # ---- Servers ----

    def _fallback(self, table: VirtualTable, statement: Statement, settings: _Settings) -> None:
        spare = statement.find("sorry_server")
        if spare is None:
            return
        where = self._server(spare)
        method = settings.spare_method or settings.method
        if (":" in spare.value) != _is_ipv6(table):
            self._report.differs(spare.line, "left out: it is of another family")
        elif self._is_direct(spare, method, where, table):
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
                case "weight" | "uthreshold" | "lthreshold":
                    self._weighing(each, values)
                case "lb_kind" | "lvs_method":
                    method = self._method(each) or method
                case "inhibit_on_failure" if _is_on(each):
                    self._for_all(table, each, "quiescent", True)
                case "virtualhost" if each.value:
                    self._for_all(table, each, "virtualhost", each.value)
                case "alpha" | "retry" | "connect_timeout" | "delay_loop" | "smtp_alert":
                    pass
                case name:
                    how = _NOT_TAKEN.get(name, "of the whole service, or not at all")
                    self._all(each, f"{how}")
        if not self._is_direct(real, method, str(values["address"]), table):
            return
        if ("[" in str(values["address"])) != _is_ipv6(table):
            self._report.differs(real.line, "left out, as by keepalived: it is of another family")
            return
        if any(each.values["address"] == values["address"] for each in table.real):
            self._report.differs(real.line, "left out, as by keepalived: it is there already")
            return
        if int(str(values.get("lower", 0))) > int(str(values.get("upper", 0))):
            self._report.differs(real.line, "a lower threshold needs an upper one, not less")
            del values["lower"]
        if own is not None and own.request is not None:
            values |= {"request": own.request, "receive": own.receive}
        table.real.append(Table(values))

    def _weighing(self, each: Statement, values: dict[str, Value]) -> None:
        name = {"weight": "weight", "uthreshold": "upper", "lthreshold": "lower"}[each.keyword]
        number = whole(each, 0, _MOST, self._report)
        if number is not None:
            most = _MOST_WEIGHT if name == "weight" else _MOST
            values[name] = min(number, most)
            if number > most:
                self._report.differs(each.line, f"a weight is at most {most}")

    def _for_all(self, table: VirtualTable, each: Statement, name: str, value: Value) -> None:
        """What is a server's own in keepalived, and here the service's."""
        if table.values.setdefault(name, value) != value:
            self._report.differs(each.line, f"{name} holds for all servers of a service")


def _is_ipv6(table: VirtualTable) -> bool:
    if "fwmark" in table.values:
        return table.values.get("ipv6") is True
    return "[" in str(table.values["address"])


def _is_on(each: Statement) -> bool:
    return each.value.lower() not in ("off", "false", "no")
