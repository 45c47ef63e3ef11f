"""The listings, to the blank. A middle dot stands for a blank at the end of a line."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dr_forwarder.config.model import Address
from dr_forwarder.ipvsadm import connections, listing
from dr_forwarder.ipvsadm.listing import View
from dr_forwarder.table import (
    Connection,
    Counters,
    Key,
    Server,
    ServerRow,
    Service,
    ServiceFlag,
    ServiceRow,
)

PATIENT = settings(deadline=None)
"""A busy machine is no fault of the code."""

VERSION = "IP Virtual Server version 1.2.1 (size=4096)\n"
HEAD = (
    VERSION
    + "Prot LocalAddress:Port Scheduler Flags\n"
    + "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n"
)


def text(lines: str) -> str:
    return lines.lstrip("\n").replace("·", " ")


def service(
    where: str = "10.0.0.100",
    port: int = 80,
    *servers: ServerRow,
    protocol: str = "tcp",
    counters: Counters | None = None,
    **more: object,
) -> ServiceRow:
    key = Key(protocol, ip_address(where), port)
    return ServiceRow(Service(key, **more), servers, counters or Counters())  # type: ignore[arg-type]


def server(where: str, weight: int = 1, port: int = 80, **more: object) -> ServerRow:
    limits = {name: more.pop(name, 0) for name in ("upper", "lower")}
    return ServerRow(Server(ip_address(where), port, weight, **limits), **more)  # type: ignore[arg-type]


WEB = service(
    "10.0.0.100",
    80,
    server("10.0.0.12", 1, active=3, inactive=7, upper=100, lower=50),
    server("10.0.0.11", 2, persistent=1),
)
TLS = service(port=443, scheduler="sh", persistent_s=360, mask=IPv4Address("255.255.255.0"))
ANY = service("10.0.0.200", 0, scheduler="mh", persistent_s=300)
DNS = service("10.0.0.100", 53, protocol="udp", scheduler="rr")
BOTH = service(
    "10.0.0.100",
    80,
    server(
        "10.0.0.12",
        counters=Counters(connections=10, packets=99_999_999, bytes=1_234_567_890_123),
    ),
    counters=Counters(connections=99_999_999, packets=100_000_000, bytes=100 * 10**9),
)

# ---- The table ----

VIEWS = [
    pytest.param(
        View.PLAIN,
        """
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  10.0.0.100:80 wlc
  -> 10.0.0.11:80                 Route   2      0          0·········
  -> 10.0.0.12:80                 Route   1      3          7·········
TCP  10.0.0.100:443 sh persistent 360 mask 255.255.255.0
TCP  10.0.0.200:0 mh persistent 300
UDP  10.0.0.100:53 rr
""",
        id="plain",
    ),
    pytest.param(
        View.THRESHOLDS,
        """
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn·
  -> RemoteAddress:Port
TCP  10.0.0.100:80 wlc
  -> 10.0.0.11:80                 0          0          0          0·········
  -> 10.0.0.12:80                 100        50         3          7·········
TCP  10.0.0.100:443 sh persistent 360 mask 255.255.255.0
TCP  10.0.0.200:0 mh persistent 300
UDP  10.0.0.100:53 rr
""",
        id="thresholds",
    ),
    pytest.param(
        View.PERSISTENT,
        """
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn·
  -> RemoteAddress:Port
TCP  10.0.0.100:80 wlc
  -> 10.0.0.11:80                 2         1           0          0·········
  -> 10.0.0.12:80                 1         0           3          7·········
TCP  10.0.0.100:443 sh persistent 360 mask 255.255.255.0
TCP  10.0.0.200:0 mh persistent 300
UDP  10.0.0.100:53 rr
""",
        id="persistent-conn",
    ),
    pytest.param(
        View.STATS,
        """
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
TCP  10.0.0.100:80                       0        0        0        0        0
  -> 10.0.0.11:80                        0        0        0        0        0
  -> 10.0.0.12:80                        0        0        0        0        0
TCP  10.0.0.100:443                      0        0        0        0        0
TCP  10.0.0.200:0                        0        0        0        0        0
UDP  10.0.0.100:53                       0        0        0        0        0
""",
        id="stats",
    ),
]


@pytest.mark.parametrize(("view", "expected"), VIEWS)
def test_a_view(view: View, expected: str) -> None:
    assert listing.table([ANY, DNS, TLS, WEB], view=view) == text(expected)


def test_plain_is_the_view_that_nobody_asks_for() -> None:
    assert listing.table([WEB]) == listing.table([WEB], view=View.PLAIN)


def test_an_empty_table_is_its_title() -> None:
    assert listing.table([]) == HEAD


STATS = [
    pytest.param(
        False,
        """
