"""The network under a director changes while it forwards."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import IPv6Address, ip_address
from pathlib import Path

import changing
import pytest
from running import (
    BOTH_FAMILIES,
    CONFIG,
    VIP4,
    VIP6,
    Running,
    running,
    wait_until,
    with_cap_net_raw_only,
)

from dr_forwarder.lab import Lab, LabError
from dr_forwarder.lab.topology import Address
from dr_forwarder.table import Change, Key, Operation, Service

RECOVERY_S = 10.0
"""On a busy machine; on a quiet one it is two seconds, which the torture script prints."""
BOTH = CONFIG + CONFIG[CONFIG.index("virtual=") :].replace("virtual=", "virtual6=").replace(
    "10.10.10.60", "[fd77::60]"
).replace("10.10.10.", "[fd77::").replace(":80 gate", "]:80 gate")


def serves(lab: Lab, vip: Address = VIP4) -> bool:
    try:
        lab.get(address=vip, limit_s=1.0)
    except (OSError, LabError, http.client.HTTPException):
        return False
    return True


def serves_again(lab: Lab, *vips: Address) -> float:
    began_s = time.monotonic()
    for vip in vips or (VIP4,):
        wait_until(partial(serves, lab, vip), f"{vip} is served", limit_s=RECOVERY_S)
    return time.monotonic() - began_s


def is_idle(director: Running) -> bool:
    """Whether the workers sleep; a spinning one wakes a hundred thousand times a second."""
    before = sum(each.wakeups for each in director.client.stats().workers)
    time.sleep(1)
    return sum(each.wakeups for each in director.client.stats().workers) - before < 200


def balances(director: Running) -> bool:
    stats = director.client.stats()
    return stats.frames == sum(stats.verdicts.values())


class Held:
    """A connection that stays open over the change."""

    def __init__(self, lab: Lab, vip: Address) -> None:
        family = socket.AF_INET if vip.version == 4 else socket.AF_INET6
        self._socket = lab.namespace("client").socket(family)
        self._socket.settimeout(30)  # TCP says again what was lost, the later the longer it takes
        self._socket.connect((str(vip), 80))
        self._http = http.client.HTTPConnection(str(vip))
        self._http.sock = self._socket

    def ask(self) -> str:
        self._http.request("GET", "/", headers={"Connection": "keep-alive"})
        return self._http.getresponse().read().decode().strip()

    def close(self) -> None:
        self._http.close()


@pytest.fixture
def wide_lab(possible: None) -> Iterator[Lab]:
    """IPv6 beside IPv4."""
    with Lab(BOTH_FAMILIES) as lab:
        yield lab


@pytest.mark.parametrize("name", changing.CHANGES)
def test_it_goes_on_when_the_interface_was(name: str, wide_lab: Lab, tmp_path: Path) -> None:
    with running(wide_lab, tmp_path, BOTH, servers=4) as director:
        held = [Held(wide_lab, vip) for vip in (VIP4, VIP6)]
        before = [each.ask() for each in held]
        changing.CHANGES[name](wide_lab)
        serves_again(wide_lab, VIP4, VIP6)
        assert [each.ask() for each in held] == before
        for each in held:
            each.close()
        assert balances(director)
        assert is_idle(director)
        assert director.stop() == 0, director.log


# ---- What it says ----


def test_it_says_what_it_sees(own_lab: Lab, tmp_path: Path) -> None:
    with running(own_lab, tmp_path, CONFIG, servers=2) as director:
        assert director.client.link().state == "up"
        assert "interface" not in director.command("list", "--health")
        changing.set_down(own_lab)
        wait_until(lambda: director.client.link().state == "down", "it is seen to be down")
        director.expect("WARNING Interface eth0 is down: set down")
        assert "interface eth0 down" in director.command("list", "--health")
        changing.lose_interface(own_lab)
        wait_until(lambda: director.client.link().state == "gone", "it is seen to be gone")
        assert director.command("list", "--link") == "interface eth0 gone\n"
        changing.make_interface(own_lab)
        wait_until(lambda: director.client.link().state == "up", "it is seen to be there")
        serves_again(own_lab)
        assert director.log.count("Interface eth0 is there: index ") == 1
        assert director.client.link().changes >= 3


def test_servers_stay_up_while_the_host_has_no_network(own_lab: Lab, tmp_path: Path) -> None:
    with running(own_lab, tmp_path, CONFIG, servers=2) as director:
        changing.down_and_up(own_lab)
        serves_again(own_lab)
        assert len(director.weights()) == 2
        assert "Deleted real server" not in director.log


# ---- Longer frames ----


def test_frames_of_a_raised_mtu_are_forwarded_whole(own_lab: Lab, tmp_path: Path) -> None:
    with running(own_lab, tmp_path, CONFIG, servers=2) as director:
        changing.set_mtu(own_lab, 9000)
        wait_until(lambda: director.client.link().mtu == 9000, "the MTU is seen")
        serves_again(own_lab)
        own_lab.upload(5_000_000)
        assert director.verdict("truncated") == director.verdict("oversize") == 0
        assert "Reloaded" in director.reload(CONFIG)
        own_lab.upload(5_000_000)
        assert director.verdict("truncated") == director.verdict("oversize") == 0


# ---- With one privilege, and ways to run ----


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one worker", "two workers"])
def test_cap_net_raw_is_enough_to_attach_again(
    options: tuple[str, ...], own_lab: Lab, tmp_path: Path
) -> None:
    only = with_cap_net_raw_only()
    with running(own_lab, tmp_path, CONFIG, *options, servers=2, prefix=only) as director:
        changing.made_anew(own_lab)
        serves_again(own_lab)
        assert len(director.client.stats().workers) == (2 if options else 1)
        assert balances(director)


def test_new_and_old_vips_cost_nothing_that_stays(wide_lab: Lab, tmp_path: Path) -> None:
    def descriptors() -> int:
        assert director.process is not None
        return len(os.listdir(f"/proc/{director.process.pid}/fd"))

    def groups() -> int:
        read = Path("/proc/thread-self/net/igmp6").read_text
        return len(wide_lab.namespace("director").run(read).splitlines())

    whole = IPv6Address(2**128 - 1)

    def change(operation: Operation) -> None:
        for number in range(10):
            key = Key("tcp", ip_address(f"fd77::70:{number:x}"), 80)
            applied = director.client.apply([Change(operation, Service(key, "rr", None, whole))])
            assert applied == (0,)

    with running(wide_lab, tmp_path, BOTH, servers=4) as director:
        change(Operation.ADD_SERVICE)
        change(Operation.DELETE_SERVICE)
        before = descriptors(), groups()
        change(Operation.ADD_SERVICE)
        assert groups() == before[1] + 10
        change(Operation.DELETE_SERVICE)
        assert groups() == before[1]
        # A check that is under way has one of its own.
        wait_until(lambda: descriptors() <= before[0], "no descriptor is left behind")


# ---- An interface that is to come ----


COMING = [
    pytest.param(changing.lose_interface, changing.make_interface, "no interface", id="missing"),
    pytest.param(changing.set_down, changing.set_up, "is down", id="down"),
    pytest.param(changing.lose_addresses, changing.put_addresses, "no IPv4", id="without address"),
]


@pytest.mark.parametrize(("lose", "put", "told"), COMING)
def test_a_start_waits_for_the_interface(
    lose: Callable[[Lab], None], put: Callable[[Lab], None], told: str, own_lab: Lab, tmp_path: Path
) -> None:
    director = Running(own_lab, tmp_path, "--interface", "eth0")
    lose(own_lab)
    try:
        director.launch(CONFIG)
        wait_until(lambda: "Waiting, up to 60 s: " in director.log, "it waits")
        director.expect(told)
        put(own_lab)
        wait_until(lambda: len(director.servers()) == 2, "both servers are up")
        serves_again(own_lab)
        assert director.log.count("Waiting, up to") <= 3
    finally:
        assert director.stop() == 0


def test_what_waits_for_an_interface_can_be_stopped(own_lab: Lab, tmp_path: Path) -> None:
    director = Running(own_lab, tmp_path, "--interface", "eth0")
    changing.lose_interface(own_lab)
    director.launch(CONFIG)
    wait_until(lambda: "Waiting, up to 60 s: " in director.log, "it waits")
    assert director.stop() == 0, director.log


def test_an_interface_that_never_comes_is_a_reason_to_start_again(
    own_lab: Lab, tmp_path: Path
) -> None:
    director = Running(own_lab, tmp_path, "--interface", "eth0", "--interface-wait", "1")
    changing.lose_interface(own_lab)
    director.launch(CONFIG)
    wait_until(lambda: director.ended, "it gives up")
    assert director.stop() == 75
    assert director.log.splitlines()[-1].startswith("there is no interface 'eth0'")


def test_a_reload_waits_for_the_interface_too(own_lab: Lab, tmp_path: Path) -> None:
    with running(own_lab, tmp_path, CONFIG, servers=2) as director:
        changing.lose_interface(own_lab)
        wait_until(lambda: director.client.link().state == "gone", "it is gone")
        director.config.write_text(CONFIG.replace("10.10.10.62:80 gate", "10.10.10.62:80 gate 3"))
        director.send(signal.SIGHUP)
        wait_until(lambda: "Waiting, up to 60 s: " in director.log, "the reload waits")
        changing.make_interface(own_lab)
        wait_until(lambda: director.weights() == {".62": 3, ".63": 1}, "it is reloaded")
        assert "Not reloaded" not in director.log
        serves_again(own_lab)


# ---- What cannot be followed ----


def test_what_cannot_be_attached_to_again_ends_with_a_status_to_start_it_anew(
    own_lab: Lab, tmp_path: Path
) -> None:
    """The interface comes back as a macvlan, which gives no frames for the virtual MAC address."""
    options = ("--mac", "virtual", "--interface-wait", "1")
    with running(own_lab, tmp_path, CONFIG, *options, servers=2) as director:
        changing.lose_interface(own_lab)
        changing.make_macvlan(own_lab)
        told = "Interface eth0 cannot be used as it is now"
        wait_until(lambda: told in director.log, "it is told")
        wait_until(lambda: director.ended, "it ends")
        assert director.stop() == 75
        assert "set mac = nic" in director.log.splitlines()[-1]


def test_a_socket_tells_that_its_interface_was_gone_for_a_moment(own_lab: Lab) -> None:
    """Which is how a director knows when netlink lost the message."""
    inside = own_lab.namespace("director")
    with inside.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as bound:
        bound.bind(("eth0", 0))
        assert bound.getsockname()[0] == "eth0"
        changing.in_another_namespace_and_back(own_lab)
        assert bound.getsockname()[0] == ""
