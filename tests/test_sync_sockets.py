"""The sockets of the synchronisation daemons."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv6Address, ip_address

import pytest
from director import Director

from dr_forwarder.interfaces import Interface
from dr_forwarder.sync import Synchroniser
from dr_forwarder.table import SyncDaemon

SIZE = 16384
PORT = 18848


def sockets() -> Iterator[socket.socket]:
    """Those of this process that are on the daemons' port."""
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
        except FileNotFoundError:  # what listed the folder
            continue
        with socket.socket(fileno=os.dup(int(name))) as found:
            if found.type == socket.SOCK_DGRAM and PORT in (found.getsockname()[1], far(found)):
                yield found


def far(found: socket.socket) -> int:
    try:
        return int(found.getpeername()[1])
    except OSError:  # not connected
        return 0


@pytest.mark.parametrize(
    ("role", "option"), [("master", socket.SO_SNDBUF), ("backup", socket.SO_RCVBUF)]
)
@pytest.mark.parametrize("size", [0, SIZE])
def test_a_daemons_socket_has_the_size_that_is_asked_for(role: str, option: int, size: int) -> None:
    async def sizes() -> list[int]:
        with Director() as director:
            sync = Synchroniser(director.engine, ports=lambda: 1, buffer_bytes=lambda: size)
            try:
                assert sync.start(SyncDaemon(role, "lo", port=PORT)) == 0
                return [each.getsockopt(socket.SOL_SOCKET, option) for each in sockets()]
            finally:
                sync.close()

    found = asyncio.run(sizes())
    assert len(found) == 1
    assert (found[0] == 2 * SIZE) == (size == SIZE), "the kernel doubles it, for its own needs"


@pytest.mark.parametrize("role", ["master", "backup"])
def test_an_interface_that_is_another_one_gets_sockets_anew(role: str) -> None:
    lo = Interface("lo", 1, bytes(6), 65536, up=True, addresses=(ip_address("127.0.0.1"),))
    others = (replace(lo, index=9), replace(lo, addresses=()), replace(lo, index=9, up=False))

    async def run() -> None:
        with Director() as director:
            sync = Synchroniser(director.engine, ports=lambda: 1, buffer_bytes=lambda: 0)
            try:
                assert sync.start(SyncDaemon(role, "lo", port=PORT)) == 0
                sync.follow({"lo": lo})
                (before,) = numbers()
                sync.follow({"lo": lo})
                sync.follow({})
                sync.follow({"lo": others[2]})
                assert numbers() == [before]
                for other in others[:2]:
                    sync.follow({"lo": other})
                    (after,) = numbers()
                    assert after != before
                    before = after
                assert sync.daemons()[0].role == role
            finally:
                sync.close()
            assert numbers() == []

    asyncio.run(run())


def numbers() -> list[int]:
    """Of the kernel's, for each socket on the daemons' port."""
    return [os.fstat(found.fileno()).st_ino for found in sockets()]


LENGTHS = [
    pytest.param(SyncDaemon("master"), 9000, 1472, id="a master, whatever its interface takes"),
    pytest.param(SyncDaemon("master", max_length=100), 1500, 100, id="told"),
    pytest.param(SyncDaemon("master", group=IPv6Address("ff02::81")), 1500, 1452, id="IPv6"),
    pytest.param(SyncDaemon("backup"), 1280, 1472, id="a backup"),
    pytest.param(SyncDaemon("backup"), 9000, 8972, id="a backup on jumbo frames"),
    pytest.param(SyncDaemon("backup"), 65536, 65507, id="a backup on lo"),
    pytest.param(SyncDaemon("backup", max_length=100), 1500, 1024, id="a backup told less"),
    pytest.param(SyncDaemon("backup", max_length=2000), 1500, 2000, id="a backup told more"),
]


@pytest.mark.parametrize(("daemon", "mtu", "length"), LENGTHS)
def test_messages_are_as_long_as_kernel_ipvs_makes_them(
    daemon: SyncDaemon, mtu: int, length: int
) -> None:
    assert daemon.resolved(mtu=mtu).max_length == length
