"""AF_XDP beside the rings: the same answers, frames that the host no longer sees, clear refusals.

The rest of the lab runs on it with the option ``--io xdp`` of the tests.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv4Address
from pathlib import Path

import changing
import pytest
from pyroute2 import IPRoute
from pyroute2.ethtool.ioctl import IoctlEthtool
from running import (
    BOTH_FAMILIES,
    CONFIG,
    UNCHECKED,
    VIP4,
    VIP6,
    Running,
    running,
    wait_until,
    with_cap_net_raw_only,
)
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Dot1Q, Ether
from test_director import ALTERNATING, Held, ask
from test_network_changes import serves

from dr_forwarder import bpf
from dr_forwarder.config.model import Address
from dr_forwarder.ebpf import EXIT, move
from dr_forwarder.lab import Lab
from dr_forwarder.lab.observe import Frame, Tap
from dr_forwarder.lab.topology import Topology

XDP, PACKET = ("--io", "xdp"), ("--io", "packet")
QUEUES = 2
TAKES = "eth0: AF_XDP takes the VIPs' frames, and copies them"
BOTH = f"""{CONFIG}virtual6=[{VIP6}]:80
        real6=[fd77::62]:80 gate
        real6=[fd77::63]:80 gate
        checktype=on
        scheduler=wrr
"""
OTHER = IPv4Address("10.10.10.70")
ON_OTHER = f"virtual={OTHER}:80\n        real=10.10.10.62:80 gate\n        checktype=on\n"


@pytest.fixture(scope="module")
def possible_here(possible: None) -> None:
    try:
        os.close(bpf.load(bpf.XDP, (move(0, 2), EXIT)))
        socket.socket(44, socket.SOCK_RAW, 0).close()
    except OSError as refusal:
        pytest.skip(f"no AF_XDP or no bpf(2) for us on this host: {refusal}")


@pytest.fixture
def own_lab(possible_here: None) -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def seen(tap: Tap, vip: Address = VIP4) -> list[Frame]:
    """What came for it, as other programs on the director's host see it."""
    return [frame for frame in tap.frames() if is_for(frame, vip)]


def is_for(frame: Frame, vip: Address) -> bool:
    return frame.data[12:14] == b"\x08\0" and frame.data[30:34] == vip.packed


def balances(director: Running) -> bool:
    stats = director.client.stats()
    return stats.frames == sum(stats.verdicts.values()) == sum(w.frames for w in stats.workers)


def test_the_vips_frames_come_by_af_xdp_alone_and_are_decided_alike(
    own_lab: Lab, tmp_path: Path
) -> None:
    with running(own_lab, tmp_path, CONFIG, *XDP, servers=2) as director:
        director.expect(TAKES)
        with own_lab.tap("director") as tap:
            assert sorted(ask(own_lab, 6)) == sorted(ALTERNATING * 3)
            assert not seen(tap)
        own_lab.stop_web("vm2")
        wait_until(lambda: director.weights() == {".63": 1}, "vm2 is out")
        assert ask(own_lab, 4) == ["This is VM3"] * 4
        assert balances(director)
        assert director.verdict("send_failed") == 0
        assert director.stop() == 0


def test_the_interface_is_as_it_was_when_the_director_has_ended(
    own_lab: Lab, tmp_path: Path
) -> None:
    def programs() -> object:
        with IPRoute() as netlink:
            return netlink.get_links(ifname="eth0")[0].get_nested("IFLA_XDP", "IFLA_XDP_PROG_ID")

    inside = own_lab.namespace("director")
    for _ in range(2):
        with running(own_lab, tmp_path, UNCHECKED, *XDP, servers=2):
            assert inside.run(programs)
            assert ask(own_lab, 2)
        assert not inside.run(programs)
    with running(own_lab, tmp_path, UNCHECKED, *PACKET, servers=2), own_lab.tap("director") as tap:
        assert ask(own_lab, 2)
        assert seen(tap)