TCP  10.0.0.100:80                99999999  100000K        0     100G        0
  -> 10.0.0.12:80                       10 99999999        0    1234G        0
""",
        id="scaled",
    ),
    pytest.param(
        True,
        """
TCP  10.0.0.100:80                99999999 100000000        0 100000000000        0
  -> 10.0.0.12:80                       10 99999999        0 1234567890123        0
""",
        id="exact",
    ),
]


@pytest.mark.parametrize(("exact", "expected"), STATS)
def test_statistics(exact: bool, expected: str) -> None:
    shown = listing.table([BOTH], view=View.STATS, exact=exact)
    assert shown.split("\n", 3)[3] == text(expected)


SCALED = [
    (0, "        0"),
    (1, "        1"),
    (99_999_999, " 99999999"),
    (100_000_000, "  100000K"),
    (100_000_999, "  100000K"),
    (999_999_999, "  999999K"),
    (1_000_000_000, "    1000M"),
    (99_999_999_999, "   99999M"),
    (100_000_000_000, "     100G"),
    (99_999_999_999_999, "   99999G"),
    (100_000_000_000_000, "     100T"),
    (2**64 - 1, "18446744T"),
]


def column(value: int, *, exact: bool = False) -> str:
    row = service("10.0.0.100", 80, counters=Counters(connections=value))
    line = listing.table([row], view=View.STATS, exact=exact).splitlines()[3]
    return line[33:].removesuffix(" " * 8 + "0" + (" " * 8 + "0") * 3)


@pytest.mark.parametrize(("value", "shown"), SCALED)
def test_a_number_of_nine_columns(value: int, shown: str) -> None:
    assert column(value) == shown


EXACT = [(0, "        0"), (99_999_999, " 99999999"), (100_000_000, " 100000000")]


@pytest.mark.parametrize(("value", "shown"), [*EXACT, (2**64 - 1, " 18446744073709551615")])
def test_an_exact_number(value: int, shown: str) -> None:
    assert column(value, exact=True) == shown


@PATIENT
@given(st.integers(0, 2**64 - 1))
def test_a_number_always_fits_and_is_never_rounded_up(value: int) -> None:
    shown = column(value)
    units = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
    unit = units.get(shown[-1], 1)
    assert len(shown) == 9
    assert int(shown.rstrip("KMGT")) == value // unit


# ---- Flags and names ----


OPS, FALLBACK = ServiceFlag.ONE_PACKET, ServiceFlag.SCHEDULER_1
PORT, ALL = ServiceFlag.SCHEDULER_2, ~ServiceFlag(0)
MH = "TCP  10.0.0.100:80 mh"


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({}, "TCP  10.0.0.100:80 wlc"),
        ({"scheduler": "rr"}, "TCP  10.0.0.100:80 rr"),
        ({"persistent_s": 50}, "TCP  10.0.0.100:80 wlc persistent 50"),
        (
            {"persistent_s": 50, "mask": IPv4Address("255.0.0.0")},
            "TCP  10.0.0.100:80 wlc persistent 50 mask 255.0.0.0",
        ),
        ({"mask": IPv4Address("255.0.0.0")}, "TCP  10.0.0.100:80 wlc"),
        ({"flags": OPS}, "TCP  10.0.0.100:80 wlc ops"),
        ({"flags": FALLBACK, "scheduler": "sh"}, "TCP  10.0.0.100:80 sh (sh-fallback)"),
        ({"flags": FALLBACK | PORT, "scheduler": "mh"}, f"{MH} (mh-fallback,mh-port)"),
        ({"flags": ALL, "scheduler": "mh"}, f"{MH} (mh-fallback,mh-port,flag-3) ops"),
        ({"flags": ALL, "scheduler": "sh"}, "TCP  10.0.0.100:80 sh (sh-fallback,sh-port) ops"),
        ({"flags": FALLBACK | PORT}, "TCP  10.0.0.100:80 wlc (flag-1,flag-2)"),
        (
            {
                "flags": PORT | OPS,
                "scheduler": "sh",
                "persistent_s": 50,
                "mask": IPv4Address("255.0.0.0"),
            },
            "TCP  10.0.0.100:80 sh (sh-port) persistent 50 mask 255.0.0.0 ops",
        ),
    ],
)
def test_the_flags_of_a_service(more: dict[str, object], line: str) -> None:
    assert listing.table([service(**more)]) == f"{HEAD}{line}\n"  # type: ignore[arg-type]


MASKS = [
    ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""),
    ("ffff:ffff:ffff:ffff::", " mask 64"),
    ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", " mask 127"),
    ("8000::", " mask 1"),
]


@pytest.mark.parametrize(("mask", "shown"), MASKS)
def test_the_mask_of_ipv6_is_a_prefix_length(mask: str, shown: str) -> None:
    row = service("2001:db8::1", persistent_s=50, mask=IPv6Address(mask))
    assert listing.table([row]) == f"{HEAD}TCP  [2001:db8::1]:80 wlc persistent 50{shown}\n"


MARKS = [("0.0.0.7", "FWM  7"), ("::7", "FWM  7 IPv6"), ("255.255.255.255", "FWM  4294967295")]


@pytest.mark.parametrize(("mark", "shown"), MARKS)
def test_a_firewall_mark_is_a_number(mark: str, shown: str) -> None:
    row = service(mark, 0, server("10.0.0.12", port=0), protocol="fwm", scheduler="rr")
    assert listing.table([row]) == HEAD + text(
        f"""
{shown} rr
  -> 10.0.0.12:0                  Route   1      0          0·········
