"""The whole director over IPv6, beside IPv4: real processes, real frames."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from ipaddress import IPv6Address
from pathlib import Path

import pytest
from pyroute2 import IPRoute
from running import BOTH_FAMILIES, VIP4, VIP6, Running, running, wait_until

from dr_forwarder import resolution
from dr_forwarder.checks import Target, ping
from dr_forwarder.config.model import Address, Check
from dr_forwarder.lab import Lab

ALTERNATING = ["This is VM3", "This is VM2"]
SERVER6, MAC = IPv6Address("fd77::62"), "02:00:0a:0a:0a:3e"
MOVED = "02:00:00:00:aa:62"


_CHECK = """\
        service=http
        scheduler=wrr
        request="test.html"
        receive="foo"
"""
_IPV6 = f"""\
virtual6=[{VIP6}]:80
        real6=[fd77::62]:80 gate
        real6=[fd77::63]:80 gate
{_CHECK}"""
_IPV4 = f"""\
virtual={VIP4}:80
        real=10.10.10.62:80 gate
        real=10.10.10.63:80 gate
{_CHECK}"""
_FAST = "checkinterval=1\nchecktimeout=3\n"
CONFIG = _FAST + _IPV6
BOTH = _FAST + _IPV6 + _IPV4
UNCHECKED = BOTH.replace("        service=http\n", "        checktype=on\n")

QUIET = (
    "TcpOutRsts",
    "IpForwDatagrams",
    "IcmpOutMsgs",
    "Ip6OutForwDatagrams",
    "Icmp6OutDestUnreachs",
    "Icmp6OutTimeExcds",
    "Icmp6OutRedirects",
)


@pytest.fixture(scope="module")
def lab(possible: None) -> Iterator[Lab]:
    with Lab(BOTH_FAMILIES) as lab:
        yield lab


@pytest.fixture
def own_lab(possible: None) -> Iterator[Lab]:
    with Lab(BOTH_FAMILIES) as lab:
        yield lab


def ask(lab: Lab, count: int, vip: Address = VIP6) -> list[str]:
    return [lab.get(address=vip).strip() for _ in range(count)]


def quiet(lab: Lab) -> dict[str, int]:
    counters = lab.counters("director")
    return {name: counters[name] for name in QUIET}


def connect(lab: Lab, vip: Address, port: int = 80) -> int:
    """The error number that a client's connect ends with."""
    family = socket.AF_INET if vip.version == 4 else socket.AF_INET6
    with lab.namespace("client").socket(family, socket.SOCK_STREAM, 0) as client:
        client.settimeout(5)
        return client.connect_ex((str(vip), port))


# ---- Traffic ----


def test_answers_alternate_and_the_directors_kernel_keeps_quiet(
    own_lab: Lab, tmp_path: Path
) -> None:
    before = quiet(own_lab)
    with running(own_lab, tmp_path, UNCHECKED, servers=4) as director:
        assert ask(own_lab, 6) == ALTERNATING * 3
        assert quiet(own_lab) == before
        assert director.stop() == 0


def test_an_upload_of_200_mb_is_byte_exact_with_offloads_on(lab: Lab, tmp_path: Path) -> None:
    with running(lab, tmp_path, CONFIG, servers=2) as director:
        before = director.client.stats()
        lab.upload(200_000_000, address=VIP6)
        stats = director.client.stats()
    assert stats.verdicts["truncated"] == stats.verdicts["send_failed"] == 0
    assert stats.verdicts["oversize"] == stats.ring_dropped == 0
    # Longer than the MTU on average: nobody has cut them.
    assert stats.bytes - before.bytes > 1500 * (stats.frames - before.frames)


def test_both_families_are_served_side_by_side(lab: Lab, tmp_path: Path) -> None:
    with running(lab, tmp_path, BOTH, servers=4) as director:
        answers = [ask(lab, 1, vip)[0] for _ in range(4) for vip in (VIP6, VIP4)]
        assert answers[::2] == answers[1::2] == ALTERNATING * 2
        keys = [str(row.service.key) for row in director.client.services()]
        assert sorted(keys) == ["tcp 10.10.10.60:80", "tcp [fd77::60]:80"]
        seen = {(c.address, c.server.version) for c in director.client.connections()}
        assert seen == {(VIP4, 4), (VIP6, 6)}


def test_a_restart_takes_the_connections_of_both_families_over(lab: Lab, tmp_path: Path) -> None:
    with running(lab, tmp_path, BOTH, servers=4) as director:
        ask(lab, 1, VIP6)
        ask(lab, 1, VIP4)
        before = {(c.client, c.client_port, c.server) for c in director.client.connections()}
        director.stop()
        director.start(BOTH)
        after = {(c.client, c.client_port, c.server) for c in director.client.connections()}
        assert len(before) >= 2
        assert before <= after


def pinged(lab: Lab, vip: Address) -> str:
    """What the check `ping` says of a VIP on the client's side."""
    target = Target(vip, 0, "tcp", Check(ping_count=3, check_timeout_s=1))
    return lab.namespace("client").run(lambda: asyncio.run(ping.check(target)))


