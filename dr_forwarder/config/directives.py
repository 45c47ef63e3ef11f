"""Directives: ldirectord's, and ours beside them, one row each, for both formats. No parsing."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .directive import LARGEST, Directive, Kind, Level, Quotes, Value

CHECK_PORTS: Mapping[str, int] = MappingProxyType(
    {
        "ftp": 21,
        "smtp": 25,
        "dns": 53,
        "http": 80,
        "pop": 110,
        "nntp": 119,
        "imap": 143,
        "ldap": 389,
        "https": 443,
        "submission": 587,
        "ldaps": 636,
        "imaps": 993,
        "pops": 995,
        "oracle": 1521,
        "radius": 1812,
        "http_proxy": 3128,
        "mysql": 3306,
        "sip": 5060,
        "pgsql": 5432,
    }
)
"""A service's usual port. Backwards it says which service a virtual's port stands for."""

SERVICES = (*sorted([*CHECK_PORTS, "simpletcp"]), "none")
LOAD_SCHEDULERS = ("wlc", "lc", "lblc", "lblcr", "twos")
"""Those that look at how much a server has to do, in the measure of kernel IPVS's wlc."""
CHECK_TYPES = ("negotiate", "connect", "ping", "on", "off", "external", "external-perl")
DNS_TYPES = ("A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT")
ALERT_STATES = ("all", "none", "starting", "running", "stopping", "reloading")

_G, _V, _B = Level.GLOBAL, Level.VIRTUAL, Level.BOTH
_FLAG, _NUMBER, _CHOICE, _LIST, _TEXT = (Kind.FLAG, Kind.NUMBER, Kind.CHOICE, Kind.LIST, Kind.TEXT)
_NEEDED, _REFUSED = Quotes.NEEDED, Quotes.REFUSED


def _flag(name: str, level: Level, help: str, *, default: bool) -> Directive:
    return Directive(name, level, _FLAG, help, default, quotes=_REFUSED, exact=True)


def _server(name: str, level: Level, help: str, *, exact: bool = False) -> Directive:
    return Directive(name, level, Kind.SERVER, help, quotes=_REFUSED, exact=exact)


def _ours(
    name: str,
    level: Level,
    kind: Kind,
    help: str,
    default: Value | None = None,
    *,
    low: int = 1,
    high: int = LARGEST,
    choices: tuple[str, ...] = (),
) -> Directive:
    """A directive that ldirectord has not."""
    return Directive(name, level, kind, help, default, low, high, choices, any_case=True, ours=True)