def test_the_queues_of_an_interface_are_dealt_out_to_the_workers(
    own_lab: Lab, tmp_path: Path
) -> None:
    def widen(name: str) -> None:
        with closing(IoctlEthtool(name)) as ethtool:
            channels = ethtool.get_channels()
            if channels.max_rx < QUEUES:
                pytest.skip("a veth has one queue on a host with one CPU")
            channels.rx_count = channels.tx_count = QUEUES
            ethtool.set_channels(channels)

    own_lab.namespace("director").run(widen, "eth0")
    own_lab.namespace("switch").run(widen, own_lab.topology.director.port)
    with running(own_lab, tmp_path, UNCHECKED, *XDP, "--workers", "2", servers=2) as director:
        assert ask(own_lab, 40) == ALTERNATING * 20
        own_lab.upload(5_000_000)
        assert balances(director)
        assert min(each.forwarded for each in director.client.stats().workers) > 0


def test_a_tag_that_the_device_took_out_is_seen(own_lab: Lab, tmp_path: Path) -> None:
    syn = IP(src="10.10.10.10", dst=str(VIP4)) / TCP(sport=999, dport=80, flags="S")
    tagged = Ether(dst="00:00:5e:00:01:3c", src="02:00:0a:0a:0a:0a") / Dot1Q(vlan=7) / syn
    with running(own_lab, tmp_path, UNCHECKED, *XDP, servers=2) as director:
        if "frames of a VLAN may be taken for untagged ones" in director.log:
            pytest.skip("before Linux 6.8 no program is told of it, which the director says")
        with own_lab.namespace("client").socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
            sender.bind(("eth0", 0))
            sender.send(bytes(tagged))
        wait_until(lambda: director.verdict("wrong_vlan") == 1, "it is counted")
        assert director.client.stats().created == 0


def test_unfinished_checksums_arrive_finished(own_lab: Lab, tmp_path: Path) -> None:
    with running(own_lab, tmp_path, UNCHECKED, *XDP, "--workers", "2", servers=2) as director:
        own_lab.upload(50_000_000)
        assert [own_lab.counters(vm)["TcpInCsumErrors"] for vm in ("vm2", "vm3")] == [0, 0]
        assert balances(director)
        assert director.verdict("send_failed") == director.verdict("own_frame") == 0


def test_both_families_are_steered(possible_here: None, tmp_path: Path) -> None:
    with Lab(BOTH_FAMILIES) as lab, running(lab, tmp_path, BOTH, *XDP, servers=4) as director:
        for vip in (VIP4, VIP6):
            answers = [lab.get(address=vip).strip() for _ in range(6)]
            assert sorted(answers) == sorted(ALTERNATING * 3)
        lab.upload(5_000_000, address=VIP6)
        assert balances(director)


def test_vips_come_and_go_with_a_reload_and_connections_live_on(
    possible_here: None, tmp_path: Path
) -> None:
    with (
        Lab(Topology(vips=(VIP4, OTHER))) as lab,
        running(lab, tmp_path, UNCHECKED, *XDP, servers=2) as director,
        closing(Held(lab)) as held,
    ):
        server = held.ask()
        with lab.tap("director") as tap:
            assert "Reloaded" in director.reload(UNCHECKED + ON_OTHER)
            assert lab.get(address=OTHER).strip() == "This is VM2"
            assert not seen(tap, OTHER)
            assert "Reloaded" in director.reload(UNCHECKED)
            client = lab.namespace("client").socket(socket.AF_INET, socket.SOCK_DGRAM, 0)
            with client:
                client.sendto(b"", (str(OTHER), 80))
            tap.wait_for(lambda frame: is_for(frame, OTHER))
        assert held.ask() == server


def test_connections_live_on_from_packet_sockets_to_af_xdp_and_back(
    own_lab: Lab, tmp_path: Path
) -> None:
    with running(own_lab, tmp_path, UNCHECKED, *PACKET, servers=2):
        held = Held(own_lab)
        server = held.ask()
    with closing(held):
        for options in (XDP, PACKET):
            with running(own_lab, tmp_path, UNCHECKED, *options, servers=2) as director:
                assert held.ask() == server
                assert director.client.stats().created == 1