def test_a_ping_of_a_vip_is_answered(lab: Lab, tmp_path: Path) -> None:
    with running(lab, tmp_path, UNCHECKED, servers=4) as director:
        before = director.verdict("echo_answered")
        for vip in (VIP6, VIP4):
            assert pinged(lab, vip) == "ICMP echo reply"
        wait_until(lambda: director.verdict("echo_answered") >= before + 2, "both are counted")


def test_a_port_without_a_service_is_counted(lab: Lab, tmp_path: Path) -> None:
    with running(lab, tmp_path, CONFIG) as director:
        before = director.verdict("no_service")
        with lab.namespace("client").socket(socket.AF_INET6, socket.SOCK_STREAM, 0) as client:
            client.setblocking(False)
            client.connect_ex((str(VIP6), 81))
            wait_until(lambda: director.verdict("no_service") > before, "the SYN is counted")


# ---- Servers that stop ----


def test_a_stopped_server_is_taken_out_and_comes_back(own_lab: Lab, tmp_path: Path) -> None:
    with running(own_lab, tmp_path, CONFIG, servers=2) as director:
        own_lab.stop_web("vm2")
        wait_until(lambda: len(director.servers()) == 1, "vm2 is out", limit_s=3)
        assert ask(own_lab, 4) == ["This is VM3"] * 4
        director.expect("Check of [fd77::62]:80: down (connection refused)")
        director.expect("Deleted real server: [fd77::62]:80 ([fd77::60]:80)")
        own_lab.start_web("vm2")
        wait_until(lambda: len(director.servers()) == 2, "vm2 is back", limit_s=3)
        assert sorted(ask(own_lab, 2)) == ["This is VM2", "This is VM3"]


def test_without_servers_a_client_is_told_that_nobody_is_there(
    own_lab: Lab, tmp_path: Path
) -> None:
    with running(own_lab, tmp_path, BOTH, servers=4) as director:
        own_lab.stop_web("vm2")
        own_lab.stop_web("vm3")
        wait_until(lambda: not director.servers(), "all are out")
        before = own_lab.counters("client"), quiet(own_lab)
        assert connect(own_lab, VIP6) == errno.ECONNREFUSED
        assert connect(own_lab, VIP4) == errno.ECONNREFUSED
        after = own_lab.counters("client")
        for name in ("IcmpInDestUnreachs", "Icmp6InDestUnreachs"):
            assert after[name] > before[0][name]
        assert quiet(own_lab) == before[1]
        # The answer is out before it is counted.
        wait_until(lambda: director.verdict("no_server") >= 2, "both are counted")


# ---- Neighbours ----


def set_mac(mac: str) -> None:
    with IPRoute() as netlink:
        index = netlink.link_lookup(ifname="eth0")[0]
        netlink.link("set", index=index, address=mac)


def test_a_moved_mac_is_followed_within_two_seconds(own_lab: Lab, tmp_path: Path) -> None:
    with running(own_lab, tmp_path, BOTH, servers=4) as director:
        own_lab.namespace("vm2").run(set_mac, MOVED)

        def moved() -> bool:
            found = [row.mac for row in director.servers() if row.mac]
            return sorted(mac.hex(":") for mac in found).count(MOVED) == 2

        wait_until(moved, "the new MAC is in both services", limit_s=2.2)
        assert sorted(ask(own_lab, 2, VIP6)) == ["This is VM2", "This is VM3"]
        assert sorted(ask(own_lab, 2, VIP4)) == ["This is VM2", "This is VM3"]


WRONG = bytes.fromhex("02000000eeee")


def tell_wrong_mac() -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sending:
        sending.bind(("eth0", 0))
        sending.send(resolution.announcement(SERVER6, mac=WRONG))


def macs_in_the_kernel() -> list[str]:
    with IPRoute() as netlink:
        found = netlink.get_neighbours(family=socket.AF_INET6, dst=str(SERVER6))
        return [each.get("lladdr") for each in found]


def test_a_wrong_advertisement_of_a_server_does_not_stay_in_the_directors_kernel(
    own_lab: Lab, tmp_path: Path
) -> None:
    """By which the checks go; the director's own questions put it right."""
    host = own_lab.namespace("director")
    with running(own_lab, tmp_path, CONFIG, servers=2) as director:
        for _ in range(3):
            own_lab.namespace("vm3").run(tell_wrong_mac)
            wait_until(lambda: host.run(macs_in_the_kernel) == [MAC], "it is right again")
        assert [row.server.weight for row in director.servers()] == [1, 1]
        claimed = f"{WRONG.hex(':')} claims its address too"
        wait_until(lambda: claimed in director.log, "it is told")


def learn_wrong_macs() -> None:
    with IPRoute() as netlink:
        index = netlink.link_lookup(ifname="eth0")[0]
        for server in BOTH_FAMILIES.servers:
            for each in server.interfaces:
                netlink.neigh(
                    "replace",
                    dst=str(each.ip),
                    lladdr="02:00:00:00:ee:ee",
                    ifindex=index,
                    state="permanent",
                )


