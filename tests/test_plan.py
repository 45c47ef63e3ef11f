"""Plan: what should be in the table, and the changes that lead there, tried on a table of dicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from dr_forwarder import plan, telling
from dr_forwarder.config import table_keys
from dr_forwarder.config.model import Config, Fallback, Real, Virtual
from dr_forwarder.health import Health
from dr_forwarder.ldirectord.phrases import phrase
from dr_forwarder.orders import NO_DRAINS, Drains
from dr_forwarder.table import (
    Change,
    Drain,
    Key,
    Operation,
    Server,
    ServerRow,
    Service,
    ServiceRow,
)
from dr_forwarder.telling import Cast

PATIENT = settings(deadline=None)
"""A busy machine is no fault of the code."""

VIP = IPv4Address("10.9.0.100")
UP, DOWN, UNKNOWN = True, False, None


def address(number: int) -> IPv4Address:
    return IPv4Address("10.9.0.10") + number


def mac(number: int) -> bytes:
    return bytes([2, 0, 0, 0, 0, number])


def real(number: int, weight: int = 1, **more: int) -> Real:
    return Real(address(number), more.pop("port", 80), weight, **more)


def virtual(*reals: Real, fallback: int | None = None, **more: object) -> Virtual:
    options: dict[str, object] = {"protocol": "tcp", "address": VIP, "port": 80, **more}
    spare = None if fallback is None else Fallback(address(fallback), 80)
    return Virtual(real=reals, fallback=spare, **options)  # type: ignore[arg-type]


def config(*virtuals: Virtual, readd: bool = False) -> Config:
    return Config("test.cf", virtuals, readd_quiescent=readd)


class Table:
    """What the core does with changes, and as unforgiving: only what is there can be changed."""

    def __init__(self) -> None:
        self._services: dict[Key, Service] = {}
        self._servers: dict[Key, dict[IPv4Address, Server]] = {}
        self._macs: dict[tuple[Key, IPv4Address], bytes] = {}
        self._mtus: dict[tuple[Key, IPv4Address], int] = {}

    def apply(self, changes: Iterable[Change]) -> None:
        for change in changes:
            if change.operation is Operation.SET_MAC:
                self._set_mac(change)
            else:
                self._change(change.operation, change.service, change.server)

    def _set_mac(self, change: Change) -> None:
        found = [
            (key, change.server.address)
            for key, servers in self._servers.items()
            if change.server.address in servers
        ]
        assert found
        self._macs.update(dict.fromkeys(found, change.mac))
        self._mtus.update(dict.fromkeys(found, change.mtu))

    def _change(self, operation: Operation, service: Service, server: Server | None) -> None:
        key = service.key
        match operation:
            case Operation.ADD_SERVICE:
                assert key not in self._services
                self._services[key], self._servers[key] = service, {}
            case Operation.EDIT_SERVICE:
                assert key in self._services
                self._services[key] = service
            case Operation.DELETE_SERVICE:
                del self._services[key]
                for gone in self._servers.pop(key):
                    self._macs.pop((key, gone), None)
            case Operation.ADD_SERVER:
                assert server.address not in self._servers[key]
                self._servers[key][server.address] = server
            case Operation.EDIT_SERVER:
                assert server.address in self._servers[key]
                self._servers[key][server.address] = server
            case Operation.DELETE_SERVER:
                del self._servers[key][server.address]
                self._macs.pop((key, server.address), None)

    def rows(self) -> tuple[ServiceRow, ...]:
        return tuple(
            ServiceRow(
                service,
                tuple(
                    ServerRow(
                        server,
                        mac=self._macs.get((key, server.address)),
                        mtu=self._mtus.get((key, server.address), 0),
                    )
                    for server in reversed(self._servers[key].values())
                ),
            )
            for key, service in self._services.items()
        )


States = Mapping[IPv4Address, bool | None]
Macs = Mapping[IPv4Address, bytes]


def wanted(
    table: Table, configured: Config, states: States, drains: Drains = NO_DRAINS
) -> tuple[plan.Wanted, ...]:
    def health(_: Virtual, server: Real) -> Health:
        return Health(up=states.get(server.address, UP))

    return plan.wanted(configured, health, table.rows(), None, drains)


def steps(
    table: Table,
    configured: Config,
    states: States,
    macs: Macs | None = None,
    mtus: Mapping[IPv4Address, int] | None = None,
    drains: Drains = NO_DRAINS,
) -> list[Change]:
    """Brings the table to the configuration; servers that are not named are up."""

    current = table.rows()
    goal = wanted(table, configured, states, drains)
    found = plan.changes(current, goal, macs or {}, mtus or {})
    table.apply(found)
    return list(found)


def texts(configured: Config, changes: Iterable[Change]) -> list[str]:
    cast = Cast().after(configured)
    told = [event for change in changes if (event := telling.event(change, cast))]
    return [text for event in told if (text := phrase(event))]


def weights(table: Table) -> dict[str, int]:
    return {each.server.name: each.server.weight for row in table.rows() for each in row.servers}


def filled(*servers: tuple[int, int], of: Virtual) -> Table:
    """A table that has the service, with servers of these weights."""
    table, service = Table(), table_keys.service_of(of)
    table.apply([Change(Operation.ADD_SERVICE, service)])
    for number, weight in servers:
        server = Server(address(number), service.key.port, weight)
        table.apply([Change(Operation.ADD_SERVER, service, server)])
    return table


# ---- One server: what it should have, from what it is and what it has ----

WEIGHTS = """
    health   quiescent  readd    absent  at0  at5
    up       no         no       3       3    3
    up       no         yes      3       3    3
    up       yes        no       3       3    3
    up       yes        yes      3       3    3
    unknown  no         no       -       0    3
    unknown  no         yes      -       0    3
    unknown  yes        no       -       0    3
    unknown  yes        yes      -       0    3
    down     no         no       -       -    -
    down     no         yes      -       -    -
    down     yes        no       -       0    0
    down     yes        yes      0       0    0