"""
    )


def named(address: Address, port: int, protocol: str) -> str:
    return f"a-very-long-name-for-{address}:{port}-{protocol}"


def test_long_names_of_ipv4_are_cut() -> None:
    shown = listing.table([service("10.0.0.100", 80, server("10.0.0.12"))], name_of=named)
    assert shown == HEAD + text(
        """
TCP  a-very-long-name-for-10.0.0.100:8 wlc
  -> a-very-long-name-for-10.0.0. Route   1      0          0·········
"""
    )


def test_ipv6_is_in_brackets_and_never_cut() -> None:
    long = "2001:db8:1111:2222:3333:4444:5555:6666"
    shown = listing.table([service(long, 80, server(long))])
    assert shown == HEAD + text(
        f"""
TCP  [{long}]:80 wlc
  -> [{long}]:80 Route   1      0          0·········
"""
    )


def test_a_long_name_pushes_the_numbers_on() -> None:
    row = service("2001:db8:1111:2222:3333:4444:5555:6666", 80)
    line = listing.table([row], view=View.STATS).splitlines()[3]
    assert line == "TCP  [2001:db8:1111:2222:3333:4444:5555:6666]:80" + "        0" * 5


def test_names_are_asked_for_with_the_protocol() -> None:
    asked = []

    def name_of(address: Address, port: int, protocol: str) -> str:
        asked.append((str(address), port, protocol))
        return "x"

    listing.table([service("10.0.0.1", 53, server("10.0.0.2"), protocol="udp")], name_of=name_of)
    assert asked == [("10.0.0.1", 53, "udp"), ("10.0.0.2", 80, "udp")]


# ---- Order ----


def starts(lines: str) -> list[str]:
    return [" ".join(line.split()[:2]) for line in lines.splitlines()[3:]]


def test_services_are_in_the_order_of_family_protocol_address_and_port() -> None:
    rows = [
        service("2001:db8::1", 80),
        service("10.0.0.1", 80, protocol="udp"),
        service("11.0.0.1", 80),
        service("10.0.0.9", 80),
        service("10.0.0.10", 80),
        service("10.0.0.10", 443),
        service("0.0.0.7", 0, protocol="fwm"),
        service("10.0.0.1", 80, protocol="sctp"),
        service("127.16.0.1", 80),
    ]
    assert starts(listing.table(rows)) == [
        "TCP 10.0.0.9:80",
        "TCP 10.0.0.10:80",
        "TCP 10.0.0.10:443",
        "TCP 11.0.0.1:80",
        "TCP 127.16.0.1:80",
        "UDP 10.0.0.1:80",
        "SCTP 10.0.0.1:80",
        "TCP [2001:db8::1]:80",
        "FWM 7",
    ]


def test_servers_are_in_the_order_of_ipvsadm_which_goes_in_a_circle() -> None:
    """It compares by a 32-bit difference, as the original was seen to."""
    addresses = ["192.168.7.7", "10.0.0.9", "127.0.0.1", "172.16.0.5"]
    row = service("10.0.0.1", 80, *[server(each) for each in addresses])
    assert starts(listing.table([row]))[1:] == [
        "-> 127.0.0.1:80",
        "-> 172.16.0.5:80",
        "-> 192.168.7.7:80",
        "-> 10.0.0.9:80",
    ]


# ---- Connections ----

CONNECTIONS = (
    "IPVS connection entries\n"
    "pro expire state       source             virtual            destination\n"
)


def connection(
    client: str = "192.168.1.5:50000",
    virtual: str = "10.0.0.100:80",
    to: str = "10.0.0.12",
    *,
    protocol: str = "tcp",
    state: str = "ESTABLISHED",
    left_s: float = 899.0,
    **more: bool,
) -> Connection:
    source, _, source_port = client.rpartition(":")
    vip, _, port = virtual.rpartition(":")
    return Connection(
        protocol=protocol,
        client=ip_address(source.strip("[]")),
        client_port=int(source_port),
        address=ip_address(vip.strip("[]")),
        port=int(port),
        server=ip_address(to),
        server_port=int(port),
        state=state,
        left_s=left_s,
        template=more.get("template", False),
        removed=more.get("removed", False),
    )


def test_connections() -> None:
    entries = [
        connection("192.168.1.5:54321", "10.0.0.100:53", "10.0.0.11", protocol="udp", state="UDP"),
        connection("192.168.1.5:0", "10.0.0.100:443", "10.0.0.11", state="ASSURED", left_s=350),
        connection("192.168.1.6:0", "10.0.0.100:65535", "10.0.0.11", state="NONE", left_s=5999),
        connection(),
    ]
    assert connections.connections(entries) == CONNECTIONS + text(
        """
