"""Two directors: one has the VIPs and tells the other of its connections, until that takes over."""

from __future__ import annotations

import errno
import shutil
import socket
from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from running import LIMIT_S, UNCHECKED, Running, wait_until

from dr_forwarder import resolution
from dr_forwarder.errors import Refused
from dr_forwarder.lab import Lab, links
from dr_forwarder.lab.topology import with_servers
from dr_forwarder.table import SyncDaemon

VIP = ("10.10.10.60", 80)
VIRTUAL_MAC, DIRECTOR_MAC = bytes.fromhex("00005e00013c"), bytes.fromhex("02000a0a0a3d")
PEER = "vm4"
"""A host that would be a real server, and is the other director here."""


@pytest.fixture
def peers(possible: None) -> Iterator[Lab]:
    with Lab(with_servers(3)) as lab:
        links.remove_vip(lab.namespace(PEER), IPv4Address(VIP[0]))
        yield lab


class Peer(Running):
    """A director on the other host."""

    host = PEER


def test_an_established_connection_survives_its_director(peers: Lab, tmp_path: Path) -> None:
    first, second = (tmp_path / name for name in ("first", "second"))
    first.mkdir()
    second.mkdir()
    director, peer = Running(peers, first), Peer(peers, second, "--standby")
    try:
        director.start(UNCHECKED)
        peer.start(UNCHECKED)
        for each in (director, peer):
            wait_until(
                lambda each=each: len(each.servers()) == 2 and all(r.mac for r in each.servers()),
                "servers are known",
            )
        assert peer.client.standby()
        assert director.client.start_daemon(SyncDaemon("master", "eth0", 7)) == 0
        assert peer.client.start_daemon(SyncDaemon("backup", "eth0", 7)) == 0
        with closing(peers.namespace("client").socket(socket.AF_INET, socket.SOCK_STREAM, 0)) as c:
            c.settimeout(LIMIT_S)
            c.connect(VIP)
            ours = c.getsockname()[1]
            c.sendall(b"GET / HTTP/1.1\r\nHost: vip\r\n")
            c.sendall(b"X-One: 1\r\n")

            def learnt() -> bool:
                return any(
                    row.client_port == ours and row.synced for row in peer.client.connections()
                )

            wait_until(learnt, "the peer has heard of the connection")
            assert director.stop() == 0
            peer.client.stand_by(standby=False)
            c.sendall(b"Connection: close\r\n\r\n")
            answer = b""
            while piece := c.recv(4096):
                answer += piece
        assert b"200 OK" in answer
        # A frame counts after it was sent, and its answer may be quicker.
        wait_until(lambda: peer.verdict("forwarded") > 0, "the peer has forwarded")
        assert peer.verdict("no_connection") == 0
    finally:
        director.stop()
        peer.stop()


def test_who_stands_by_neither_answers_nor_forwards(peers: Lab, tmp_path: Path) -> None:
    peer = Peer(peers, tmp_path, "--standby")
    try:
        peer.start(UNCHECKED)
        seen = peer.verdict("standby")
        with peers.namespace("client").socket(socket.AF_INET, socket.SOCK_DGRAM, 0) as asking:
            asking.sendto(b"?", VIP)
        wait_until(lambda: peer.verdict("standby") > seen, "somebody asks for the VIP")
        assert peer.verdict("answered") == 0
        peer.client.stand_by(standby=False)
        assert {answer.strip() for answer in peers.requests(4)} == {"This is VM2", "This is VM3"}
    finally:
        peer.stop()


def test_daemons_start_and_stop_as_the_kernels(peers: Lab, tmp_path: Path) -> None:
    peer = Peer(peers, tmp_path)
    try:
        peer.start(UNCHECKED)
        client = peer.client
        assert client.daemons() == ()
        assert client.start_daemon(SyncDaemon("backup", "nowhere0")) == errno.ENODEV
        for role in ("backup", "master"):
            assert client.start_daemon(SyncDaemon(role, "eth0", 7)) == 0
            assert client.start_daemon(SyncDaemon(role, "eth0", 7)) == errno.EEXIST
        assert [each.role for each in client.daemons()] == ["master", "backup"]
        assert client.daemons()[0] == SyncDaemon("master", "eth0", 7).resolved()
        assert client.stop_daemon("master") == 0
        assert client.stop_daemon("master") == errno.ESRCH
    finally:
        peer.stop()


def test_a_takeover_before_the_other_stands_by_leaves_no_hole(peers: Lab, tmp_path: Path) -> None:
    """The last frame that a switch learns by may be one of the director that leaves."""
    first, second = (tmp_path / name for name in ("first", "second"))
    for each in (first, second):
        each.mkdir()
    director, peer = Running(peers, first), Peer(peers, second, "--standby")
    said = resolution.announcement(IPv4Address(VIP[0]), mac=VIRTUAL_MAC)
    asked = resolution.probe(IPv4Address(VIP[0]), mac=DIRECTOR_MAC)
    try:
        director.start(UNCHECKED)
        peer.start(UNCHECKED)
        wait_until(lambda: all(row.mac for row in peer.servers()), "servers are known")
        peer.client.stand_by(standby=False)
        assert len(peers.requests(2)) == 2
        with peers.tap("client") as tap:
            director.client.stand_by(standby=False)  # says once more that all is at its port
            tap.wait_for(lambda frame: frame.data == said)
            director.client.stand_by(standby=True)
            tap.wait_for(lambda frame: frame.data == asked)
            tap.wait_for(lambda frame: frame.data == said)
        forwarded = peer.verdict("forwarded")
        assert len(peers.requests(4)) == 4
        wait_until(lambda: peer.verdict("forwarded") > forwarded, "the peer has forwarded")
    finally:
        director.stop()
        peer.stop()


# ---- Two on one host: an upgrade, or a mistake ----


def test_a_second_active_director_on_one_interface_is_refused(own_lab: Lab, tmp_path: Path) -> None:
    first, second = (Running(own_lab, tmp_path / name) for name in ("first", "second"))
    for each in (first, second):
        each.config.parent.mkdir()
    try:
        first.start(UNCHECKED)
        assert first.process is not None
        shutil.rmtree(first.state_dir)
        second.start(UNCHECKED)
        assert second.stop() == 1
        second.expect(f"another director (process {first.process.pid}) is active on eth0")
        assert len(own_lab.requests(2)) == 2
    finally:
        first.stop()
        second.stop()


def test_a_new_version_takes_over_on_the_same_host_once_the_old_one_stands_by(
    own_lab: Lab, tmp_path: Path
) -> None:
    old = Running(own_lab, tmp_path / "old")
    new = Running(own_lab, tmp_path / "new", "--standby")
    for each in (old, new):
        each.config.parent.mkdir()
    try:
        old.start(UNCHECKED)
        new.start(UNCHECKED)
        wait_until(lambda: all(row.mac for row in new.servers()), "servers are known")
        with pytest.raises(Refused, match="another director"):
            new.client.stand_by(standby=False)
        assert new.client.standby()
        old.client.stand_by(standby=True)
        new.client.stand_by(standby=False)
        assert {answer.strip() for answer in own_lab.requests(4)} == {"This is VM2", "This is VM3"}
        with pytest.raises(Refused, match="another director"):
            old.client.stand_by(standby=False)
        assert old.stop() == 0
        assert len(own_lab.requests(2)) == 2
    finally:
        old.stop()
        new.stop()
