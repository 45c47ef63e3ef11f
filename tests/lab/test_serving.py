"""A director that is one of its own real servers, as the kernel's `local`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from running import BOTH_FAMILIES, VIP4, VIP6, Running, running, wait_until

from dr_forwarder.lab import Lab, links
from dr_forwarder.lab.sysctls import REAL_SERVER
from dr_forwarder.lab.topology import Address
from dr_forwarder.lab.web import Web

FAST = "checkinterval=1\nchecktimeout=3\n"
CHECK = """\
        service=http
        request="test.html"
        receive="foo"
"""
IPV4 = f"virtual={VIP4}:80\n        real=10.10.10.61->10.10.10.63:80 gate\n{CHECK}"
IPV6 = f"virtual6=[{VIP6}]:80\n" + "".join(
    f"        real6=[fd77::{last}]:80 gate\n" for last in (61, 62, 63)
)
BOTH = FAST + IPV4 + IPV6 + CHECK
ALONE = f"virtual={VIP4}:80\n        real=10.10.10.61:80 gate\n        checktype=on\n"
ALONE6 = f"virtual6=[{VIP6}]:80\n        real6=[fd77::61]:80 gate\n        checktype=on\n"
IN_TURN = ["This is VM3", "This is VM2", "This is DIRECTOR"]
FALLBACK = f"""\
{FAST}virtual={VIP4}:80
        real=10.10.10.62:80 gate
        fallback=127.0.0.1:80 gate
{CHECK}"""


class Serving:
    """The director's host with the VIPs and a web server of its own."""

    def __init__(self, lab: Lab) -> None:
        self._inside = lab.namespace("director")
        for name, value in REAL_SERVER:
            self._inside.sysctl(name, value)
        for vip in BOTH_FAMILIES.vips:
            links.add_vip(self._inside, vip)
        self.start()

    def start(self) -> None:
        self._web = Web(self._inside, BOTH_FAMILIES.director)
        self._web.wait_until_ready()

    def stop(self) -> None:
        self._web.stop()


@pytest.fixture(scope="module")
def lab(possible: None) -> Iterator[Lab]:
    with Lab(BOTH_FAMILIES) as lab:
        serving = Serving(lab)
        yield lab
        serving.stop()


@pytest.fixture
def bare_lab(possible: None) -> Iterator[Lab]:
    """Its director serves nothing yet."""
    with Lab(BOTH_FAMILIES) as lab:
        yield lab


def ask(lab: Lab, count: int, vip: Address = VIP4) -> list[str]:
    return [lab.get(address=vip).strip() for _ in range(count)]


@pytest.mark.parametrize("vip", [VIP4, VIP6])
def test_it_takes_its_turn(lab: Lab, tmp_path: Path, vip: Address) -> None:
    before = lab.counters("director")
    through = "check_through_vip=yes\n" + BOTH
    with running(lab, tmp_path, through, servers=6):
        assert ask(lab, 6, vip) == IN_TURN * 2
    after = lab.counters("director")
    quiet = ("IpForwDatagrams", "Ip6OutForwDatagrams", "TcpExtIPReversePathFilter")
    assert [after.get(name, 0) - before.get(name, 0) for name in quiet] == [0, 0, 0]


@pytest.mark.parametrize("vip", [VIP4, VIP6])
def test_an_upload_of_200_mb_to_it_is_byte_exact_with_offloads_on(
    lab: Lab, tmp_path: Path, vip: Address
) -> None:
    text = ALONE if vip.version == 4 else ALONE6
    with running(lab, tmp_path, text, servers=1) as director:
        assert ask(lab, 1, vip) == ["This is DIRECTOR"]
        before = director.client.stats()
        lab.upload(200_000_000, address=vip)
        stats = director.client.stats()
    assert stats.verdicts["truncated"] == stats.verdicts["send_failed"] == 0
    assert stats.verdicts["oversize"] == stats.ring_dropped == 0
    # Longer than the MTU on average: nobody has cut them.
    assert stats.bytes - before.bytes > 1500 * (stats.frames - before.frames)


