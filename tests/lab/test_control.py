"""A director that is filled and changed over its control socket while it runs."""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_address
from pathlib import Path

from running import UNCHECKED, running, wait_until

from dr_forwarder.lab import Lab
from dr_forwarder.table import Change, Key, Operation, Server, Service

VIP, OTHER_VIP = ip_address("10.10.10.60"), ip_address("10.10.10.70")
WEB = Service(Key("tcp", VIP, 80), "rr")
OTHER = Service(Key("tcp", OTHER_VIP, 80), "rr")
VM2, VM3 = (Server(ip_address(f"10.10.10.{n}"), 80) for n in (62, 63))
FILL = [
    Change(Operation.ADD_SERVICE, WEB),
    Change(Operation.ADD_SERVER, WEB, VM2),
    Change(Operation.ADD_SERVER, WEB, VM3),
]
ALTERNATING = ["This is VM3", "This is VM2"]


def ask(lab: Lab, count: int) -> list[str]:
    return [answer.strip() for answer in lab.requests(count)]


def who_has(lab: Lab, vip: str) -> str:
    """What the client's kernel, made to ask, believes; empty if nobody answered."""
    with lab.namespace("client").socket(socket.AF_INET, socket.SOCK_DGRAM, 0) as asking:
        asking.sendto(b"?", (vip, 9))
    shown = lab.popen("client", ["ip", "neighbour", "show", vip], stdout=-1).communicate()[0]
    words = shown.split()
    return words[words.index("lladdr") + 1] if "lladdr" in words else ""


def test_a_director_without_a_file_is_filled_over_its_socket(own_lab: Lab, tmp_path: Path) -> None:
    with running(own_lab, tmp_path, None, "--interface", "eth0") as director:
        assert director.client.services() == ()
        told = director.client.apply_and_tell(FILL)
        assert told.results == (0, 0, 0)
        assert told.warnings == ()
        wait_until(lambda: all(row.mac for row in director.servers()), "MAC addresses are known")
        assert ask(own_lab, 4) == ALTERNATING * 2
        assert director.client.apply([Change(Operation.DELETE_SERVICE, WEB)]) == (0,)
        assert director.client.services() == ()
        assert director.stop() == 0


def test_a_vip_is_announced_when_it_comes_and_answered_for_no_longer(
    own_lab: Lab, tmp_path: Path
) -> None:
    with running(own_lab, tmp_path, None, "--interface", "eth0") as director:
        director.client.apply([Change(Operation.ADD_SERVICE, OTHER)])
        wait_until(
            lambda: who_has(own_lab, str(OTHER_VIP)) == "00:00:5e:00:01:3c", "the VIP is ours"
        )
        director.client.apply([Change(Operation.CLEAR, None)])
        flush = own_lab.popen("client", ["ip", "neighbour", "flush", "all"])
        assert flush.wait() == 0
        answered, heard = director.verdict("answered"), director.verdict("arp_other")
        who_has(own_lab, str(OTHER_VIP))
        wait_until(lambda: director.verdict("arp_other") > heard, "the question has come")
        assert director.verdict("answered") == answered
        assert who_has(own_lab, str(OTHER_VIP)) == ""


def test_what_cannot_be_served_is_in_the_table_and_told(own_lab: Lab, tmp_path: Path) -> None:
    own_address = Service(Key("tcp", ip_address("10.10.10.61"), 80))
    far = Server(ip_address("192.0.2.1"), 80)
    with running(own_lab, tmp_path, None, "--interface", "eth0") as director:
        told = director.client.apply_and_tell(
            [
                Change(Operation.ADD_SERVICE, own_address),
                Change(Operation.ADD_SERVICE, WEB),
                Change(Operation.ADD_SERVER, WEB, far),
            ]
        )
        assert told.results == (0, 0, 0)
        vip, server = told.warnings
        assert vip.startswith("VIP 10.10.10.61 is an address of this host's kernel")
        assert server.startswith("real server 192.0.2.1 cannot be reached")
        director.expect(vip)


def test_a_reload_leaves_the_sockets_services_and_takes_its_own_back(
    own_lab: Lab, tmp_path: Path
) -> None:
    with running(own_lab, tmp_path, UNCHECKED, servers=2) as director:
        quiet = Server(VM2.address, 80, 0)
        others = [
            Change(Operation.ADD_SERVICE, OTHER),
            Change(Operation.ADD_SERVER, OTHER, VM2),
            Change(Operation.EDIT_SERVER, WEB, quiet),
        ]
        assert director.client.apply(others) == (0, 0, 0)
        assert ask(own_lab, 3) == ["This is VM3"] * 3
        assert "Reloaded" in director.reload(UNCHECKED + "        persistent=60\n")
        rows = {row.service.key: row for row in director.client.services()}
        assert set(rows) == {WEB.key, OTHER.key}
        assert [row.server.weight for row in rows[WEB.key].servers] == [1, 1]
        assert rows[WEB.key].service.persistent_s == 60
        assert [row.mac is not None for row in rows[OTHER.key].servers] == [True]


def test_timeouts_stay_until_the_file_says_others(own_lab: Lab, tmp_path: Path) -> None:
    with running(own_lab, tmp_path, UNCHECKED, servers=2) as director:
        director.client.set_timeouts(udp_s=30)
        director.reload(UNCHECKED)
        assert director.client.timeouts() == (900, 120, 30)


def test_changes_that_fail_are_told_one_by_one(own_lab: Lab, tmp_path: Path) -> None:
    with running(own_lab, tmp_path, UNCHECKED, servers=2) as director:
        again = [FILL[0], FILL[1], Change(Operation.ADD_SERVER, OTHER, VM3)]
        assert director.client.apply(again) == (errno.EEXIST, errno.EEXIST, errno.ESRCH)
        assert ask(own_lab, 2) == ALTERNATING
