"""The faults of ldirectord 4.12, one by one, and that they are not here.

1, 2 and 13 need a running director: lab/test_behaviour.py and lab/test_ldirectord.py. 6 is in
test_needs.py, the signals of 7 in test_external.py, 10 in data/ldirectord_grammar.toml.
"""

from __future__ import annotations

import asyncio
import re
import socket
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from servers import LOOPBACK, serving
from test_config_ldirectord import parse, resolver, service_ports
from test_plan import DOWN, UNKNOWN, UP, Table, address, config, real, steps, virtual, weights

from dr_forwarder.attendants.commands import fallback_command
from dr_forwarder.checks import Result, Target, run
from dr_forwarder.checks.model import target
from dr_forwarder.config import Check, CheckType, ConfigError, load_text
from dr_forwarder.config.servers import MOST_OF_A_RANGE
from dr_forwarder.config.table_keys import key_of
from dr_forwarder.events import Bus, Event, FallbackEvent, HealthEvent, SoftFailure
from dr_forwarder.table import Operation
from dr_forwarder.telling import Cast, event
from dr_forwarder.watch import Watch

FAILED, PASSED = Result(False, "no", 0.0), Result(True, "yes", 0.0)


def test_3_a_server_with_another_port_comes_back_from_weight_0() -> None:
    service = virtual(real(1, 3, port=8080), quiescent=True)
    assert target(service, service.real[0]).port == 8080
    table, seen = Table(), []
    for up in (UP, DOWN, UP):
        steps(table, config(service), {address(1): up})
        seen.append(weights(table))
    assert seen == [{"10.9.0.11:80": weight} for weight in (3, 0, 3)]


@pytest.mark.parametrize("readd", [False, True])
@pytest.mark.parametrize("quiescent", [False, True])
def test_4_a_start_gives_nothing_to_a_server_before_its_first_check(
    readd: bool, quiescent: bool
) -> None:
    service, table = virtual(real(1), real(2), quiescent=quiescent), Table()
    configured = config(service, readd=readd)
    steps(table, configured, {address(1): UNKNOWN, address(2): UNKNOWN})
    assert weights(table) == {}
    changes = steps(table, configured, {address(1): DOWN, address(2): UP})
    added = [c.server for c in changes if c.operation is Operation.ADD_SERVER and c.server]
    assert [server.address for server in added if server.weight] == [address(2)]


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


@pytest.mark.parametrize("service", ["pop", "pops", "ftp"])
def test_5_a_dead_server_is_down_without_login_and_receive(service: str) -> None:
    check = Check(service=service, negotiate_timeout_s=5)
    found = asyncio.run(run(Target(LOOPBACK, closed_port(), "tcp", check)))
    assert (found.passed, found.reason) == (False, "connection refused")


def test_5_dns_needs_no_receive() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = (await reader.read(512))[2:]
        # The question once more, with one answer: its name is 10.9.8.7.
        record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x09\x08\x07"
        asked = question[12 : question.index(b"\x00", 12) + 5]
        message = question[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + asked + record
        writer.write(len(message).to_bytes(2) + message)

    async def once() -> Result:
        async with serving(answer) as port:
            check = Check(service="dns", request="/www.example.com", negotiate_timeout_s=5)
            return await run(Target(LOOPBACK, port, "tcp", check))

    found = asyncio.run(once())
    assert (found.passed, found.reason) == (True, "www.example.com A 10.9.8.7")


def watched(failure_count: int) -> tuple[Watch, Target, list[Event]]:
    """A check that two services share."""
    told: list[Event] = []
    bus = Bus(lambda: 0.0)
    bus.listen(lambda happening: told.append(happening.event))
    watch = Watch(bus)
    check = Check(failure_count=failure_count)
    shared = real(1, port=8080)
    first, second = virtual(shared, check=check), virtual(shared, port=81, check=check)
    (what,) = watch.follow(config(first, second))
    return watch, what, told


def test_8_failures_are_counted_once_however_many_services_share_a_check() -> None:
    watch, what, told = watched(4)
    watch.result(what, PASSED)
    for _ in range(3):
        assert watch.result(what, FAILED) is False
    assert [each.failures for each in told if isinstance(each, SoftFailure)] == [1, 2, 3]
    assert watch.result(what, FAILED) is True
    last = told[-1]
    assert isinstance(last, HealthEvent)
    assert (last.up, len(last.services)) == (False, 2)


def test_9_a_mark_has_the_global_fallback_and_its_command_hears_the_mark() -> None:
    text = "fallback=10.0.0.9\nfallbackcommand=/f\nvirtual=7\n    real=10.0.0.2 gate\n"
    configured = parse(text)
    (service,) = configured.virtuals
    assert service.fallback is not None
    assert service.fallback.address == IPv4Address("10.0.0.9")
    line = fallback_command(FallbackEvent(key_of(service), on=True), configured)
    assert line == "/f start 7:0 fwm"


def test_11_what_the_core_refuses_is_not_told_as_done() -> None:
    service, table = virtual(real(1)), Table()
    changes = steps(table, config(service), {})
    told = [event(change, Cast(), errno=28) for change in changes]
    assert {type(each).__name__ for each in told} == {"ChangeRefused"}


def test_12_a_fallback_that_is_a_real_server_is_not_deleted_with_it() -> None:
    service, table = virtual(real(1), real(2), fallback=1), Table()
    for states in ({address(1): DOWN, address(2): DOWN}, {address(1): UP, address(2): UP}):
        steps(table, config(service), states)
    assert weights(table) == {"10.9.0.11:80": 1, "10.9.0.12:80": 1}


def test_12_where_all_servers_have_weight_0_the_fallback_serves() -> None:
    service, table = virtual(real(1, 0), real(2, 0), fallback=9), Table()
    steps(table, config(service), {})
    assert weights(table) == {"10.9.0.11:80": 0, "10.9.0.12:80": 0, "10.9.0.19:80": 1}


def test_14_a_range_has_a_size_limit() -> None:
    with pytest.raises(ConfigError, match=f"at most {MOST_OF_A_RANGE} are read"):
        parse("virtual=10.0.0.1:80\n    real=10.0.0.1->10.255.255.255 gate\n")


def test_14_a_name_that_is_not_known_any_more_is_an_error_with_its_line() -> None:
    """And so a reload that changes nothing: lab/test_behaviour.py."""
    with pytest.raises(ConfigError, match="host 'gone' has no IPv4 address") as caught:
        load_text(
            "virtual=10.0.0.1:80\n    real=gone gate\n",
            path="a.cf",
            resolver=resolver,
            service_ports=service_ports,
        )
    assert caught.value.line == 2


@pytest.mark.parametrize("service", ["mysql", "pgsql", "radius"])
def test_15_what_a_service_cannot_be_asked_for_is_a_failure_and_no_end(service: str) -> None:
    check = Check(type=CheckType.NEGOTIATE, service=service, negotiate_timeout_s=1)
    broken = replace(check, check_timeout_s=1, login="x", request="/no SQL at all")
    found = asyncio.run(run(Target(LOOPBACK, closed_port(), "tcp", broken)))
    assert found.passed is False
    assert found.reason


def test_every_fault_is_here_or_somewhere_else() -> None:
    here = {int(found[1]) for found in map(re.compile(r"test_(\d+)_").match, globals()) if found}
    assert here | {1, 2, 6, 7, 10, 13} == set(range(1, 16))
