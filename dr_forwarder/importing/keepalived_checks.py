"""Keepalived checks: a real server's checker as the check of a whole service. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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

_TIMEOUT_S = 5
"""What keepalived gives a connection that is not told otherwise."""
_DNS_TYPES = ("A", "AAAA", "CNAME", "MX", "NS", "SOA", "TXT")
_NOT_TAKEN = {
    "digest": "no digest of the page is compared; write receive, a text that is in it",
    "fwmark": "checks set no mark",
    "helo_name": "the host's own name is said",
    "misc_dynamic": "the exit status does not change the weight: 0 is up, all else is down",
    "user": "the program runs as the director does",
    "delay_before_retry": "a failed check is repeated after checkinterval",
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


def checked(real: Statement, report: Report) -> Checked:
    """The first checker counts; a server without any is up."""
    checkers = [each for each in real.block if each.keyword in CHECKERS]
    for each in real.block:
        if each.keyword in FOREIGN:
            not_taken(each, "there is no such check", report)
    if not checkers:
        return Checked({"checktype": "on"})
    for more in checkers[1:]:
        not_taken(more, "a server has one check, its first", report)
    return _Checker(checkers[0], report).checked()


def seconds(statement: Statement, report: Report) -> int:
    """Whole seconds, at least one."""
    try:
        value = float(statement.value)
    except ValueError:
        report.differs(statement.line, f"not taken: {statement.value!r} is no number")
        return _TIMEOUT_S
    if value != int(value):
        report.differs(statement.line, "whole seconds only: rounded up")
    return max(1, math.ceil(value))


class _Checker:
    """One checker on its way into a check."""

    def __init__(self, checker: Statement, report: Report) -> None:
        self._kind = checker.keyword
        self._block = checker.block
        self._report = report
        self._found = Checked(dict(CHECKERS[self._kind]))
        report.same(checker.line)
        if self._kind == "UDP_CHECK":
            report.differs(checker.line, "no datagrams are sent: the server is pinged")

    def checked(self) -> Checked:
        values = self._found.values
        limit = "negotiatetimeout" if "service" in values else "checktimeout"
        if self._kind != "MISC_CHECK":
            values[limit] = _TIMEOUT_S
        for each in self._block:
            self._report.same(each.line)
            self._take(each, limit)
        if self._kind == "DNS_CHECK":
            values.setdefault("dnstype", "SOA")
        if self._kind in ("HTTP_GET", "SSL_GET") and self._found.request is None:
            self._found.request = "/"
        return self._found

    def _take(self, each: Statement, limit: str) -> None:
        values = self._found.values
        match each.keyword:
            case "connect_timeout" | "misc_timeout":
                values[limit] = seconds(each, self._report)
            case "connect_port" if each.value.isdecimal():
                values["checkport"] = int(each.value)
            case "retry" | "nb_get_retry" | "nb_sock_retry":
                take_retry(each, values, self._report)
            case "virtualhost":
                values["virtualhost"] = each.value
            case "url":
                self._url(each)
            case "misc_path":
                values["checkcommand"] = " ".join(each.words[1:])
                how = "the program is told the services' and the server's address and port besides"
                self._report.differs(each.line, how)
            case "name" if self._kind == "DNS_CHECK":
                self._found.request = "/" + each.value.removesuffix(".")
            case "type" if self._kind == "DNS_CHECK":
                self._dns_type(each)
            case "alpha" | "enable_sni":
                pass  # here nobody is up before the first check, and SNI is the virtualhost
            case "delay_loop":
                values["checkinterval"] = seconds(each, self._report)
            case name:
                how = _NOT_TAKEN.get(name, "there is nothing like it")
                not_taken(each, how, self._report)

    def _url(self, url: Statement) -> None:
        if self._found.request is not None:
            not_taken(url, "one page is asked for, the first", self._report)
            return
        self._found.request = "/"
        for each in url.block:
            self._report.same(each.line)
            match each.keyword:
                case "path":
                    self._found.request = each.value
                case "virtualhost":
                    self._found.values["virtualhost"] = each.value
                case "regex":
                    self._found.receive = each.value
                case "status_code":
                    if each.words[1:] not in (("200",), ("200-299",)):
                        self._report.differs(each.line, "every status of 200 to 299 is up")
                case name:
                    not_taken(each, _NOT_TAKEN.get(name, "there is nothing like it"), self._report)

    def _dns_type(self, each: Statement) -> None:
        kind = each.value.upper()
        if kind in _DNS_TYPES:
            self._found.values["dnstype"] = kind
        else:
            self._report.differs(each.line, f"not taken: the type is one of {_DNS_TYPES}")


def take_retry(each: Statement, values: dict[str, Value], report: Report) -> None:
    """So many more checks must fail before the server is down."""
    if not each.value.isdecimal():
        report.differs(each.line, f"not taken: {each.value!r} is no number")
        return
    values["failurecount"] = int(each.value) + 1
    if each.value != "0":
        report.differs(each.line, "a failed check is repeated after checkinterval")


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
