"""A server is drained while it serves: what it has goes on, what is new goes elsewhere, and at the
deadline the rest is told; whatever is reloaded, killed or taken over meanwhile.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest
from running import CONFIG, LIMIT_S, Running, running, wait_until

from dr_forwarder.endpoints import Address
from dr_forwarder.lab import Lab
from dr_forwarder.orders import State
from dr_forwarder.table import Drain, Key

VIP = ("10.10.10.60", 80)
WEB = Key("tcp", ip_address(VIP[0]), 80)
VM2, VM3 = ip_address("10.10.10.62"), ip_address("10.10.10.63")
PERSISTENT = CONFIG + "        persistent=600\n"


@contextmanager
def half_asked(lab: Lab) -> Iterator[socket.socket]:
    """A connection whose request is not finished."""
    with lab.namespace("client").socket(socket.AF_INET, socket.SOCK_STREAM, 0) as asking:
        asking.settimeout(LIMIT_S)
        asking.connect(VIP)
        asking.sendall(b"GET / HTTP/1.1\r\nHost: vip\r\n")
        yield asking


def serving(director: Running, asking: socket.socket) -> Address:
    """Which server has the connection."""
    port = asking.getsockname()[1]
    (row,) = (
        row for row in director.client.connections() if row.client_port == port and not row.template
    )
    return row.server


def test_a_server_is_drained_under_its_clients_and_reset_at_the_deadline(
    own_lab: Lab, tmp_path: Path
) -> None:
    with running(own_lab, tmp_path, PERSISTENT, servers=2) as director:
        with half_asked(own_lab) as going_on, half_asked(own_lab) as left:
            server = serving(director, left)
            assert serving(director, going_on) == server
            name = {VM2: "This is VM2\n", VM3: "This is VM3\n"}
            other = VM3 if server == VM2 else VM2

            told = director.command("drain", "--no-wait", f"{VIP[0]}:80", str(server))
            assert told.startswith(f"tcp 10.10.10.60:80 -> {server}: draining, 2 connections left")
            assert own_lab.requests(3) == [name[other]] * 3, "its template is not used"

            assert "Reloaded" in director.reload(PERSISTENT + "        checkcount=2\n")
            assert own_lab.requests(2) == [name[other]] * 2
            director.stop(signal.SIGKILL)
            director.start(PERSISTENT)
            wait_until(lambda: len(director.servers()) == 2, "servers are known")
            director.client.stand_by(standby=True)
            director.client.stand_by(standby=False)
            assert own_lab.requests(2) == [name[other]] * 2
            assert director.weights()[f".{server.packed[-1]}"] == 0

            going_on.sendall(b"Connection: close\r\n\r\n")
            answer = b""
            while piece := going_on.recv(4096):
                answer += piece
            assert b"200 OK" in answer
            assert name[server].encode() in answer

            director.client.drain(server, WEB, deadline_s=1)
            wait_until(lambda: "Drained real server" in director.log, "the deadline came")
            left.sendall(b"X-More: 1\r\n")
            with pytest.raises(ConnectionResetError):
                left.recv(1)
            wait_until(lambda: director.verdict("reset") == 1, "counted")
        (row,) = director.client.orders()
        assert row.state is State.DRAINED
        assert row.order.then is Drain.RESET
        shown = director.command("list", "--health")
        assert f"10.10.10.60:80 -> {server}:80 up: HTTP 200 OK; drained" in shown

        director.command("enable", f"tcp {VIP[0]}:80", f"{server}:80")
        assert set(director.weights().values()) == {1}
        assert director.stop() == 0


def test_a_server_that_is_disabled_is_out_at_once(own_lab: Lab, tmp_path: Path) -> None:
    with (
        running(own_lab, tmp_path, CONFIG, servers=2) as director,
        half_asked(own_lab) as asking,
    ):
        server = serving(director, asking)
        told = director.command("disable", "--all", str(server))
        assert told == f"tcp 10.10.10.60:80 -> {server}: disabled, 1 connection left\n"
        asking.sendall(b"Connection: close\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            asking.recv(1)
        assert len(set(own_lab.requests(4))) == 1
        assert director.stop() == 0
