"""Keepalived checks: a real server's checker as the check of a whole service. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..config.patterns import compiled
from .keepalived_blocks import Statement, not_taken
from .model import Report, Value

CHECKERS: Mapping[str, dict[str, Value]] = {
    "HTTP_GET": {"service": "http"},
    "SSL_GET": {"service": "https"},
    "SMTP_CHECK": {"service": "smtp"},
    "DNS_CHECK": {"service": "dns"},
    "TCP_CHECK": {"checktype": "connect"},
    "MISC_CHECK": {"checktype": "external"},
    "PING_CHECK": {"checktype": "ping"},
    "UDP_CHECK": {"checktype": "ping"},
}
"""Those that there are here, and what each is."""
FOREIGN = ("BFD_CHECK", "FILE_CHECK")

INTERVAL_S = 60
"""Seconds between two checks, where no delay_loop says otherwise."""
_TIMEOUT_S = 5
"""What keepalived gives a connection that is not told otherwise."""
_RETRIES = {"DNS_CHECK": 3, "MISC_CHECK": 0}
"""Further attempts where nothing says otherwise; else it is one."""
_MOST = 2**31 - 1
_LONGEST_S = 2**31 - 1
_AFTER_INTERVAL = "a failed check is repeated after checkinterval"
_DNS_TYPES = ("A", "AAAA", "CNAME", "MX", "NS", "SOA", "TXT")
_NOT_TAKEN = {
    "digest": "no digest of the page is compared; write receive, a text that is in it",
    "fwmark": "checks set no mark",
    "helo_name": "the host's own name is said",
    "misc_dynamic": "the exit status does not change the weight: 0 is up, all else is down",
    "user": "the program runs as the director does",
    "delay_before_retry": _AFTER_INTERVAL,
    "warmup": "checks are spread over their interval anyway",
    "regex_options": "options are written into the expression, (?i)",
    "regex_no_match": "a text that must not be there cannot be said",
}


@dataclass(slots=True)
class Checked:
    """What the checkers of one real server come to."""

    values: dict[str, Value] = field(default_factory=dict)
    """Directives of the service."""
    request: str | None = None
    receive: str = ""


@dataclass(frozen=True, slots=True)
class Habits:
    """What holds for a checker that does not say otherwise; None: what its kind does."""

    failures: int | None = None
    timeout_s: int = _TIMEOUT_S
    interval_s: int = INTERVAL_S

    def of(self, block: Sequence[Statement], report: Report) -> Habits:
        """What a virtual server, or a real server in it, says of this."""
        found = self
        for each in block:
            match each.keyword:
                case "retry":
                    found = replace(found, failures=failures(each, report, 1) or found.failures)
                case "connect_timeout":
                    found = replace(found, timeout_s=seconds(each, report) or found.timeout_s)
                case "delay_loop":
                    found = replace(found, interval_s=seconds(each, report) or found.interval_s)
        return found


def checked(real: Statement, report: Report, service: Habits) -> Checked:
    """The first checker counts; a server without any is up."""
    habits = service.of(real.block, report)
    checkers = [each for each in real.block if each.keyword in CHECKERS]
    for each in real.block:
        if each.keyword in FOREIGN:
            not_taken(each, "there is no such check", report)
    if not checkers:
        return Checked({"checktype": "on"})
    for more in checkers[1:]:
        not_taken(more, "a server has one check, its first", report)
    return _Checker(checkers[0], report, habits).checked()


def seconds(statement: Statement, report: Report) -> int | None:
    """Whole seconds, at least one; None for what keepalived itself does not take."""
    try:
        value = float(statement.value)
    except ValueError:
        value = math.nan
    if not 0 < value <= _LONGEST_S:
        report.differs(statement.line, f"not taken, as by keepalived: {statement.value!r}")
        return None
    if value != int(value):
        report.differs(statement.line, "whole seconds only: rounded up")
    return math.ceil(value)


def whole(statement: Statement, low: int, high: int, report: Report) -> int | None:
    """A number; None for what keepalived itself does not take."""
    value = statement.value
    if value.isascii() and value.isdecimal() and low <= int(value[:20]) <= high:
        return int(value)
    report.differs(
        statement.line, f"not taken: it must be a number in {low}..{high}, not {value!r}"
    )
    return None


def failures(each: Statement, report: Report, least: int) -> int | None:
    """So many checks must fail in a row before the server is down: one more than the retries."""
    retries = whole(each, least, _MOST - 1, report)
    if retries:
        report.differs(each.line, _AFTER_INTERVAL)
    return None if retries is None else retries + 1


class _Checker:
    """One checker on its way into a check."""

    def __init__(self, checker: Statement, report: Report, habits: Habits) -> None:
        self._kind = checker.keyword
        self._block = checker.block
        self._report = report
        self._found = Checked(dict(CHECKERS[self._kind]))
        self._habits = habits
        report.same(checker.line)
        if self._kind == "UDP_CHECK":
            report.differs(checker.line, "no datagrams are sent: the server is pinged")

    def checked(self) -> Checked:
        values, habits = self._found.values, self._habits
        self._limit = "negotiatetimeout" if "service" in values else "checktimeout"
        is_program = self._kind == "MISC_CHECK"
        values["checkinterval"] = habits.interval_s
        values["failurecount"] = habits.failures or _RETRIES.get(self._kind, 1) + 1
        values[self._limit] = habits.interval_s if is_program else habits.timeout_s
        if self._kind == "DNS_CHECK":
            self._found.request, values["dnstype"] = "/.", "SOA"
        for each in self._block:
            self._report.same(each.line)
            self._take(each)
        if is_program and "misc_timeout" not in {each.keyword for each in self._block}:
            values[self._limit] = values["checkinterval"]
        return self._found

    def _take(self, each: Statement) -> None:
        values, report = self._found.values, self._report
        match each.keyword:
            case "connect_timeout" | "misc_timeout":
                values[self._limit] = seconds(each, report) or values[self._limit]
            case "delay_loop":
                values["checkinterval"] = seconds(each, report) or values["checkinterval"]
            case "connect_port":
                if (port := whole(each, 1, 65535, report)) is not None:
                    values["checkport"] = port
            case "retry" | "nb_get_retry" | "nb_sock_retry":
                values["failurecount"] = failures(each, report, 0) or values["failurecount"]
            case "virtualhost" if each.value:
                values["virtualhost"] = each.value
            case "url":
                self._url(each)
            case "misc_path" if each.value:
                values["checkcommand"] = " ".join(each.words[1:])
                how = "the program is told the services' and the server's address and port besides"
                report.differs(each.line, how)
            case "name" if self._kind == "DNS_CHECK" and each.value:
                self._found.request = "/" + (each.value.removesuffix(".") or ".")
            case "type" if self._kind == "DNS_CHECK":
                self._dns_type(each)
            case "alpha" | "enable_sni":
                pass  # here nobody is up before the first check, and SNI is the virtualhost
            case name:
                how = _NOT_TAKEN.get(name, "there is nothing like it")
                not_taken(each, how, report)

    def _url(self, url: Statement) -> None:
        if self._found.request is not None:
            not_taken(url, "one page is asked for, the first", self._report)
            return
        self._found.request = "/"
        for each in url.block:
            self._report.same(each.line)
            match each.keyword:
                case "path" if each.value:
                    self._found.request = each.value
                case "virtualhost" if each.value:
                    self._found.values["virtualhost"] = each.value
                case "regex" if each.value:
                    self._regex(each)
                case "status_code":
                    if each.words[1:] not in (("200",), ("200-299",)):
                        self._report.differs(each.line, "every status of 200 to 299 is up")
                case name:
                    not_taken(each, _NOT_TAKEN.get(name, "there is nothing like it"), self._report)

    def _regex(self, each: Statement) -> None:
        try:
            compiled(each.value)
        except ValueError as error:
            self._report.differs(each.line, f"not taken: no regular expression: {error}")
        else:
            self._found.receive = each.value

    def _dns_type(self, each: Statement) -> None:
        kind = each.value.upper()
        if kind in _DNS_TYPES:
            self._found.values["dnstype"] = kind
        else:
            self._report.differs(each.line, f"not taken: the type is one of {_DNS_TYPES}")


def common(checks: Sequence[tuple[Statement, Checked]], report: Report) -> Checked:
    """One check for all servers of a service: that of the first."""
    if not checks:
        return Checked({"checktype": "on"})
    first = checks[0][1]
    for real, each in checks[1:]:
        if each.values != first.values:
            how = f"all servers of a service are checked alike: as line {checks[0][0].line}"
            report.differs(real.line, how)
    return first