UDP 14:59  UDP         192.168.1.5:54321  10.0.0.100:53      10.0.0.11:53
TCP 05:50  ASSURED     192.168.1.5:0      10.0.0.100:443     10.0.0.11:443
TCP 99:59  NONE        192.168.1.6:0      10.0.0.100:65535   10.0.0.11:65535
TCP 14:59  ESTABLISHED 192.168.1.5:50000  10.0.0.100:80      10.0.0.12:80
"""
    )


def test_no_connections_are_two_lines() -> None:
    assert connections.connections([]) == CONNECTIONS


LEFT = [
    (0, "00:00 "),
    (0.999, "00:00 "),
    (1, "00:01 "),
    (59.9, "00:59 "),
    (60, "01:00 "),
    (5999, "99:59 "),
    (6000, "100:00"),
    (8015, "133:35"),
    (3_000_000, "50000:00"),
]


@pytest.mark.parametrize(("left_s", "shown"), LEFT)
def test_minutes_are_not_bounded(left_s: float, shown: str) -> None:
    line = connections.connections([connection(left_s=left_s)]).splitlines()[2]
    assert line.startswith(f"TCP {shown} ESTABLISHED ")


def test_a_port_that_an_entry_of_a_template_lost_is_shown_for_the_server_too() -> None:
    entry = connection("10.1.0.1:0", "10.0.0.100:65535", "10.0.0.11", state="NONE", left_s=49)
    assert connections.connections([entry]).splitlines()[2] == (
        "TCP 00:49  NONE        10.1.0.1:0         10.0.0.100:65535   10.0.0.11:65535"
    )


def test_long_addresses_push_the_rest_on() -> None:
    entry = connection("[2001:db8::5]:50000", "[2001:db8::100]:80", "2001:db8::12")
    assert connections.connections([entry]).splitlines()[2] == (
        "TCP 14:59  ESTABLISHED [2001:db8::5]:50000 [2001:db8::100]:80 [2001:db8::12]:80"
    )


def test_connections_are_in_the_tables_order_and_made_while_they_are_read() -> None:
    entries = (connection(f"10.1.0.{last}:1000", "10.0.0.100:80") for last in (9, 7, 8))
    lines = connections.lines(entries)
    assert [next(lines) for _ in range(3)][2].split()[3] == "10.1.0.9:1000"
    assert next(entries).client == IPv4Address("10.1.0.7")


# ---- The rest ----


def test_timeouts() -> None:
    assert listing.timeouts((900, 120, 300)) == "Timeout (tcp tcpfin udp): 900 120 300\n"


@pytest.mark.parametrize(
    ("address", "shown"),
    [(IPv4Address("10.0.0.1"), "10.0.0.1:80"), (IPv6Address("::1"), "[::1]:80")],
)
def test_numeric_names(address: Address, shown: str) -> None:
    assert listing.numeric(address, 80, "tcp") == shown
