"""What was set over the socket is there after a restart and a kill, with and without a file."""

from __future__ import annotations

import signal
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from running import UNCHECKED, running, wait_until

from dr_forwarder.lab import Lab
from dr_forwarder.table import Change, Key, Operation, Server, Service

VIP = IPv4Address("10.10.10.60")
WEB, OTHER = Key("tcp", VIP, 80), Key("tcp", VIP, 8080)
VM2, VM3 = IPv4Address("10.10.10.62"), IPv4Address("10.10.10.63")


def added(key: Key, *servers: Server) -> list[Change]:
    service = Service(key, "wrr")
    return [
        Change(Operation.ADD_SERVICE, service),
        *(Change(Operation.ADD_SERVER, service, each) for each in servers),
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["ended", "killed"])
@pytest.mark.parametrize("reboot", [False, True], ids=["state left", "state lost"])
def test_a_table_without_a_file_is_there_again(
    own_lab: Lab, tmp_path: Path, number: int, reboot: bool
) -> None:
    options = ("--interface", "eth0", "--persist-file", str(tmp_path / "kept"))
    servers = (Server(VM2, 80, 2, upper=50, lower=20), Server(VM3, 80, 0))
    with running(own_lab, tmp_path, None, *options) as director:
        assert not any(director.client.apply(added(WEB, *servers)))
        director.client.set_timeouts(tcp_s=77)
        before = director.client.services()
        director.stop(number)
        if reboot:
            (director.state_dir / "state").unlink()
        director.start(None)
        after = director.client.services()
        assert [row.service for row in after] == [row.service for row in before]
        assert [each.server for each in after[0].servers] == [
            each.server for each in before[0].servers
        ]
        assert director.client.timeouts()[0] == 77
        wait_until(lambda: all(row.mac for row in director.servers()), "MAC addresses are known")
        assert {answer.strip() for answer in own_lab.requests(2)} == {"This is VM2"}


def test_beside_a_file_the_files_services_are_the_files(own_lab: Lab, tmp_path: Path) -> None:
    with running(own_lab, tmp_path, UNCHECKED, "--persist", servers=2) as director:
        client = director.client
        assert not any(client.apply(added(OTHER, Server(VM2, 8080, 5))))
        web = Service(WEB, "wrr")
        client.apply([Change(Operation.EDIT_SERVER, web, Server(VM3, 80, 9))])
        kept = (director.state_dir / "table").read_text()
        assert kept.splitlines() == [
            "-A -t 10.10.10.60:8080 -s wrr",
            "-a -t 10.10.10.60:8080 -r 10.10.10.62:8080 -g -w 5",
        ]
        director.stop()
        director.start(UNCHECKED)
        wait_until(lambda: len(director.servers()) == 3, "all servers are there")
        weights = {
            (row.service.key.port, each.server.address): each.server.weight
            for row in client.services()
            for each in row.servers
        }
        assert weights == {(80, VM2): 1, (80, VM3): 1, (8080, VM2): 5}
        client.apply([Change(Operation.DELETE_SERVICE, Service(OTHER))])
        assert (director.state_dir / "table").read_text() == ""


def test_without_being_asked_nothing_is_kept(own_lab: Lab, tmp_path: Path) -> None:
    with running(own_lab, tmp_path, None, "--interface", "eth0") as director:
        director.client.apply(added(WEB))
        director.stop()
        director.start(None)
        assert director.client.services() == ()
