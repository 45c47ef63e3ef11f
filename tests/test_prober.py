"""The prober on a pair of ordinary sockets: what it sends, and what it makes of what it hears."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from ipaddress import ip_address

import pytest

from dr_forwarder import resolution
from dr_forwarder.addresses import Identity, virtual_mac
from dr_forwarder.announcements import REPEATS_S
from dr_forwarder.config.model import Address
from dr_forwarder.events import MacLearned, MacRefused, VipConflict
from dr_forwarder.interfaces import Interface
from dr_forwarder.prober import Event, Prober
from dr_forwarder.vlan import UNTAGGED

NIC = bytes.fromhex("02000000003d")
OTHER_NIC = bytes.fromhex("020000000077")
SERVER_MAC = bytes.fromhex("02000000003e")
STRANGER = bytes.fromhex("0200000000ee")
VIRTUAL = virtual_mac(1)
VIP, VIP6 = ip_address("10.10.10.60"), ip_address("fd77::60")
SERVER = ip_address("10.10.10.62")
HERE = ip_address("10.10.10.61")
ETH0 = Interface("eth0", 2, NIC, 1500, True, addresses=(HERE,))
LOOKS = 3000
"""A hundred a second, at most."""


class Wire:
    """A prober, and the other end of its wire."""

    def __init__(self, *, mac: bytes = VIRTUAL, peers: tuple[bytes, ...] = ()) -> None:
        ours, self.other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for each in (ours, self.other):
            each.setblocking(False)
        self.events: list[Event] = []
        self.sent: list[bytes] = []
        self.prober = Prober(
            ours,
            interface=ETH0,
            kernel_index=ETH0.index,
            vlan=UNTAGGED,
            identity=Identity(mac, is_virtual=mac == VIRTUAL),
            announce_interval_s=3600,
            emit=self.events.append,
            peers=peers,
        )
        self._ours = ours

    def close(self) -> None:
        self._ours.close()
        self.other.close()

    def frames(self) -> list[bytes]:
        """All that has been sent until now."""
        while True:
            try:
                self.sent.append(self.other.recv(2048))
            except BlockingIOError:
                return self.sent

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(LOOKS):
            if condition():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("what was waited for does not come")

    def said(self, vip: Address, mac: bytes) -> int:
        """How often ``vip`` was announced at ``mac``."""
        return self.frames().count(resolution.announcement(vip, mac=mac))


async def played(wire: Wire, story: Callable[[Wire], object]) -> None:
    running = asyncio.create_task(wire.prober.run())
    try:
        await story(wire)  # type: ignore[misc]
    finally:
        running.cancel()
        await asyncio.wait([running])
        wire.close()


def test_new_vips_are_said_before_update_returns_and_again() -> None:
    async def story(wire: Wire) -> None:
        wire.prober.update({}, [VIP, VIP6])
        assert (wire.said(VIP, VIRTUAL), wire.said(VIP6, VIRTUAL)) == (1, 1)
        await wire.until(lambda: wire.said(VIP, VIRTUAL) >= 3)

    asyncio.run(played(Wire(), story))


def test_when_the_network_has_changed_all_vips_are_said_again() -> None:
    async def story(wire: Wire) -> None:
        wire.prober.update({}, [VIP])
        await wire.until(lambda: wire.said(VIP, VIRTUAL) == len(REPEATS_S))
        wire.prober.announce_again()
        await wire.until(lambda: wire.said(VIP, VIRTUAL) >= len(REPEATS_S) + 3)

    asyncio.run(played(Wire(), story))


def test_another_mac_address_of_the_interface_is_said_and_asked_with() -> None:
    async def story(wire: Wire) -> None:
        wire.prober.update({SERVER: HERE}, [VIP])
        other = Interface("eth1", 3, OTHER_NIC, 1500, True, addresses=(HERE,))
        wire.prober.move(other, 3, Identity(OTHER_NIC, is_virtual=False))
        wire.prober.announce_again()
        wire.frames().clear()
        question = resolution.question(SERVER, source=HERE, source_mac=OTHER_NIC)
        await wire.until(lambda: wire.said(VIP, OTHER_NIC) >= 2)
        await wire.until(lambda: question in wire.frames())
        assert not [frame for frame in wire.frames() if frame[6:12] == NIC]

    asyncio.run(played(Wire(mac=NIC), story))


def test_what_is_left_to_another_director_is_not_said_again() -> None:
    async def story(wire: Wire) -> None:
        wire.prober.update({SERVER: HERE}, [VIP])
        wire.prober.update({SERVER: HERE}, [])
        wire.frames().clear()
        wire.prober.announce_again()
        question = resolution.question(SERVER, source=HERE, source_mac=NIC)
        await wire.until(lambda: question in wire.frames())
        assert wire.said(VIP, VIRTUAL) == 0

    asyncio.run(played(Wire(), story))


# ---- Who else has an address ----


def claim(address: Address, mac: bytes) -> bytes:
    return resolution.announcement(address, mac=mac)


def test_a_rival_that_claims_a_vip_twice_does_not_have_the_last_word() -> None:
    async def story(wire: Wire) -> None:
        wire.prober.update({}, [VIP])
        await wire.until(lambda: wire.said(VIP, VIRTUAL) == len(REPEATS_S))
        for _ in range(2):
            wire.other.send(claim(VIP, STRANGER))
        await wire.until(lambda: wire.said(VIP, VIRTUAL) >= len(REPEATS_S) + 1)
        wire.other.send(claim(VIP, STRANGER))
        await wire.until(lambda: wire.said(VIP, VIRTUAL) >= len(REPEATS_S) + 2)

    asyncio.run(played(Wire(), story))


def test_each_of_two_that_answer_for_a_vip_is_told_with_the_cure_for_it() -> None:
    async def story(wire: Wire) -> None:
        wire.prober.update({SERVER: HERE}, [VIP])
        wire.other.send(claim(SERVER, SERVER_MAC))
        await wire.until(lambda: bool(wire.events))
        for mac in (SERVER_MAC, STRANGER, SERVER_MAC):
            wire.other.send(claim(VIP, mac))
        await wire.until(lambda: len(wire.events) == 3)
        _, server, stranger = wire.events
        assert isinstance(server, VipConflict)
        assert server.blame.startswith("real server 10.10.10.62 answers ARP for it; run there:")
        assert "ip addr del 10.10.10.60/PREFIX dev INTERFACE" in server.blame
        assert stranger == VipConflict(VIP, STRANGER, "another host has this address")

    asyncio.run(played(Wire(), story))


def test_who_else_has_a_vip_is_asked_at_once_and_again_and_again() -> None:
    async def story(wire: Wire) -> None:
        wire.prober.update({}, [VIP])
        await wire.until(lambda: wire.frames().count(resolution.probe(VIP, mac=NIC)) >= 3)

    asyncio.run(played(Wire(), story))


@pytest.mark.parametrize("mac", [VIRTUAL, NIC])
def test_a_server_is_never_believed_to_be_where_we_are(mac: bytes) -> None:
    async def story(wire: Wire) -> None:
        wire.prober.update({SERVER: HERE}, [VIP])
        for _ in range(3):
            wire.other.send(claim(SERVER, mac))
        wire.other.send(claim(SERVER, SERVER_MAC))
        await wire.until(lambda: len(wire.events) == 2)
        refused, learned = wire.events
        assert isinstance(refused, MacRefused)
        assert (refused.address, refused.mac) == (SERVER, mac)
        assert learned == MacLearned(SERVER, SERVER_MAC)

    asyncio.run(played(Wire(), story))


def test_a_director_that_leaves_its_vips_has_the_other_one_say_so() -> None:
    """What was on its way may have taught a switch the port that was left."""

    async def story(wire: Wire) -> None:
        wire.prober.update({}, [VIP, VIP6])
        wire.frames().clear()
        wire.prober.leave()
        probes = [resolution.probe(vip, mac=NIC) for vip in (VIP, VIP6)]
        await wire.until(lambda: all(wire.frames().count(probe) == 3 for probe in probes))
        assert not [frame for frame in wire.frames() if frame[6:12] == VIRTUAL]

    asyncio.run(played(Wire(), story))


@pytest.mark.parametrize("vip", [VIP, VIP6])
def test_who_looks_whether_a_vip_is_free_hears_whose_it_is(vip: Address) -> None:
    async def story(wire: Wire) -> None:
        wire.prober.update({}, [vip])
        await wire.until(lambda: wire.said(vip, VIRTUAL) == len(REPEATS_S))
        wire.other.send(resolution.probe(vip, mac=STRANGER))
        await wire.until(lambda: wire.said(vip, VIRTUAL) > len(REPEATS_S))
        assert wire.events == []

    asyncio.run(played(Wire(), story))


def test_a_flood_does_not_keep_the_event_loop_from_its_other_work() -> None:
    async def story(wire: Wire) -> None:
        wire.prober.update({SERVER: HERE}, [VIP])
        flood = claim(SERVER, SERVER_MAC)
        turns = 0
        for _ in range(20):
            try:
                while True:
                    wire.other.send(flood)
            except BlockingIOError:
                await asyncio.sleep(0)
                turns += 1
        assert turns == 20
        wire.prober.announce_again()
        await wire.until(lambda: wire.said(VIP, VIRTUAL) >= 2)

    asyncio.run(played(Wire(), story))