def test_it_is_taken_out_and_comes_back(bare_lab: Lab, tmp_path: Path) -> None:
    serving = Serving(bare_lab)
    with running(bare_lab, tmp_path, FAST + IPV4, servers=3) as director:
        serving.stop()
        wait_until(lambda: director.weights() == {".62": 1, ".63": 1}, "the director is out")
        assert ask(bare_lab, 4) == ["This is VM3", "This is VM2"] * 2
        serving.start()
        wait_until(lambda: len(director.weights()) == 3, "the director is back")
        assert sorted(ask(bare_lab, 3)) == sorted(IN_TURN)
    serving.stop()


def test_the_usual_fallback_of_ldirectords_files_works(bare_lab: Lab, tmp_path: Path) -> None:
    serving = Serving(bare_lab)
    with running(bare_lab, tmp_path, FALLBACK, servers=1) as director:
        assert ask(bare_lab, 2) == ["This is VM2"] * 2
        bare_lab.stop_web("vm2")
        wait_until(lambda: director.weights() == {".1": 1}, "the fallback is in")
        assert ask(bare_lab, 2) == ["This is DIRECTOR"] * 2
        bare_lab.start_web("vm2")
        wait_until(lambda: director.weights() == {".62": 1}, "the fallback is out")
        assert ask(bare_lab, 2) == ["This is VM2"] * 2
    serving.stop()


def test_it_counts_as_any_other_server(lab: Lab, tmp_path: Path) -> None:
    with running(lab, tmp_path, ALONE, servers=1) as director:
        ask(lab, 3)
        (row,) = director.servers()
        assert row.counters.connections == 3
        # Its answers are not looked at, as no server's are: the client's FIN makes them inactive.
        wait_until(
            lambda: director.servers()[0].inactive == 3, "the clients' ends have been counted"
        )


def test_forwarding_does_not_matter(bare_lab: Lab, tmp_path: Path) -> None:
    serving = Serving(bare_lab)
    bare_lab.namespace("director").sysctl("net.ipv4.ip_forward", 1)
    with running(bare_lab, tmp_path, FAST + IPV4, servers=3):
        assert ask(bare_lab, 6) == IN_TURN * 2
    serving.stop()


# ---- Refusals, each with all that is to be done ----


def refusal(lab: Lab, tmp_path: Path, text: str, *options: str) -> str:
    director = Running(lab, tmp_path, *options)
    director.start(text)
    assert director.stop() == 1
    return director.log.splitlines()[-1]


def test_what_is_to_be_done_can_be_pasted(bare_lab: Lab, tmp_path: Path) -> None:
    inside = bare_lab.namespace("director")
    inside.sysctl("net.ipv4.conf.all.rp_filter", 1)
    said = refusal(bare_lab, tmp_path, FALLBACK)
    assert "real server 127.0.0.1 is this host, which must then have the VIPs on lo" in said
    commands = said.partition("; run: ")[2]
    assert commands.split("; ") == [
        "sysctl -w net.ipv4.conf.all.arp_ignore=1",
        "sysctl -w net.ipv4.conf.all.arp_announce=2",
        "sysctl -w net.ipv4.conf.lo.rp_filter=2",
        "ip addr add 10.10.10.60/32 dev lo",
    ]
    for command in commands.split("; "):
        if command.startswith("sysctl"):
            name, _, value = command.removeprefix("sysctl -w ").partition("=")
            inside.sysctl(name, int(value))
    links.add_vip(inside, VIP4)
    web = Web(inside, BOTH_FAMILIES.director)
    web.wait_until_ready()
    bare_lab.stop_web("vm2")
    with running(bare_lab, tmp_path, FALLBACK, servers=1):
        assert ask(bare_lab, 8) == ["This is DIRECTOR"] * 8
    web.stop()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param(("--mac", "nic"), "set mac = virtual", id="the interface's own MAC"),
        pytest.param(
            ("--interface", "eth0", "--vlan", "5"),
            "use the VLAN's own interface, as in --interface eth0.5, without vlan",
            id="a VLAN's tag",
        ),
    ],
)
def test_where_it_cannot_be_it_says_why(
    bare_lab: Lab, tmp_path: Path, options: tuple[str, ...], reason: str
) -> None:
    assert reason in refusal(bare_lab, tmp_path, ALONE, *options)
