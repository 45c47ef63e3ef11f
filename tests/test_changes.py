"""Changes of the core's table: in one piece, each with its result, and what becomes of counters."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest
from director import Director, server_mac, service

from dr_forwarder.table import Change, Counters, Operation, Service

WEB = service()
TLS = service("10.9.0.100:443")


@pytest.fixture
def director() -> Iterator[Director]:
    with Director() as director:
        director.add_service(WEB, 1, 1)
        director.add_service(TLS, 1)
        yield director


def counted(director: Director, of: Service) -> list[Counters]:
    """Of the service, and of its servers."""
    row = director.row(of)
    return [row.counters, *(server.counters for server in row.servers)]


def visit(director: Director) -> None:
    director.tcp("S")
    director.tcp("S", target="10.9.0.100:443")


NONE = Counters()


def test_one_services_counters_begin_anew_and_its_servers(director: Director) -> None:
    visit(director)
    others = counted(director, TLS)
    assert director.change(Operation.ZERO_SERVICE, WEB) == 0
    assert counted(director, WEB) == [NONE, NONE, NONE]
    assert counted(director, TLS) == others != [NONE, NONE]


def test_all_counters_begin_anew_and_the_verdicts_stay(director: Director) -> None:
    visit(director)
    assert director.apply(Change(Operation.ZERO_ALL, None)) == [0]
    assert counted(director, WEB) + counted(director, TLS) == [NONE] * 5
    assert director.stats().verdicts["forwarded"] == 2


def test_counters_go_on_from_zero(director: Director) -> None:
    visit(director)
    director.apply(Change(Operation.ZERO_ALL, None))
    director.tcp("A")
    assert director.row(WEB).counters.packets == 1
    assert director.row(WEB).counters.connections == 0


def test_the_counters_of_no_service_cannot_begin_anew(director: Director) -> None:
    nowhere = service("10.9.0.100:99")
    assert director.change(Operation.ZERO_SERVICE, nowhere) == errno.ESRCH


def test_everything_is_deleted_and_its_connections_wait_for_it(director: Director) -> None:
    director.tcp("S")
    first = director.connection()
    assert director.apply(Change(Operation.CLEAR, None)) == [0]
    assert director.engine.services() == ()
    assert director.tcp("A") == "server_removed"
    director.add_service(WEB, 1, 1)
    assert director.tcp("A") == first.server.packed[-1] - 10


def test_after_the_first_failure_nothing_is_tried_if_so_asked(director: Director) -> None:
    changes = (
        Change(Operation.DELETE_SERVICE, TLS),
        Change(Operation.DELETE_SERVICE, TLS),
        Change(Operation.DELETE_SERVICE, WEB),
    )
    results = director.engine.apply(changes, stop=True, now_ns=director.now_ns)
    assert results == [0, errno.ESRCH, errno.ECANCELED]
    assert [row.service for row in director.engine.services()] == [WEB]


def test_every_change_is_tried_otherwise(director: Director) -> None:
    gone = Change(Operation.DELETE_SERVICE, TLS)
    last = Change(Operation.DELETE_SERVICE, WEB)
    assert director.apply(gone, gone, last) == [0, errno.ESRCH, 0]


def test_a_server_may_come_with_its_mac_address(director: Director) -> None:
    server = director.server(WEB, 9)
    mac = server_mac("10.9.0.19")
    assert director.apply(Change(Operation.ADD_SERVER, WEB, server, mac, 1400)) == [0]
    row = director.server_row(WEB, 9)
    assert (row.mac, row.mtu) == (mac, 1400)


def test_a_server_that_is_taken_back_keeps_its_mac_address(director: Director) -> None:
    director.delete(WEB, 1)
    assert director.change(Operation.ADD_SERVER, WEB, director.server(WEB, 1)) == 0
    assert director.server_row(WEB, 1).mac == server_mac("10.9.0.11")


def test_every_slot_can_be_used_again_and_again() -> None:
    with Director(servers=4) as director:
        director.add_service(WEB, 1, 1, 1, 1)
        for round_ in range(3):
            assert director.add(WEB, 5 + round_) == errno.ENOSPC
            for number in list(director.counts(WEB)):
                director.delete(WEB, number)
            director.wait(121)
            assert [director.add(WEB, 10 * round_ + n) for n in range(1, 5)] == [0, 0, 0, 0]
