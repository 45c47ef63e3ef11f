"""Keepalived globals: what of `global_defs` is the director's business. Pure."""

from __future__ import annotations

from .keepalived_blocks import Statement, not_taken
from .model import Document, Report

_TIMEOUTS = {"tcp": "timeout_tcp", "tcpfin": "timeout_tcp_fin", "udp": "timeout_udp"}


def take(statement: Statement, document: Document, report: Report) -> None:
    """The block, into the document's defaults and the director itself."""
    report.same(statement.line)
    for each in statement.block:
        report.same(each.line)
        match each.keyword:
            case "notification_email":
                document.defaults.values["emailalert"] = [inner.keyword for inner in each.block]
                for inner in each.block:
                    report.same(inner.line)
                report.differs(each.line, "a mail says one server's change, once it settled")
            case "notification_email_from":
                document.defaults.values["emailalertfrom"] = " ".join(each.words[1:])
            case "smtp_server":
                document.defaults.values["smtp"] = ":".join(each.words[1:3])
            case "lvs_timeouts":
                _timeouts(each, document, report)
            case "lvs_sync_daemon":
                _sync(each, document, report)
            case "router_id":
                report.differs(each.line, "not taken: mail says the host's name")
            case _:
                not_taken(each, "there is nothing like it", report)


def _timeouts(each: Statement, document: Document, report: Report) -> None:
    for word, number in zip(each.words[1::2], each.words[2::2], strict=False):
        if word in _TIMEOUTS and number.isdecimal():
            document.director.values[_TIMEOUTS[word]] = int(number)
        else:
            report.differs(each.line, f"{word} {number} is not taken")


def _sync(each: Statement, document: Document, report: Report) -> None:
    values = document.director.values
    values["sync_master"] = values["sync_backup"] = each.value
    words = each.words
    if "id" in words[:-1] and words[words.index("id") + 1].isdecimal():
        values["sync_id"] = int(words[words.index("id") + 1])
    how = "both daemons run all the time, whoever has the VIPs; say standby on the second host"
    report.differs(each.line, how)
