"""Native: the names that only the TOML form has, one row each: `[director]` and the other tables.

No parsing. What ldirectord has, and ours beside it, is in `directives`.
"""

from __future__ import annotations

from typing import Final

from .directive import LARGEST, Directive, Kind, Level

MOST_WORKERS: Final = 64
"""As many as the core has room for (``DR_WORKERS``)."""

_V, _D, _R = Level.VIRTUAL, Level.DIRECTOR, Level.REAL
_FLAG, _NUMBER, _CHOICE, _LIST, _TEXT = (Kind.FLAG, Kind.NUMBER, Kind.CHOICE, Kind.LIST, Kind.TEXT)


def _tuning(name: str, help: str, default: int = 0, *, high: int = 1) -> Directive:
    """A sysctl of kernel IPVS, under its name."""
    return Directive(name, _D, _NUMBER, help, default, low=0, high=high)


def _idle(name: str, why: str, default: int = 0) -> Directive:
    """A sysctl of kernel IPVS that has nothing to do here, and why."""
    return Directive(name, _D, _NUMBER, f"Nothing: {why}.", default, low=0, idle=why)


DIRECTOR: tuple[Directive, ...] = (
    Directive("interface", _D, _TEXT, "The interface the clients and real servers are behind."),
    Directive(
        "interface_wait",
        _D,
        _NUMBER,
        "Seconds to wait until the interface is there, up and with its address.",
        60,
        low=0,
    ),
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
    Directive(
        "io",
        _D,
        _CHOICE,
        "How frames come in: `packet` sockets, `xdp` beside them, or `auto`: xdp without copies.",
        "packet",
        choices=("auto", "packet", "xdp"),
    ),
    Directive("workers", _D, _NUMBER, "Forwarding threads.", 1, high=MOST_WORKERS),
    Directive(
        "realtime",
        _D,
        _FLAG,
        "Forwarding has a real-time priority above the kernel's packet threads, where permitted.",
        False,
    ),
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
    _tuning(
        "unproved_share",
        "Percent of the table for connections not yet proved; 0: no limit, as in kernel IPVS.",
        50,
        high=100,
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
