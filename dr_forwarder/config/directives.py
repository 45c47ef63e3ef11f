"""Directives: every name a configuration may use, as one table for both formats. No parsing."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

Value = bool | int | str | tuple[str, ...]
LARGEST = 2**31 - 1


class Level(enum.Enum):
    """Where a name may stand."""

    GLOBAL = "global"
    VIRTUAL = "virtual"
    BOTH = "both"
    """Global, and again in a virtual service, which then goes before the global one."""
    DIRECTOR = "director"
    """The table ``[director]`` of the native form."""
    REAL = "real"
    """The tables ``[[virtual.real]]`` of the native form."""
    MARK = "mark"
    """The tables ``[[mark]]`` of the native form."""


class Kind(enum.Enum):
    """What a value is, and so how it is read."""

    FLAG = "yes or no"
    NUMBER = "number"
    CHOICE = "one of a few words"
    CHECKTYPE = "a word or a number"
    LETTERS = "lower-case letters"
    WORD = "one word"
    LIST = "words with commas between them"
    REPEATED = "text, and more of it at each further line"
    TEXT = "text"
    PATTERN = "regular expression"
    SERVER = "address"
    VLAN = "a number, or a list of two"
    MACS = "MAC addresses"
    LISTEN = "an address and a port"


class Quotes(enum.Enum):
    """What ldirectord makes of double quotes around a value; here they may always be there."""

    NEEDED = "needed"
    OPTIONAL = "optional"
    REFUSED = "refused or kept as part of the value"


@dataclass(frozen=True, slots=True)
class Directive:
    """One row of the table."""

    name: str
    level: Level
    kind: Kind
    help: str
    default: Value | None = None
    low: int = 1
    high: int = LARGEST
    choices: tuple[str, ...] = ()
    quotes: Quotes = Quotes.OPTIONAL
    exact: bool = False
    """True where ldirectord refuses anything after the value, even a blank."""
    any_case: bool = False
    ours: bool = False
    """True for what ldirectord has not: it refuses a file with it."""
    idle: str = ""
    """Why it is accepted and does nothing."""


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

_G, _V, _B, _D, _R = Level.GLOBAL, Level.VIRTUAL, Level.BOTH, Level.DIRECTOR, Level.REAL
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


def _tuning(name: str, help: str, default: int = 0, *, high: int = 1) -> Directive:
    """A sysctl of kernel IPVS, under its name."""
    return Directive(name, _D, _NUMBER, help, default, low=0, high=high)


def _idle(name: str, why: str, default: int = 0) -> Directive:
    """A sysctl of kernel IPVS that has nothing to do here, and why."""
    return Directive(name, _D, _NUMBER, f"Nothing: {why}.", default, low=0, idle=why)


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

DIRECTOR: tuple[Directive, ...] = (
    Directive("interface", _D, _TEXT, "The interface the clients and real servers are behind."),
    Directive(
        "mac",
        _D,
        _CHOICE,
        "Which MAC address the VIPs are announced with.",
        "auto",
        choices=("auto", "virtual", "nic"),
    ),
    Directive(
        "vlan",
        _D,
        Kind.VLAN,
        "The 802.1Q tag of all frames: `100`, or `[200, 100]` for QinQ, outer first; untagged.",
    ),
    Directive(
        "virtual_router_id", _D, _NUMBER, "Last byte of the virtual MAC address.", 60, high=255
    ),
    Directive("announce_interval", _D, _NUMBER, "Seconds between announcements of a VIP.", 60),
    Directive("workers", _D, _NUMBER, "Forwarding threads.", 1, high=1024),
    Directive("state_dir", _D, _TEXT, "Directory of the control socket and the connections."),
    Directive(
        "flight_recorder_dir",
        _D,
        _TEXT,
        "Where the last dropped frames are written when a server goes down; nowhere.",
    ),
    Directive(
        "listen",
        _D,
        Kind.LISTEN,
        "Serves metrics and the page at ADDRESS:PORT; `:9700` is the loopback's.",
    ),
    Directive(
        "listen_writable",
        _D,
        _FLAG,
        "Whoever reaches the page may drain, disable and enable servers.",
        False,
    ),
    Directive(
        "listen_names",
        _D,
        _LIST,
        "Names the page may be asked by, beside addresses, localhost and this host's own.",
    ),
    Directive("connections", _D, _NUMBER, "Room in the connection table.", 1_048_576),
    Directive("timeout_tcp", _D, _NUMBER, "Seconds an idle TCP connection is kept.", 900),
    Directive("timeout_tcp_fin", _D, _NUMBER, "Seconds a closing TCP connection is kept.", 120),
    Directive("timeout_udp", _D, _NUMBER, "Seconds an idle UDP flow is kept.", 300),
    Directive(
        "peers", _D, Kind.MACS, "MAC addresses of other directors: what they sent on stays there."
    ),
    Directive(
        "standby", _D, _FLAG, "Leaves the VIPs to another director until told to take over.", False
    ),
    Directive("sync_master", _D, _TEXT, "Tells other directors of connections, by this interface."),
    Directive("sync_backup", _D, _TEXT, "Learns the connections of a master by this interface."),
    Directive(
        "sync_id", _D, _NUMBER, "Names a pair; a backup with 0 learns of all.", 0, low=0, high=255
    ),
    _tuning("conn_reuse_mode", "When a SYN on a connection that is over begins anew.", 1, high=3),
    _tuning("expire_nodest_conn", "1: a removed server's connections end at once."),
    _tuning("expire_quiescent_template", "1: persistence ends when a server's weight is 0."),
    _tuning("sloppy_tcp", "1: TCP connections may begin in mid-stream."),
    _tuning("sloppy_sctp", "1: SCTP associations may begin in mid-stream."),
    _tuning("schedule_icmp", "1: An ICMP error about no connection is scheduled like a new one."),
    _tuning("secure_tcp", "Other TCP states under attack. 3: on; 1, 2: automatic.", high=3),
    _tuning("drop_entry", "Ends half-open connections and idle ones; likewise.", high=3),
    _tuning("drop_packet", "Drops packets that would begin a connection; likewise.", high=3),
    _tuning("am_droprate", "With drop_packet = 3 each so-manieth goes.", 10, high=LARGEST),
    _tuning(
        "amemthresh", "Pages of free memory below which automatic ones act.", 1024, high=LARGEST
    ),
    _tuning("backup_only", "1: while a backup daemon runs, nothing is forwarded."),
    _tuning(
        "lblc_expiration", "Seconds lblc remembers an unused destination.", 86400, high=LARGEST
    ),
    _tuning("lblcr_expiration", "Seconds, for lblcr, and for its sets.", 86400, high=LARGEST),
    _tuning("sync_version", "1: messages as since Linux 3.0; 0: as before, IPv4 alone.", 1),
    _tuning(
        "sync_threshold", "Others are told of a connection at this packet of it.", 3, high=LARGEST
    ),
    _tuning("sync_period", "And again every so many packets; 0: once.", 50, high=LARGEST),
    _tuning("sync_refresh_period", "Seconds in which it is not told again; 0: none.", high=LARGEST),
    _tuning("sync_retries", "How often it is repeated within that time.", high=3),
    _tuning("sync_persist_mode", "1: of persistent connections only the templates are told."),
    _tuning("sync_ports", "UDP ports that messages are spread over: a power of two.", 1, high=64),
    _tuning("sync_qlen_max", "Messages that may wait to be sent.", 4096, high=1_000_000),
    _tuning("sync_sock_size", "Bytes of a socket's buffer; 0: the host's default.", high=LARGEST),
    _tuning("run_estimation", "0: rates are not estimated.", 1),
    _idle("pmtu_disc", "it is for tunnels, and forwarding is by `gate` alone", 1),
    _idle("snat_reroute", "it is for masquerading", 1),
    _idle("nat_icmp_send", "it is for masquerading"),
    _idle("conntrack", "the VIPs' frames never reach the host's connection tracking"),
    _idle("ignore_tunneled", "what is in a tunnel is not looked at anyway"),
    _idle("cache_bypass", "without a server the client always hears port unreachable"),
    _idle("est_cpulist", "rates are estimated by the forwarding thread"),
    _idle("est_nice", "rates are estimated by the forwarding thread"),
    _idle("debug_level", "`run --verbose` tells more"),
    _tuning("decrement_ttl", "1: take one off the time to live, as kernel IPVS does."),
    _tuning(
        "icmp_ratelimit", "Milliseconds between two ICMP errors to a client.", 1000, high=65535
    ),
    _tuning("busy_poll", "Microseconds after a frame that the loop stays awake.", high=1_000_000),
)

MARK: tuple[Directive, ...] = (
    Directive("mark", Level.MARK, _NUMBER, "The firewall mark that is defined.", high=2**32 - 1),
    Directive("address", Level.MARK, _TEXT, "The VIP, or a network of VIPs."),
    Directive(
        "protocol",
        Level.MARK,
        _CHOICE,
        "Marked is only this protocol; any if left out.",
        choices=("tcp", "udp", "sctp"),
    ),
    Directive("ports", Level.MARK, _TEXT, "Marked are only these: numbers, ranges, commas."),
)

TARGET: tuple[Directive, ...] = (
    Directive("address", _V, _TEXT, "What clients connect to, as after virtual=."),
    Directive("fwmark", _V, _NUMBER, "A firewall mark, instead of an address.", high=2**32 - 1),
    Directive("ipv6", _V, _FLAG, "Says that a mark or a host name stands for IPv6.", False),
)
"""What opens a virtual service in the native form, where ldirectord has ``virtual=``."""

REAL: tuple[Directive, ...] = (
    Directive("address", _R, _TEXT, "HOST:PORT of the server, or FIRST->LAST:PORT of many."),
    Directive(
        "method", _R, _CHOICE, "How it is reached.", "gate", choices=("gate", "masq", "ipip")
    ),
    Directive("weight", _R, _NUMBER, "Its share of connections; 0 is none.", 1, low=0, high=65535),
    Directive("request", _R, _TEXT, "Its own request."),
    Directive("receive", _R, Kind.PATTERN, "Its own receive."),
    Directive("lower", _R, _NUMBER, "Connections below which it is used again.", 0, low=0),
    Directive("upper", _R, _NUMBER, "Connections above which it is spared.", 0, low=0),
)

BY_NAME: Mapping[str, Directive] = MappingProxyType({row.name: row for row in DIRECTIVES})
