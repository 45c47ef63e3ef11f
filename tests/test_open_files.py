"""Open files: counted by the checks, and asked for before they begin."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from dr_forwarder import open_files
from dr_forwarder.api.door import LOOKING, USUAL
from dr_forwarder.config.model import Check, CheckType, Config, Real, Virtual

REAL = Real(IPv4Address("10.0.0.1"), 80)
WEB = Virtual("tcp", IPv4Address("192.0.2.1"), 80, real=(REAL,) * 1000)
COUNTS = [
    pytest.param(Check(service="http"), 1000, id="a connection each"),
    pytest.param(Check(service="ftp"), 2000, id="control and data"),
    pytest.param(Check(service="http", through_vip=True), 2000, id="a quiet port"),
    pytest.param(Check(type=CheckType.EXTERNAL), 6000, id="pipes"),
    pytest.param(Check(type=CheckType.ON), 0, id="no check"),
]


@pytest.mark.parametrize(("check", "more"), COUNTS)
def test_so_many_are_needed(check: Check, more: int) -> None:
    whole = Config("x.cf", virtuals=(replace(WEB, check=check),))
    assert open_files.needed(whole) == open_files.needed(Config("x.cf")) + more


def test_who_talks_to_the_director_takes_nothing_from_the_checks() -> None:
    assert USUAL.clients + USUAL.kept + LOOKING.clients + LOOKING.kept <= open_files.VISITORS


ASK = """
import resource, sys
from dr_forwarder import open_files
from dr_forwarder.errors import SetupError
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 1000))
try:
    open_files.make_room(int(sys.argv[1]))
except SetupError as error:
    print(error)
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""
ASKED = [
    pytest.param(50, "100 1000\n", id="enough"),
    pytest.param(500, "500 1000\n", id="raised"),
    pytest.param(2000, "and 1000 are allowed here: raise the limit (ulimit -Hn 2000", id="refused"),
]


@pytest.mark.parametrize(("count", "told"), ASKED)
def test_the_limit_is_raised_as_far_as_it_may_be(count: int, told: str) -> None:
    """In a process of its own, which may lower its limits for good."""
    ended = subprocess.run(
        [sys.executable, "-c", ASK, str(count)], capture_output=True, text=True, check=True
    )
    assert told in ended.stdout
