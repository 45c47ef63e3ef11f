"""What ipvsadm and the kernel refuse first, of a line with more than one thing wrong."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest
from records.commandline import RecordedNames
from records.world import World

from dr_forwarder.ipvsadm.command import Outcome, run

TABLE = "-A -t 10.9.0.100:80 -s rr", "-a -t 10.9.0.100:80 -r 10.9.0.11:80 -g -w 1"
NO_ENGINE = "Scheduler or persistence engine not found"
RANGE = "Numerical result out of range"

REFUSED = [
    pytest.param("-A -t 10.9.0.100:80 --pe sip", "Service already exists", id="engine, there"),
    pytest.param("-A -t 10.9.0.101:80 --pe sip", NO_ENGINE, id="engine"),
    pytest.param("-E -t 10.9.0.101:80 --pe sip", "No such service", id="engine, not there"),
    pytest.param("-E -t 10.9.0.100:80 --pe sip", NO_ENGINE, id="engine, edited"),
    pytest.param("-a -t 10.9.0.100:80 -r 10.9.0.11 -y 3", RANGE, id="thresholds, there"),
    pytest.param("-e -t 10.9.0.100:80 -r 10.9.0.12 -y 3", RANGE, id="thresholds, not there"),
    pytest.param("-a -t 10.9.0.101:80 -r 10.9.0.12 -y 3", "Service not defined", id="no service"),
]


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        for line in TABLE:
            assert ipvsadm(world, line) == Outcome()
        yield world


def ipvsadm(world: World, line: str, given: str = "") -> Outcome:
    return run(shlex.split(line), world, RecordedNames(), given=lambda: given)


@pytest.mark.parametrize(("line", "error"), REFUSED)
def test_the_first_thing_wrong_is_told(world: World, line: str, error: str) -> None:
    assert ipvsadm(world, line) == Outcome(255, error=f"{error}\n")


def test_restoring_ends_at_a_service_that_cannot_be_listed(world: World) -> None:
    given = "-A -f 1\n-L -f 2\n-A -f 3\n"
    assert ipvsadm(world, "-R", given) == Outcome(1, error="No such service\n")
    assert [row.service.key.name for row in world.services()] == ["10.9.0.100:80", "1"]