"""


def weight_cases() -> list[object]:
    head, *rows = [line.split() for line in WEIGHTS.strip().splitlines()]
    return [
        pytest.param(
            {"up": UP, "down": DOWN, "unknown": UNKNOWN}[health],
            quiescent == "yes",
            readd == "yes",
            None if column == "absent" else int(column[2:]),
            None if weight == "-" else int(weight),
            id=f"{health} quiescent={quiescent} readd={readd} {column}",
        )
        for health, quiescent, readd, *expected in rows
        for column, weight in zip(head[3:], expected, strict=True)
    ]


@pytest.mark.parametrize(("up", "quiescent", "readd", "before", "expected"), weight_cases())
def test_the_weight_of_a_server(
    up: bool | None, quiescent: bool, readd: bool, before: int | None, expected: int | None
) -> None:
    service = virtual(real(1, weight=3), quiescent=quiescent)
    table = filled(*([] if before is None else [(1, before)]), of=service)
    steps(table, config(service, readd=readd), {address(1): up})
    assert weights(table).get("10.9.0.11:80") == expected


# ---- Fallback ----

FALLBACKS = [
    pytest.param([(1, 1, UP), (2, 1, UP)], 9, False, {11: 1, 12: 1}, id="off while all are up"),
    pytest.param([(1, 1, DOWN), (2, 1, UP)], 9, False, {12: 1}, id="off while one is up"),
    pytest.param([(1, 1, DOWN), (2, 1, DOWN)], 9, False, {19: 1}, id="on while none is up"),
    pytest.param([(1, 1, DOWN)], 9, True, {11: 0, 19: 1}, id="on beside quiescent servers"),
    pytest.param([(1, 1, UNKNOWN)], 9, False, {19: 1}, id="on before the first result"),
    pytest.param([], 9, False, {19: 1}, id="on without real servers"),
    pytest.param([(1, 0, UP), (2, 0, UP)], 9, False, {11: 0, 12: 0, 19: 1}, id="all weights 0"),
    pytest.param([(1, 0, UP), (2, 2, UP)], 9, False, {11: 0, 12: 2}, id="one weight 0"),
    pytest.param([(1, 3, DOWN), (2, 1, DOWN)], 1, False, {11: 1}, id="its real server is down"),
    pytest.param([(1, 3, DOWN), (2, 1, UP)], 1, False, {12: 1}, id="the other server is up"),
    pytest.param([(1, 3, UP), (2, 1, UP)], 1, False, {11: 3, 12: 1}, id="its real server is up"),
    pytest.param([(1, 3, DOWN)], 1, True, {11: 1}, id="its real server would be quiescent"),
    pytest.param([(1, 0, UP)], 1, False, {11: 1}, id="its real server has weight 0"),
    pytest.param([(1, 1, DOWN)], None, False, {}, id="none configured"),
]


@pytest.mark.parametrize(("reals", "fallback", "quiescent", "expected"), FALLBACKS)
def test_the_fallback_is_there_exactly_while_no_server_is_up(
    reals: list[tuple[int, int, bool | None]],
    fallback: int | None,
    quiescent: bool,
    expected: dict[int, int],
) -> None:
    service = virtual(
        *[real(number, weight) for number, weight, _ in reals],
        fallback=fallback,
        quiescent=quiescent,
    )
    table = Table()
    states = {address(number): up for number, _, up in reals}
    steps(table, config(service, readd=True), states)
    assert weights(table) == {f"10.9.0.{last}:80": weight for last, weight in expected.items()}


def test_a_fallback_that_is_a_real_server_stays_as_one() -> None:
    service, table = virtual(real(1, 3), real(2), fallback=1), Table()
    seen = []
    for states in ([DOWN, DOWN], [UP, DOWN], [UP, UP], [DOWN, UP], [DOWN, DOWN]):
        steps(table, config(service), dict(zip([address(1), address(2)], states, strict=True)))
        seen.append(weights(table))
    first, second = "10.9.0.11:80", "10.9.0.12:80"
    assert seen == [{first: 1}, {first: 3}, {first: 3, second: 1}, {second: 1}, {first: 1}]


def test_an_unknown_server_that_is_its_own_fallback_keeps_weight_1() -> None:
    service, table = virtual(real(1, 3), fallback=1), Table()
    steps(table, config(service), {address(1): UNKNOWN})
    assert steps(table, config(service), {address(1): UNKNOWN}) == []


def test_an_unknown_server_beside_the_fallback_keeps_its_weight_0() -> None:
    service = virtual(real(1), fallback=9, quiescent=True)
    table = filled((1, 0), (9, 1), of=service)
    assert steps(table, config(service), {address(1): UNKNOWN}) == []


def test_each_service_has_its_own_fallback_state() -> None:
    web = virtual(real(1), fallback=9)
    tls = virtual(real(2), fallback=9, port=443)
    table = Table()
    steps(table, config(web, tls), {address(2): DOWN})
    assert weights(table) == {"10.9.0.11:80": 1, "10.9.0.19:443": 1}


def test_of_two_checks_of_one_server_one_that_passes_is_enough() -> None:
    """In direct routing both are one server: the port of a real server is only for its check."""
    service = virtual(real(1), real(1, port=81), fallback=9, quiescent=True)
    table = filled((1, 1), of=service)
    current = table.rows()
    goal = plan.wanted(config(service), lambda _, each: Health(up=each.port == 81), current)
    table.apply(plan.changes(current, goal, {}))
    assert weights(table) == {"10.9.0.11:80": 1}


# ---- What the table's rows are made of ----


def test_a_service_carries_what_the_file_says() -> None:
    service = virtual(persistent_s=600, netmask="255.255.255.0", scheduler="wlc", protocol="udp")
    assert table_keys.service_of(service) == Service(
        Key("udp", VIP, 80), "wlc", 600, IPv4Address("255.255.255.0")
    )


def test_a_service_without_a_netmask_keeps_whole_addresses() -> None:
    assert table_keys.service_of(virtual()).mask == IPv4Address("255.255.255.255")


MASKS = [
    pytest.param(None, IPv6Address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), id="none"),
    pytest.param("128", IPv6Address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), id="128"),
    pytest.param("127", IPv6Address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"), id="127"),
    pytest.param("64", IPv6Address("ffff:ffff:ffff:ffff::"), id="64"),
    pytest.param("1", IPv6Address("8000::"), id="1"),
]


@pytest.mark.parametrize(("netmask", "mask"), MASKS)
def test_the_netmask_of_ipv6_is_a_prefix_length(netmask: str | None, mask: IPv6Address) -> None:
    vip = IPv6Address("2001:db8::1")
    service = virtual(address=vip, ipv6=True, persistent_s=300, netmask=netmask)
    assert table_keys.service_of(service) == Service(Key("tcp", vip, 80), "wrr", 300, mask)


def test_a_server_of_an_ipv6_service_has_its_port() -> None:
    spare = Real(IPv6Address("2001:db8::2"), 8080, 5)
    service = virtual(address=IPv6Address("2001:db8::1"), ipv6=True)
    assert table_keys.server_of(service, spare, weight=5).name == "[2001:db8::2]:80"


MARKS = [
    pytest.param(False, IPv4Address("0.0.0.7"), id="IPv4"),
    pytest.param(True, IPv6Address("::7"), id="IPv6"),
]


@pytest.mark.parametrize(("ipv6", "number"), MARKS)
def test_a_firewall_mark_is_a_service_with_the_mark_for_its_address(
    ipv6: bool, number: IPv4Address | IPv6Address
) -> None:
    service = virtual(protocol="fwm", address=None, port=0, fwmark=7, ipv6=ipv6)
    assert table_keys.service_of(service).key == Key("fwm", number, 0)


def test_a_server_has_the_port_of_its_service_and_its_own_thresholds() -> None:
    checked_elsewhere = real(1, 5, port=8080, upper=100, lower=50)
    server = table_keys.server_of(virtual(), checked_elsewhere, weight=2)
    assert server == Server(address(1), 80, 2, upper=100, lower=50)


# ---- Order ----


def test_services_and_servers_are_added_in_the_order_of_the_file() -> None:
    tls = virtual(real(3), port=443)
    changes = steps(Table(), config(tls, virtual(real(2), real(1), fallback=9)), {})
    named = [(each.operation.name, each.server.name if each.server else "") for each in changes]
    assert named == [
        ("ADD_SERVICE", ""),
        ("ADD_SERVER", "10.9.0.13:443"),
        ("ADD_SERVICE", ""),
        ("ADD_SERVER", "10.9.0.12:80"),
        ("ADD_SERVER", "10.9.0.11:80"),
    ]


def test_room_is_made_before_it_is_needed() -> None:
    """What goes, goes before what comes: a full table can be reloaded."""
    table = Table()
    steps(table, config(virtual(real(1), real(2)), virtual(real(3), port=443)), {})
    after = config(virtual(real(4), real(2)), virtual(real(5), port=8080))
    kinds = [change.operation.name for change in steps(table, after, {})]
    assert kinds == ["DELETE_SERVICE", "DELETE_SERVER", "ADD_SERVER", "ADD_SERVICE", "ADD_SERVER"]


# ---- Reloads, in the words of the log ----

RELOADS = [
    pytest.param(virtual(real(1)), virtual(real(1)), [], id="nothing"),
    pytest.param(
        virtual(real(1)),
        virtual(real(1), real(2, 4)),
        ["Added real server: 10.9.0.12:80 (10.9.0.100:80) (Weight set to 4)"],
        id="a server more",
    ),
    pytest.param(
        virtual(real(1), real(2)),
        virtual(real(1)),
        ["Purged real server: 10.9.0.12:80 (10.9.0.100:80)"],
        id="a server less",
    ),
    pytest.param(
        virtual(real(1)),
        virtual(real(1, 7)),
        ["Restored real server: 10.9.0.11:80 (10.9.0.100:80) (Weight set to 7)"],
        id="another weight",
    ),
    pytest.param(
        virtual(real(1)),
        virtual(real(1, upper=10)),
        ["Restored real server: 10.9.0.11:80 (10.9.0.100:80) (Weight set to 1)"],
        id="another threshold",
    ),
    pytest.param(
        virtual(real(1)), virtual(real(1, port=8080)), [], id="only the port of the check moved"
    ),
    pytest.param(
        virtual(real(1)),
        virtual(real(1), scheduler="wlc"),
        ["Changed virtual server: 10.9.0.100:80"],
        id="another scheduler",
    ),
    pytest.param(
        virtual(real(1), persistent_s=300),
        virtual(real(1), persistent_s=600),
        ["Changed virtual server: 10.9.0.100:80"],
        id="another persistence",
    ),
    pytest.param(
        virtual(real(1)),
        virtual(real(1), port=443),
        [
            "Purged virtual server: 10.9.0.100:80",
            "Added virtual server: 10.9.0.100:443",
            "Added real server: 10.9.0.11:443 (10.9.0.100:443) (Weight set to 1)",
        ],
        id="another port is another service",
    ),
    pytest.param(
        virtual(real(1)),
        virtual(real(1), protocol="udp"),
        [
            "Purged virtual server: 10.9.0.100:80",
            "Added virtual server: 10.9.0.100:80",
            "Added real server: 10.9.0.11:80 (10.9.0.100:80) (Weight set to 1)",
        ],
        id="another protocol is another service",
    ),
]


@pytest.mark.parametrize(("before", "after", "log"), RELOADS)
def test_a_reload(before: Virtual, after: Virtual, log: list[str]) -> None:
    table = Table()
    steps(table, config(before), {})
    assert texts(config(after), steps(table, config(after), {})) == log


def test_a_reload_does_not_give_traffic_to_a_server_before_its_first_check() -> None:
    table = Table()
    steps(table, config(virtual(real(1))), {})
    changes = steps(table, config(virtual(real(1), real(2))), {address(2): UNKNOWN})
    assert changes == []


# ---- What happens to servers, in the words of the log ----

QUIESCENT = virtual(real(1), real(2), fallback=9, quiescent=True)
DELETING = replace(QUIESCENT, quiescent=False)
EVENTS = [
    pytest.param(
        DELETING,
        DOWN,
        [
            "Deleted real server: 10.9.0.12:80 (10.9.0.100:80)",
            "Deleted real server: 10.9.0.11:80 (10.9.0.100:80)",
            "Added fallback server: 10.9.0.19:80 (10.9.0.100:80) (Weight set to 1)",
        ],
        [
            "Deleted fallback server: 10.9.0.19:80 (10.9.0.100:80)",
            "Added real server: 10.9.0.11:80 (10.9.0.100:80) (Weight set to 1)",
            "Added real server: 10.9.0.12:80 (10.9.0.100:80) (Weight set to 1)",
        ],
        id="taken out",
    ),
    pytest.param(
        QUIESCENT,
        DOWN,
        [
            "Quiescent real server: 10.9.0.11:80 (10.9.0.100:80) (Weight set to 0)",
            "Quiescent real server: 10.9.0.12:80 (10.9.0.100:80) (Weight set to 0)",
            "Added fallback server: 10.9.0.19:80 (10.9.0.100:80) (Weight set to 1)",
        ],
        [
            "Deleted fallback server: 10.9.0.19:80 (10.9.0.100:80)",
            "Restored real server: 10.9.0.11:80 (10.9.0.100:80) (Weight set to 1)",
            "Restored real server: 10.9.0.12:80 (10.9.0.100:80) (Weight set to 1)",
        ],
        id="made quiescent",
    ),
    pytest.param(DELETING, UNKNOWN, [], [], id="forgotten"),
]


@pytest.mark.parametrize(("service", "then", "gone", "back"), EVENTS)
def test_all_servers_go_and_come_back(
    service: Virtual, then: bool | None, gone: list[str], back: list[str]
) -> None:
    table, configured = Table(), config(service)
    steps(table, configured, {})
    states = {address(1): then, address(2): then}
    assert texts(configured, steps(table, configured, states)) == gone
    assert texts(configured, steps(table, configured, {})) == back


# ---- MAC addresses ----


def told(changes: Iterable[Change]) -> list[tuple[str, bytes | None]]:
    return [(str(each.server.address), each.mac) for each in changes if each.service is None]


def test_a_new_server_is_told_its_mac() -> None:
    changes = steps(Table(), config(virtual(real(1))), {}, {address(1): mac(1)})
    assert told(changes) == [("10.9.0.11", mac(1))]


def test_a_mac_that_is_not_known_yet_is_not_told() -> None:
    assert told(steps(Table(), config(virtual(real(1))), {})) == []


def test_a_mac_is_told_once() -> None:
    table, configured, macs = Table(), config(virtual(real(1))), {address(1): mac(1)}
    steps(table, configured, {}, macs)
    assert steps(table, configured, {}, macs) == []


def test_a_mac_learnt_later_or_moved_is_told() -> None:
    table, configured = Table(), config(virtual(real(1), real(2)))
    steps(table, configured, {}, {address(2): mac(2)})
    later = steps(table, configured, {}, {address(1): mac(1), address(2): mac(2)})
    moved = steps(table, configured, {}, {address(1): mac(1), address(2): mac(7)})
    assert told(later) == [("10.9.0.11", mac(1))]
    assert told(moved) == [("10.9.0.12", mac(7))]


def test_a_forgotten_mac_stays_in_the_table() -> None:
    table, configured = Table(), config(virtual(real(1)))
    steps(table, configured, {}, {address(1): mac(1)})
    assert steps(table, configured, {}, {}) == []


def test_one_address_in_two_services_is_told_once() -> None:
    both = config(virtual(real(1)), virtual(real(1), port=443))
    changes = steps(Table(), both, {}, {address(1): mac(1)})
    assert told(changes) == [("10.9.0.11", mac(1))]


def test_an_address_that_joins_a_second_service_is_told_again() -> None:
    table, macs = Table(), {address(1): mac(1)}
    web, tls = virtual(real(1)), virtual(real(1), port=443)
    steps(table, config(web), {}, macs)
    assert told(steps(table, config(web, tls), {}, macs)) == [("10.9.0.11", mac(1))]


def test_a_server_that_comes_back_is_told_its_mac_again() -> None:
    table, configured, macs = Table(), config(virtual(real(1))), {address(1): mac(1)}
    steps(table, configured, {}, macs)
    steps(table, configured, {address(1): DOWN}, macs)
    assert told(steps(table, configured, {}, macs)) == [("10.9.0.11", mac(1))]


def test_macs_come_after_the_servers_they_belong_to() -> None:
    changes = steps(Table(), config(virtual(real(1), fallback=9)), {}, {address(1): mac(1)})
    assert [change.operation for change in changes][-1] is Operation.SET_MAC


def test_a_way_that_takes_less_is_told_once_and_again_when_it_changes() -> None:
    table, configured, macs = Table(), config(virtual(real(1))), {address(1): mac(1)}
    for mtus, expected in (({address(1): 1400}, [1400]), ({address(1): 1400}, []), ({}, [0])):
        changes = steps(table, configured, {}, macs, mtus)
        assert [each.mtu for each in changes if each.operation is Operation.SET_MAC] == expected


def test_the_mac_of_a_server_that_is_down_is_not_told() -> None:
    states, macs = {address(1): DOWN}, {address(1): mac(1)}
    assert told(steps(Table(), config(virtual(real(1))), states, macs)) == []


# ---- Properties ----

NUMBERS = st.integers(1, 4)
STATES = st.fixed_dictionaries(
    {address(number): st.sampled_from([UP, DOWN, UNKNOWN]) for number in range(1, 5)}
)
MACS = st.dictionaries(NUMBERS.map(address), st.integers(1, 3).map(mac))


@st.composite
def reals(draw: st.DrawFn) -> tuple[Real, ...]:
    numbers = draw(st.lists(NUMBERS, unique=True))
    return tuple(
        real(number, draw(st.integers(0, 3)), upper=draw(st.integers(0, 1))) for number in numbers
    )


@st.composite
def configs(draw: st.DrawFn) -> Config:
    ports = draw(st.lists(st.sampled_from([80, 443, 8080]), unique=True))
    virtuals = [
        virtual(
            *draw(reals()),
            port=port,
            fallback=draw(st.none() | NUMBERS),
            quiescent=draw(st.booleans()),
            scheduler=draw(st.sampled_from(["rr", "wlc"])),
            persistent_s=draw(st.none() | st.just(300)),
        )
        for port in ports
    ]
    return config(*virtuals, readd=draw(st.booleans()))


def holds(table: Table) -> dict[Service, dict[IPv4Address, Server]]:
    return {
        row.service: {each.server.address: each.server for each in row.servers}
        for row in table.rows()
    }


def undecided(configured: Config, states: States) -> bool:
    """A server that is its own fallback, before its first check."""
    return any(
        each.fallback is not None
        and states[each.fallback.address] is UNKNOWN
        and any(server.address == each.fallback.address for server in each.real)
        for each in configured.virtuals
    )


@PATIENT
@given(st.lists(st.tuples(configs(), STATES, MACS), min_size=1, max_size=4))
def test_the_changes_lead_to_what_is_wanted(
    history: list[tuple[Config, States, Macs]],
) -> None:
    table = Table()
    for configured, states, macs in history:
        goal = wanted(table, configured, states)
        steps(table, configured, states, macs)
        assert holds(table) == {
            target.service: {server.address: server for server in target.servers} for target in goal
        }
        for row in table.rows():
            for each in row.servers:
                assert each.mac == macs.get(each.server.address, each.mac)


ALL_UP = {address(number): UP for number in range(1, 5)}


@PATIENT
@given(configs(), STATES, MACS, configs(), STATES, MACS)
@example(
    config(virtual(real(1, 0))),
    ALL_UP,
    {},
    config(virtual(real(1, 0), fallback=2)),
    {**ALL_UP, address(1): UNKNOWN},
    {},
)
def test_what_has_been_done_is_not_done_again(
    before: Config, old: States, first: Macs, after: Config, new: States, then: Macs
) -> None:
    assume(not undecided(after, new))
    table = Table()
    steps(table, before, old, first)
    steps(table, after, new, then)
    assert steps(table, after, new, then) == []


@PATIENT
@given(configs(), STATES, STATES)
def test_only_servers_that_have_passed_a_check_and_fallbacks_get_traffic(
    configured: Config, before: States, states: States
) -> None:
    table = Table()
    steps(table, configured, before)
    earlier = {row.service.key: holds(table)[row.service] for row in table.rows()}
    steps(table, configured, states)
    for service, row in zip(configured.virtuals, table.rows(), strict=True):
        trusted = {each for each, up in states.items() if up}
        had = earlier[row.service.key]
        trusted |= {a for a in had if had[a].weight and states[a] is UNKNOWN}
        trusted |= {service.fallback.address} if service.fallback else set()
        assert {each.server.address for each in row.servers if each.server.weight} <= trusted


@PATIENT
@given(configs(), STATES)
def test_somebody_serves_whenever_somebody_can(configured: Config, states: States) -> None:
    table = Table()
    steps(table, configured, states)
    for service, row in zip(configured.virtuals, table.rows(), strict=True):
        can = service.fallback or any(r.weight and states[r.address] for r in service.real)
        assert any(each.server.weight for each in row.servers) == bool(can)


# ---- Orders ----

WEB = Key("tcp", VIP, 80)


def draining(*numbers: int, how: Drain = Drain.KEEP) -> Drains:
    return {(WEB, address(number)): how for number in numbers}


def servers_of(table: Table) -> dict[IPv4Address, tuple[int, Drain]]:
    (row,) = table.rows()
    return {each.server.address: (each.server.weight, each.server.drain) for each in row.servers}


@pytest.mark.parametrize("state", [UP, DOWN, UNKNOWN])
@pytest.mark.parametrize("quiescent", [True, False])
def test_a_server_that_is_drained_stays_without_weight_whatever_its_checks_say(
    state: bool | None, quiescent: bool
) -> None:
    """An application that is shutting down fails its check while it serves what it has."""
    table = Table()
    configured = config(virtual(real(1, 3), real(2), quiescent=quiescent))
    steps(table, configured, {})
    steps(table, configured, {address(1): state}, drains=draining(1))
    assert servers_of(table) == {address(1): (0, Drain.KEEP), address(2): (1, Drain.NONE)}
    steps(table, configured, {address(1): state}, drains=draining(1, how=Drain.RESET))
    assert servers_of(table)[address(1)] == (0, Drain.RESET)
    assert steps(table, configured, {}, drains=draining(1, how=Drain.RESET)) == []


def test_a_server_that_is_down_already_is_not_added_to_be_drained() -> None:
    table = Table()
    configured = config(virtual(real(1), real(2)))
    steps(table, configured, {address(1): DOWN})
    steps(table, configured, {address(1): DOWN}, drains=draining(1))
    assert list(servers_of(table)) == [address(2)]
    steps(table, configured, {}, drains=draining(1))
    assert servers_of(table)[address(1)] == (0, Drain.KEEP)


@pytest.mark.parametrize(
    ("state", "expected"), [(UP, (3, Drain.NONE)), (DOWN, None)], ids=["up", "down"]
)
def test_without_the_order_its_checks_decide_again(
    state: bool, expected: tuple[int, Drain] | None
) -> None:
    table = Table()
    configured = config(virtual(real(1, 3), real(2), quiescent=False))
    steps(table, configured, {}, drains=draining(1))
    steps(table, configured, {address(1): state})
    assert servers_of(table).get(address(1)) == expected


def test_when_all_are_drained_the_fallback_serves() -> None:
    table = Table()
    configured = config(virtual(real(1), real(2), fallback=9))
    steps(table, configured, {}, drains=draining(1, 2))
    assert servers_of(table)[address(9)] == (1, Drain.NONE)
    steps(table, configured, {}, drains=draining(2))
    assert address(9) not in servers_of(table)


@pytest.mark.parametrize("spare", [1, 9])
def test_a_fallback_that_is_drained_gets_nothing_either(spare: int) -> None:
    table = Table()
    configured = config(virtual(real(1), fallback=spare))
    steps(table, configured, {}, drains=draining(1, spare))
    assert servers_of(table)[address(spare)] == (0, Drain.KEEP)


def test_an_order_is_about_one_service() -> None:
    table = Table()
    configured = config(virtual(real(1)), virtual(real(1, port=443), port=443))
    steps(table, configured, {}, drains=draining(1))
    weights = {row.service.key.port: row.servers[0].server.weight for row in table.rows()}
    assert weights == {80: 0, 443: 1}


def test_what_an_order_does_is_not_told_as_if_a_check_had_done_it() -> None:
    table = Table()
    configured = config(virtual(real(1), real(2)))
    steps(table, configured, {})
    cast = Cast().after(configured)
    for how in (Drain.KEEP, Drain.RESET):
        done = steps(table, configured, {}, drains=draining(1, how=how))
        assert [telling.event(each, cast) for each in done] == [None]
    (back,) = steps(table, configured, {})
    assert phrase(telling.event(back, cast)) == (
        "Restored real server: 10.9.0.11:80 (10.9.0.100:80) (Weight set to 1)"
    )


@PATIENT
@given(configs(), STATES, STATES, st.sets(st.integers(1, 4)), st.sampled_from(Drain))
def test_whatever_happens_nobody_who_is_drained_gets_traffic(
    configured: Config, before: States, states: States, numbers: set[int], how: Drain
) -> None:
    assume(how is not Drain.NONE)
    table = Table()
    steps(table, configured, before)
    out = {
        (table_keys.key_of(service), address(number)): how
        for service in configured.virtuals
        for number in numbers
    }
    steps(table, configured, states, drains=out)
    for row in table.rows():
        for each in row.servers:
            drained = (row.service.key, each.server.address) in out
            assert (each.server.drain is how) == drained
            assert not (drained and each.server.weight)
    assume(not undecided(configured, states))
    assert steps(table, configured, states, drains=out) == []
