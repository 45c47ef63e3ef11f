"""The way to an address, as the kernel says it and as direct routing needs it."""

from __future__ import annotations

import errno
from ipaddress import ip_address

import pytest

from dr_forwarder.errors import SetupError
from dr_forwarder.routes import OnLink, Route, look_up, on_link

SERVER = ip_address("10.0.0.2")
SELF = ip_address("10.0.0.1")


def test_the_kernel_knows_its_own_addresses() -> None:
    loopback = [ip_address("127.0.0.1"), ip_address("127.9.9.9")]
    routes = look_up(loopback)
    assert [routes[each].local for each in loopback] == [True, True]
    assert [routes[each].interface_index for each in loopback] == [1, 1]
    assert routes[loopback[0]].source == loopback[0]


def test_each_of_very_many_has_its_own_answer() -> None:
    first = ip_address("127.0.1.0")
    many = [first + i for i in range(1000)]
    routes = look_up(many)
    assert [*routes] == many
    assert all(route.local for route in routes.values())


def test_of_nobody_nothing_is_asked() -> None:
    assert look_up([]) == {}


def test_a_neighbour_is_reached_from_the_address_the_kernel_would_take() -> None:
    route = Route(kind=1, interface_index=3, source=SELF, mtu=1400)
    assert on_link(SERVER, route) == OnLink(3, SELF, 1400)


@pytest.mark.parametrize(("address", "unspecified"), [("10.0.0.2", "0.0.0.0"), ("fe80::2", "::")])
def test_a_route_need_not_name_a_source(address: str, unspecified: str) -> None:
    way = on_link(ip_address(address), Route(kind=1, interface_index=3))
    assert way.source == ip_address(unspecified)


def test_this_host_itself_is_told_apart() -> None:
    assert on_link(SERVER, Route(kind=2, interface_index=1)).local


REFUSED = [
    (Route(errno=errno.ENETUNREACH), "cannot be reached: no route"),
    (Route(errno=errno.EHOSTUNREACH), "cannot be reached: its route refuses packets"),
    (Route(errno=errno.EINVAL), "cannot be reached: its route refuses packets"),
    (Route(kind=1, gateway=ip_address("10.0.0.254")), "through router 10.0.0.254"),
    (Route(kind=1, gateway=ip_address("fe80::1")), "through router fe80::1"),
    (Route(kind=3), "is no unicast address of a neighbour"),
    (Route(kind=5), "is no unicast address of a neighbour"),
]


@pytest.mark.parametrize(("route", "reason"), REFUSED)
def test_what_is_no_neighbour_is_refused(route: Route, reason: str) -> None:
    with pytest.raises(SetupError, match=reason):
        on_link(SERVER, route)


def test_only_a_blackhole_swallows_what_would_be_forwarded() -> None:
    assert Route(errno=errno.EINVAL).blackholed
    assert not Route(errno=errno.ENETUNREACH).blackholed
    assert not Route(kind=1).blackholed