def test_what_the_directors_kernel_takes_for_their_macs_is_nothing_to_it(
    own_lab: Lab, tmp_path: Path
) -> None:
    own_lab.namespace("director").run(learn_wrong_macs)
    with running(own_lab, tmp_path, UNCHECKED, servers=4) as director:
        wait_until(lambda: all(row.mac for row in director.servers()), "their MACs are known")
        assert sorted(ask(own_lab, 2, VIP6)) == ["This is VM2", "This is VM3"]
        assert sorted(ask(own_lab, 2, VIP4)) == ["This is VM2", "This is VM3"]


def take_vip() -> None:
    with IPRoute() as netlink:
        index = netlink.link_lookup(ifname="eth0")[0]
        netlink.addr("add", index=index, address=str(VIP6), prefixlen=64, flags=0x02)  # no DAD


def test_a_real_server_that_answers_for_the_vip_is_named(own_lab: Lab, tmp_path: Path) -> None:
    own_lab.namespace("vm2").run(take_vip)
    with running(own_lab, tmp_path, CONFIG) as director:
        wait_until(lambda: "VIP fd77::60 is claimed by 02:00:0a:0a:0a:3e" in director.log, "told")
        director.expect("real server fd77::62 answers")


def test_the_cure_for_it_is_that_of_ipv6(own_lab: Lab, tmp_path: Path) -> None:
    own_lab.namespace("vm2").run(take_vip)
    with running(own_lab, tmp_path, CONFIG) as director:
        wait_until(lambda: "VIP fd77::60 is claimed by 02:00:0a:0a:0a:3e" in director.log, "told")
        assert "arp_ignore" not in director.log


# ---- The kernel of the director ----


def test_the_interfaces_own_mac_works_with_forwarding_off(own_lab: Lab, tmp_path: Path) -> None:
    before = own_lab.counters("director")["TcpOutRsts"]
    with running(own_lab, tmp_path, UNCHECKED, "--mac", "nic", servers=4):
        assert ask(own_lab, 4, VIP6) == ask(own_lab, 4, VIP4) == ALTERNATING * 2
        assert own_lab.counters("director")["TcpOutRsts"] == before


def test_the_virtual_mac_works_with_forwarding_on(own_lab: Lab, tmp_path: Path) -> None:
    own_lab.namespace("director").sysctl("net.ipv6.conf.all.forwarding", 1)
    before = quiet(own_lab)
    with running(own_lab, tmp_path, UNCHECKED, servers=4):
        assert ask(own_lab, 4) == ALTERNATING * 2
        assert quiet(own_lab) == before


def refusal(lab: Lab, tmp_path: Path, text: str, *options: str) -> str:
    director = Running(lab, tmp_path, *options)
    director.start(text)
    assert director.stop() == 1
    return director.log.splitlines()[-1]


def test_the_interfaces_own_mac_is_refused_with_forwarding_on(own_lab: Lab, tmp_path: Path) -> None:
    own_lab.namespace("director").sysctl("net.ipv6.conf.all.forwarding", 1)
    said = refusal(own_lab, tmp_path, CONFIG, "--mac", "nic")
    assert said.startswith("dr-forwarder: forwarding is on, and with mac = nic the kernel would")


def test_the_cure_for_that_is_that_of_ipv6(own_lab: Lab, tmp_path: Path) -> None:
    own_lab.namespace("director").sysctl("net.ipv6.conf.all.forwarding", 1)
    said = refusal(own_lab, tmp_path, CONFIG, "--mac", "nic")
    assert "sysctl -w net.ipv6.conf.all.forwarding=0" in said


def blackhole() -> None:
    with IPRoute() as netlink:
        netlink.route("add", dst=f"{VIP4}/32", type="blackhole")


def test_a_blackhole_is_needed_only_for_vips_of_a_family_that_is_forwarded(
    own_lab: Lab, tmp_path: Path
) -> None:
    own_lab.namespace("director").sysctl("net.ipv4.ip_forward", 1)
    own_lab.namespace("director").run(blackhole)
    with running(own_lab, tmp_path, BOTH, "--mac", "nic") as director:
        assert not director.ended


def test_forwarding_of_the_other_family_is_nothing_to_it(own_lab: Lab, tmp_path: Path) -> None:
    own_lab.namespace("director").sysctl("net.ipv4.ip_forward", 1)
    with running(own_lab, tmp_path, CONFIG, "--mac", "nic", servers=2):
        assert ask(own_lab, 2) == ALTERNATING


def test_a_vip_that_the_kernel_has_is_refused(own_lab: Lab, tmp_path: Path) -> None:
    own_lab.namespace("director").run(take_vip)
    said = refusal(own_lab, tmp_path, CONFIG)
    assert "run: ip addr del fd77::60/64 dev eth0" in said
