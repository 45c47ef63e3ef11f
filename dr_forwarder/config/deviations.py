"""Deviations: in what directives are otherwise here than in ldirectord 4.12, for the reference."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

DEVIATIONS: Mapping[str, str] = MappingProxyType(
    {
        "virtual": (
            "An address without a port is refused: ldirectord takes its first number for a "
            "firewall mark. IPv6 may stand here too."
        ),
        "real": (
            "`gate` alone. A port other than the service's is that of the check, and such a "
            "server comes back from weight 0 too. A range has at most 4,096 addresses."
        ),
        "fallback": (
            "Firewall marks have the global one too. One that is also a real server stays "
            "in when the fallback goes. It comes too where all weights are 0."
        ),
        "fallbackcommand": (
            "Of a firewall mark it hears `MARK:0`. At most 60 s, and nothing waits for it."
        ),
        "scheduler": "An unknown one is refused.",
        "persistent": "0 is refused.",
        "checktype": (
            "`ping` is for IPv6 too. A server is in the table from its first good check on, "
            "not before."
        ),
        "service": (
            "`pop`, `pops` without `login` and `ftp` without `receive` are asked all the "
            "same, `dns` without `receive` is up if there is an answer. `https`, `imaps` "
            "and the like verify nothing unless `verify_cert=yes`."
        ),
        "checkcommand": (
            "May have arguments; a program that a signal ended has failed, and its children "
            "end with it."
        ),
        "request": "http checks never leave the real server, whatever it redirects to.",
        "receive": (
            "Perl's expressions as the Python library `regex` has them, with a time limit; "
            "in the first MiB."
        ),
        "virtualhost": (
            "For TLS it is the name that is asked for (SNI) too. Blanks behind it are no "
            "part of it."
        ),
        "checktimeout": "A limit on the wall clock.",
        "negotiatetimeout": "A limit on the wall clock, for SQL too.",
        "checkinterval": (
            "From start to start, all checks at once; a virtual service's own counts "
            "without `fork=yes` too."
        ),
        "failurecount": "Counted once a check, however many services share it.",
        "quiescent": (
            "Thresholds stay. What becomes of connections: `expire_quiescent_template`, "
            "`expire_nodest_conn`."
        ),
        "readdquiescent": ("Without it too no server gets traffic before its first good check."),
        "cleanstop": (
            "Nothing is forwarded while no director runs. Table and connections stay for "
            "the next start either way; `yes` says in log and mail that the services ended."
        ),
        "emailalert": (
            "A mail for each recipient, for changes that stood for 2 s; one for the whole start."
        ),
        "emailalertfreq": "Never for the fallback.",
        "smtp": "May have a port, `mail:2525`.",
        "monitorfile": (
            "IPv6 addresses keep their colons; a page's text is not in it; one that cannot "
            "be written harms nothing."
        ),
        "autoreload": "A file that cannot be taken changes nothing.",
        "callback": "Run after the reload; at most 60 s, and nothing waits for it.",
        "logfile": ("Beside stderr with `dr-forwarder run`. The reason of a failure is in it."),
        "execute": "Each is a director with a state directory of its own.",
        "supervised": "`dr-forwarder run` always does; `dr-ldirectord` goes by it.",
        "fork": "Accepted and not needed: one slow check never delays another.",
        "maintenancedir": "Looked at every second; names are looked up in the background.",
    }
)
"""By directive; those that are not here are the same."""