def test_a_director_that_stands_by_leaves_the_vips_frames_to_others(
    own_lab: Lab, tmp_path: Path
) -> None:
    with running(own_lab, tmp_path, UNCHECKED, *XDP, servers=2) as director:
        assert ask(own_lab, 2)
        with own_lab.tap("director") as tap:
            director.client.stand_by(standby=True)
            with own_lab.namespace("client").socket(kind=socket.SOCK_DGRAM) as client:
                client.sendto(b"", (str(VIP4), 80))
            tap.wait_for(lambda frame: is_for(frame, VIP4))
        director.client.stand_by(standby=False)
        with own_lab.tap("director") as tap:
            assert sorted(ask(own_lab, 2)) == sorted(ALTERNATING)
            assert not seen(tap)


def test_a_second_one_on_the_interface_is_told_of_the_first(own_lab: Lab, tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.mkdir()
    with running(own_lab, tmp_path, UNCHECKED, *XDP, servers=2):
        told = refusal(own_lab, second, *XDP, "--standby")
        assert "of another director with io = xdp, of which there can be one" in told
        assert ask(own_lab, 2)


def steered(lab: Lab) -> bool:
    """Whether the VIP's frames are hidden from the host."""
    with lab.tap("director") as tap:
        return len(ask(lab, 2)) == 2 and not seen(tap)


def test_af_xdp_goes_on_after_the_interface_was_made_anew(own_lab: Lab, tmp_path: Path) -> None:
    with running(own_lab, tmp_path, UNCHECKED, *XDP, servers=2) as director:
        for change in (changing.made_anew, changing.down_and_up):
            change(own_lab)
            # By the rings first, until the director has seen that the link is back.
            wait_until(lambda: serves(own_lab), "it serves again")
            wait_until(lambda: steered(own_lab), "AF_XDP has it again")
        assert director.log.count(TAKES) == 2
        assert balances(director)


def refusal(lab: Lab, directory: Path, *options: str, prefix: tuple[str, ...] = ()) -> str:
    """Why it did not start; it ended with status 1."""
    director = Running(lab, directory, *options)
    director.prefix = prefix
    director.start(UNCHECKED)
    assert director.stop() == 1
    return director.log.splitlines()[-1]


def test_without_the_privilege_it_says_which(own_lab: Lab, tmp_path: Path) -> None:
    told = refusal(own_lab, tmp_path, *XDP, prefix=with_cap_net_raw_only())
    assert "io = xdp on eth0" in told
    assert "CAP_BPF and CAP_NET_ADMIN" in told


def test_another_program_on_the_interface_is_left_there(own_lab: Lab, tmp_path: Path) -> None:
    def attach() -> int:
        program = bpf.load(bpf.XDP, (move(0, 2), EXIT))
        try:
            return bpf.link(program, socket.if_nametoindex("eth0"), bpf.ON_XDP, flags=bpf.NATIVE)
        finally:
            os.close(program)

    link = own_lab.namespace("director").run(attach)
    try:
        assert "another XDP program" in refusal(own_lab, tmp_path, *XDP)
    finally:
        os.close(link)


def test_what_it_cannot_do_is_refused(own_lab: Lab, tmp_path: Path) -> None:
    tagged = (*XDP, "--vlan", "7", "--interface", "eth0")
    assert "frames with a VLAN tag are not steered" in refusal(own_lab, tmp_path, *tagged)

    def lengthen() -> None:
        with IPRoute() as netlink:
            netlink.link("set", index=netlink.link_lookup(ifname="eth0")[0], mtu=9000)

    own_lab.namespace("director").run(lengthen)
    assert "do not fit into a chunk of 4096" in refusal(own_lab, tmp_path, *XDP)


def test_auto_takes_the_rings_where_frames_would_be_copied(own_lab: Lab, tmp_path: Path) -> None:
    options = ("--io", "auto", "--verbose")
    with running(own_lab, tmp_path, UNCHECKED, *options, servers=2) as director:
        director.expect("eth0: the packet rings do it all: ")
        with own_lab.tap("director") as tap:
            assert ask(own_lab, 2)
            assert seen(tap)
