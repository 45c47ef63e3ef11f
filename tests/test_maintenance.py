"""Maintenance: which files take whom down, and that a look never holds anybody up."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from dr_forwarder.attendants.maintenance import by_name, find
from dr_forwarder.attendants.maintenance_watch import MaintenanceWatch, Names
from dr_forwarder.checks.model import Result
from dr_forwarder.config.model import Address, Config, Real, Virtual
from dr_forwarder.director import Director
from dr_forwarder.events import Bus, HealthEvent
from dr_forwarder.table import Key
from dr_forwarder.watch import Watch

VIP, FIRST = IPv4Address("10.9.0.100"), IPv4Address("10.9.0.11")
KEY, SIX = Key("tcp", VIP, 80), IPv6Address("2001:db8::11")
REAL, REAL6 = Real(FIRST, 8080), Real(SIX, 80)
CONFIG = Config(
    "a.cf",
    (
        Virtual("tcp", VIP, 80, (REAL,)),
        Virtual("tcp", IPv6Address("2001:db8::1"), 80, (REAL6,), ipv6=True),
    ),
)
HOSTS = {FIRST: "Web1.example.net."}

FILES = [
    pytest.param("10.9.0.11", {FIRST}, id="address"),
    pytest.param("10.9.0.11:8080", {FIRST}, id="address and port"),
    pytest.param("10.9.0.11:80", set(), id="another port"),
    pytest.param("web1.example.net", {FIRST}, id="name"),
    pytest.param("web1.example.net:8080", {FIRST}, id="name and port"),
    pytest.param("web1", {FIRST}, id="first label"),
    pytest.param("web1:8080", {FIRST}, id="first label and port"),
    pytest.param("web", set(), id="part of a label"),
    pytest.param("[2001:db8::11]:80", {SIX}, id="IPv6 in brackets"),
    pytest.param("[2001:db8::11]", {SIX}, id="IPv6 without a port"),
]


@pytest.mark.parametrize(("file", "expected"), FILES)
def test_a_file_names_a_server(file: str, expected: set[Address]) -> None:
    found = find(CONFIG, {file}, "/m", HOSTS.get)
    assert {place[1] for place in found} == expected
    assert set(found.values()) <= {f"/m/{file}"}


def test_a_server_of_a_mark_has_port_0_as_in_ldirectord() -> None:
    mark = Config("a.cf", (Virtual("fwm", None, 0, (Real(FIRST, 0),), fwmark=7),))
    assert find(mark, {"10.9.0.11:0"}, "/m", HOSTS.get)


def test_names_are_looked_up_only_if_a_file_may_be_one() -> None:
    assert not by_name({"10.9.0.11", "10.9.0.11:80", "[2001:db8::11]:80"}, {FIRST, SIX})
    assert by_name({"web1"}, {FIRST})


def watched() -> tuple[Watch, Bus]:
    watch = Watch(bus := Bus(lambda: 0.0))
    for what in watch.follow(CONFIG):
        watch.result(what, Result(True, "fine", 0.0))
    return watch, bus


def test_maintenance_takes_down_at_once_and_the_check_brings_back() -> None:
    watch, bus = watched()
    number = bus.history()[-1].number
    place = (KEY, FIRST, 8080)
    assert watch.maintain({place: "/m/web1"})
    assert not watch.maintain({place: "/m/web1"})
    assert watch.health(CONFIG.virtuals[0], REAL).up is False
    assert watch.maintain({})
    assert watch.health(CONFIG.virtuals[0], REAL).up is True
    told = [each.event for each in bus.history(after=number)]
    assert told == [
        HealthEvent(FIRST, 8080, (KEY,), up=False, reason="in maintenance (/m/web1)"),
        HealthEvent(FIRST, 8080, (KEY,), up=True, reason="fine"),
    ]


def test_what_a_check_says_of_a_server_in_maintenance_is_not_told() -> None:
    watch, bus = watched()
    watch.maintain({(KEY, FIRST, 8080): "/m/web1"})
    number = bus.history()[-1].number
    watch.result(next(iter(watch.all)), Result(False, "gone", 0.0))
    assert bus.history(after=number) == ()


def test_a_directory_is_looked_at_and_a_missing_one_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "maintenance"
    director = Director(Config("a.cf", CONFIG.virtuals, maintenance_dir=str(directory)))
    director.watch.follow(director.config)

    async def looks() -> None:
        watch = MaintenanceWatch(director, Names(look_up=HOSTS.get))
        await watch.first_look()
        await watch.look()
        assert caplog.text.count("nobody is in maintenance") == 1
        directory.mkdir()
        (directory / "web1").touch()
        await watch.first_look()

    asyncio.run(looks())
    assert director.health(CONFIG.virtuals[0], REAL).reason == f"in maintenance ({directory}/web1)"
