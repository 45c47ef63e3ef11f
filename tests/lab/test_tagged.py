"""Clients and servers in a VLAN, and a director that sees the tags on the parent interface."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Address, IPv6Interface
from pathlib import Path

import pytest
from running import CONFIG, running, wait_until
from vlan_link import NoVlanError, move_into_vlan

from dr_forwarder import resolution
from dr_forwarder.lab import Lab, break_
from dr_forwarder.lab.topology import Host, Topology
from dr_forwarder.vlan import parse

VIRTUAL_MAC = bytes.fromhex("00005e00013c")
QUIET = ("TcpOutRsts", "IpForwDatagrams", "IcmpOutMsgs")


def move_all(lab: Lab, vlan: str) -> None:
    """Everybody's addresses are on ``eth0.VLAN``; the switch carries the tags."""
    try:
        for host in lab.topology.hosts:
            move_into_vlan(lab.namespace(host.name), host, parse(vlan))
    except NoVlanError as refusal:
        pytest.skip(str(refusal))


@pytest.mark.parametrize("vlan", ["100", "200.100"])
def test_requests_and_an_upload_in_a_vlan(own_lab: Lab, tmp_path: Path, vlan: str) -> None:
    """With two tags a packet of the full MTU is too long, and the client is told so."""
    move_all(own_lab, vlan)
    before = own_lab.counters("director")
    options = ("--interface", "eth0", "--vlan", vlan)
    with running(own_lab, tmp_path, CONFIG, *options, servers=2) as director:
        answers = [answer.strip() for answer in own_lab.requests(6)]
        assert answers == ["This is VM3", "This is VM2"] * 3
        own_lab.upload(20_000_000)
        stats = director.client.stats()
        after = own_lab.counters("director")
        director.expect(f"in VLAN {vlan} with virtual MAC")
    assert stats.verdicts["answered"] > 0
    assert stats.verdicts["truncated"] == stats.verdicts["send_failed"] == 0
    assert stats.verdicts["wrong_vlan"] == 0
    assert (stats.verdicts["oversize"] > 0) == (vlan == "200.100")
    assert stats.bytes / stats.frames > 3000, "segments came joined"
    assert {name: after[name] - before[name] for name in QUIET} == dict.fromkeys(QUIET, 0)


@pytest.mark.parametrize("vlan", ["100", "200.100"])
def test_the_directors_own_questions_are_asked_and_answered_in_the_vlan(
    own_lab: Lab, tmp_path: Path, vlan: str
) -> None:
    """Announces the VIP to the client; asks who else has it, and hears vm2 say that it does."""
    move_all(own_lab, vlan)
    break_(own_lab, "arp")
    announcement = resolution.announcement(own_lab.topology.vip, mac=VIRTUAL_MAC)
    options = ("--interface", "eth0", "--vlan", vlan)
    with (
        own_lab.tap("client", f"eth0.{vlan}") as tap,
        running(own_lab, tmp_path, CONFIG, *options, servers=2) as director,
    ):
        tap.wait_for(lambda frame: frame.data == announcement)
        expected = "VIP 10.10.10.60 is claimed by 02:00:0a:0a:0a:3e: real server 10.10.10.62"
        wait_until(lambda: expected in director.log, "told")


def _host(name: str, last: int) -> Host:
    interfaces = (IPv4Interface(f"10.10.10.{last}/24"), IPv6Interface(f"fd77::{last}/64"))
    return Host(name, interfaces)


IPV6 = Topology(
    client=_host("client", 10),
    director=_host("director", 61),
    servers=(_host("vm2", 62), _host("vm3", 63)),
    vips=(IPv6Address("fd77::60"),),
)
IPV6_CONFIG = """\
checkinterval=1
checktimeout=3
virtual6=[fd77::60]:80
        real6=[fd77::62]:80 gate
        real6=[fd77::63]:80 gate
        service=http
        scheduler=wrr
        request="test.html"
        receive="foo"
"""


@pytest.mark.parametrize("vlan", ["100", "200.100"])
def test_so_it_is_over_ipv6(possible: None, tmp_path: Path, vlan: str) -> None:
    options = ("--interface", "eth0", "--vlan", vlan)
    with Lab(IPV6) as lab:
        move_all(lab, vlan)
        with running(lab, tmp_path, IPV6_CONFIG, *options, servers=2) as director:
            answers = [answer.strip() for answer in lab.requests(6)]
            assert answers == ["This is VM3", "This is VM2"] * 3
            lab.upload(20_000_000)
            stats = director.client.stats()
    assert stats.verdicts["answered"] > 0
    assert stats.verdicts["send_failed"] == stats.verdicts["wrong_vlan"] == 0


def test_without_its_vlan_a_director_hears_nobody(own_lab: Lab, tmp_path: Path) -> None:
    move_all(own_lab, "100")
    options = ("--interface", "eth0", "--vlan", "101")
    with running(own_lab, tmp_path, CONFIG, *options, servers=2) as director:
        with pytest.raises(TimeoutError):
            own_lab.get(limit_s=1)
        stats = director.client.stats()
    assert stats.verdicts["wrong_vlan"] > 0
    assert stats.verdicts["answered"] == stats.verdicts["forwarded"] == 0
