"""How much room a file gets in the core, and a core that is filled to the last service."""

from __future__ import annotations

import errno
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from director import service
from test_plan import config, real, virtual

from dr_forwarder import room
from dr_forwarder.dataplane import DataplaneError, Engine, Limits
from dr_forwarder.errors import SetupError, check
from dr_forwarder.table import Change, Operation

WEB = virtual(real(1), real(2), fallback=9)

ROOMS = [
    (1, (1024, 16384)),
    (512, (1024, 16384)),
    (513, (2048, 16384)),
    (2731, (8192, 16384 * 2)),
    (21_844, (65_534, 65_534)),
]


@pytest.mark.parametrize(("services", "expected"), ROOMS)
def test_a_file_gets_twice_what_it_needs(services: int, expected: tuple[int, int]) -> None:
    assert room.of(config(*[WEB] * services)) == expected


def test_more_than_the_core_can_number_is_refused() -> None:
    with pytest.raises(SetupError, match="65535 virtual services are more than a director"):
        room.of(config(*[virtual()] * 65_535))
    with pytest.raises(SetupError, match="65538 real servers are more"):
        room.of(config(*[WEB] * 21_846))


def test_a_reload_must_fit_into_the_table_that_is_there() -> None:
    room.refuse_more(config(WEB), (1, 3))
    with pytest.raises(SetupError, match=r"3 real servers do not fit .* table of 2: restart"):
        room.refuse_more(config(WEB), (1, 2))


def test_every_service_slot_can_be_used_and_used_again() -> None:
    made = [replace(service(), key=replace(service().key, port=port)) for port in range(1, 10)]
    with Engine(limits=Limits(services=8, servers=8, connections=64)) as engine:
        added = [Change(Operation.ADD_SERVICE, each) for each in made]
        assert engine.apply(added) == [0] * 8 + [errno.ENOSPC]
        gone = [Change(Operation.DELETE_SERVICE, each) for each in made[2:4]]
        assert engine.apply(gone) == [0, 0]
        again = [Change(Operation.ADD_SERVICE, made[each]) for each in (8, 2, 3)]
        assert engine.apply(again) == [0, 0, errno.ENOSPC]
        assert {row.service.key.port for row in engine.services()} == {1, 2, 3, 5, 6, 7, 8, 9}
        only = engine.services({made[8].key})
        assert [row.service for row in only] == [made[8]]
        assert made[0].key.address == IPv4Address("10.9.0.100")


def test_no_memory_for_the_core_is_told_with_the_cure() -> None:
    with pytest.raises(DataplaneError, match=r"packet rings: .*ulimit -v, MemoryMax="):
        check(-errno.ENOMEM, "packet rings")