DIRECTIVES: tuple[Directive, ...] = (
    # What is served, and by whom.
    _server("virtual", _V, "Opens a virtual service."),
    _server("virtual6", _V, "Opens an IPv6 virtual service."),
    _server("real", _V, "Adds a real server."),
    _server("real6", _V, "Adds an IPv6 real server."),
    _server(
        "fallback", _B, "The server that gets the traffic while no real server is up.", exact=True
    ),
    _server("fallback6", _B, "The fallback server of IPv6 virtual services.", exact=True),
    Directive(
        "fallbackcommand", _B, _TEXT, "Run with start or stop when the fallback comes or goes."
    ),
    _ours(
        "fallback_at_stop",
        _B,
        _FLAG,
        "Runs fallbackcommand with start when the director ends, too.",
        False,
    ),
    Directive(
        "protocol",
        _V,
        _CHOICE,
        "The protocol of the virtual service; udp is the default for port 53, else tcp.",
        choices=("tcp", "udp", "fwm"),
    ),
    Directive("scheduler", _V, Kind.LETTERS, "How a real server is picked.", "wrr"),
    _ours(
        "slow_start",
        _B,
        _NUMBER,
        "Seconds in which a server that comes or comes back reaches its share under"
        f" {', '.join(LOAD_SCHEDULERS)}; 0: at once.",
        0,
        low=0,
        high=3600,
    ),
    Directive("schedflags", _V, Kind.WORD, "Flags of the scheduler, as after ipvsadm -b."),
    Directive(
        "persistent",
        _V,
        _NUMBER,
        "Seconds for which a client stays with its real server.",
        high=2_678_400,
    ),
    Directive(
        "netmask",
        _V,
        _TEXT,
        "Clients of one such network are one client to persistent.",
        exact=True,
    ),
    _flag("ops", _V, "Schedules every UDP packet on its own.", default=False),
    # How real servers are checked.
    Directive(
        "checktype",
        _V,
        Kind.CHECKTYPE,
        "How real servers are checked; a number N is one negotiate and then N connects.",
        "negotiate",
        low=0,
        choices=CHECK_TYPES,
    ),
    Directive(
        "service",
        _V,
        _CHOICE,
        "What a negotiate check speaks; the default goes by the virtual service's port.",
        choices=SERVICES,
    ),
    Directive("checkport", _V, _NUMBER, "The port that is checked, if not the real's.", high=65535),
    Directive("checkcommand", _V, _TEXT, "The program of an external check.", "/bin/true"),
    Directive("request", _V, _TEXT, "What a negotiate check asks for.", "/", quotes=_NEEDED),
    Directive(
        "receive",
        _V,
        Kind.PATTERN,
        "The regular expression to be found in the answer.",
        "",
        quotes=_NEEDED,
    ),
    Directive(
        "httpmethod",
        _V,
        _CHOICE,
        "The method of HTTP checks.",
        "GET",
        choices=("GET", "HEAD"),
        any_case=True,
    ),
    Directive(
        "virtualhost", _V, _TEXT, "The Host header of HTTP checks; default is the real's address."
    ),
    Directive("login", _V, _TEXT, "The user name of a check.", "", quotes=_NEEDED),
    Directive("passwd", _V, _TEXT, "The password of a check.", "", quotes=_NEEDED),
    Directive("database", _V, _TEXT, "The database of an SQL check.", "", quotes=_NEEDED),
    Directive("secret", _V, _TEXT, "The shared secret of a radius check.", "", quotes=_NEEDED),
    Directive("load", _V, _TEXT, "Accepted and without effect.", quotes=_NEEDED),
    Directive(
        "checktimeout",
        _B,
        _NUMBER,
        "Seconds for a connect, ping or external check; stands in for negotiatetimeout.",
    ),
    Directive(
        "negotiatetimeout",
        _B,
        _NUMBER,
        "Seconds for a negotiate check; stands in for checktimeout.",
    ),
    Directive("checkinterval", _B, _NUMBER, "Seconds between two checks of a server.", 10),
    Directive("checkcount", _B, _NUMBER, "Attempts of a ping check.", 1),
    Directive("failurecount", _B, _NUMBER, "Failures in a row that take a server down.", 1),
    _ours("risecount", _B, _NUMBER, "Successes in a row that bring a server back.", 1),
    _ours(
        "flapcount",
        _B,
        _NUMBER,
        "A server flaps that goes up or down so often within its last 20 checks: log and mail say"
        " so once, and are silent of its single changes until it has calmed down; 0: never.",
        6,
        low=0,
        high=20,
    ),
    _ours("flapout", _B, _FLAG, "Keeps a server out as long as it flaps.", False),
    _ours(
        "jitter",
        _B,
        _NUMBER,
        "Percent of checkinterval by which a check may be early or late, by chance.",
        0,
        low=0,
        high=50,
    ),
    _ours("verify_cert", _B, _FLAG, "Verifies the certificates of TLS checks.", False),
    _ours("ca_file", _B, _TEXT, "PEM file of the authorities to verify by; default: the system's."),
    _ours(
        "sni",
        _V,
        _TEXT,
        "The name to ask for and verify in TLS; default: virtualhost, else the address.",
    ),
    _ours(
        "dnstype",
        _V,
        _CHOICE,
        "The record type of DNS checks; default: A, or PTR if request is an address.",
        choices=DNS_TYPES,
    ),
    _ours(
        "check_through_vip",
        _B,
        _FLAG,
        "Connect and HTTP checks go to the VIP at the server's MAC address, as clients do.",
        False,
    ),
    # What happens to a server that is down, and at the end.
    _flag("quiescent", _B, "Keeps a server that is down at weight 0.", default=False),
    _flag("readdquiescent", _G, "Adds servers not yet checked at weight 0.", default=False),
    _flag("cleanstop", _B, "Removes the services at the end.", default=True),
    # Who is told.
    Directive("emailalert", _B, _LIST, "Who gets mail when a server changes."),
    Directive("emailalertfreq", _B, _NUMBER, "Seconds between reminders; 0 is none.", 0, low=0),
    Directive(
        "emailalertstatus",
        _B,
        _LIST,
        "In which states of the director mail is sent.",
        ("all",),
        choices=ALERT_STATES,
        quotes=_REFUSED,
        exact=True,
    ),
    Directive("emailalertfrom", _G, _TEXT, "The sender of that mail.", quotes=_REFUSED),
    Directive("smtp", _B, _TEXT, "The mail server to send it by.", quotes=_REFUSED),
    Directive("servicename", _V, _TEXT, "The service's name in mail.", quotes=_REFUSED),
    Directive("comment", _V, _TEXT, "A comment in mail.", quotes=_REFUSED),
    Directive("monitorfile", _V, _TEXT, "A file that gets a line for every check."),
    # The daemon.
    _flag("autoreload", _G, "Reads the file again when it changes.", default=False),
    Directive("callback", _G, _TEXT, "Run when the file has changed.", quotes=_NEEDED),
    Directive(
        "logfile",
        _G,
        _TEXT,
        "Where ldirectord logs: a file or a syslog facility.",
        "/var/log/ldirectord.log",
        quotes=_NEEDED,
    ),
    Directive(
        "execute",
        _G,
        Kind.REPEATED,
        "Another configuration to start; may be repeated.",
        quotes=_REFUSED,
    ),
    _flag("supervised", _G, "Stays in the foreground.", default=False),
    _flag("fork", _G, "One process a virtual service.", default=False),
    Directive(
        "maintenancedir", _G, _TEXT, "Files here take the servers they name down.", quotes=_REFUSED
    ),
)

BY_NAME: Mapping[str, Directive] = MappingProxyType({row.name: row for row in DIRECTIVES})
