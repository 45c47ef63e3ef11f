"""Several workers: the kernel parts the frames, and what is decided is as exact as with one."""

from __future__ import annotations

import random
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from running import CONFIG, UNCHECKED, Running, running, wait_until
from test_director import ALTERNATING, Held, ask

from dr_forwarder.checksum import internet_checksum
from dr_forwarder.lab import Lab
from dr_forwarder.sockets import share

WORKERS = 3
CLIENTS = 60
EACH = 4
MAC, SENDER = bytes.fromhex("020000000042"), bytes.fromhex("020000000043")
IPV4, IPV6, ALL = 0x0800, 0x86DD, 0x0003


def packet_of(client: IPv4Address | IPv6Address, number: int) -> bytes:
    """A frame for another; of IPv4 every other one is a later fragment, without ports."""
    if isinstance(client, IPv6Address):
        fixed = struct.pack("!IHBB", 6 << 28, 0, 59, 64)
        return MAC + SENDER + struct.pack("!H", IPV6) + fixed + client.packed * 2
    offset = number % 2 * 185
    fields = (0x45, 0, 20, number, offset, 64, 17)
    rest = client.packed * 2
    wrong = struct.pack("!BBHHHBBH", *fields, 0) + rest
    header = struct.pack("!BBHHHBBH", *fields, internet_checksum(wrong)) + rest
    return MAC + SENDER + struct.pack("!H", IPV4) + header


def clients() -> list[IPv4Address | IPv6Address]:
    """Neighbours, whose addresses differ in their last bits, in the order of nobody."""
    four = [IPv4Address("10.10.10.100") + i for i in range(CLIENTS)]
    six = [IPv6Address("fd00:10::100") + i for i in range(CLIENTS)]
    return random.Random(7).sample([*four, *six] * EACH, 2 * CLIENTS * EACH)


def received(where: socket.socket) -> list[bytes]:
    """The source address of every frame of ours that waits there."""
    found: list[bytes] = []
    while True:
        try:
            frame = where.recv(2048)
        except BlockingIOError:
            return found
        if frame[:6] == MAC:
            found.append(frame[26:30] if frame[12:14] == b"\x08\x00" else frame[22:38])


def test_all_frames_of_a_client_come_to_one_worker_and_clients_are_spread(lab: Lab) -> None:
    inside = lab.namespace("director")
    sockets = [inside.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) for _ in range(WORKERS)]
    sender = lab.namespace("client").socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        for each in sockets:
            each.setblocking(False)
            each.bind(("eth0", ALL))
        share(sockets)
        for each in sockets:
            received(each)
        sender.bind(("eth0", 0))
        asked = clients()
        for number, client in enumerate(asked):
            sender.send(packet_of(client, number))
        got: list[list[bytes]] = [[] for _ in sockets]

        def all_came() -> bool:
            for found, each in zip(got, sockets, strict=True):
                found += received(each)
            return sum(map(len, got)) >= len(asked)

        wait_until(all_came, "every frame came")
    finally:
        for each in (*sockets, sender):
            each.close()
    came = sorted(client for found in got for client in found)
    assert came == sorted(client.packed for client in asked)
    whose = [set(found) for found in got]
    assert sum(map(len, whose)) == 2 * CLIENTS
    assert min(map(len, whose)) > CLIENTS / 4


def balances(director: Running) -> bool:
    """What all workers did is all that was done, though frames come and go."""
    stats = director.client.stats()
    assert len(stats.workers) == WORKERS
    assert stats.frames == sum(each.frames for each in stats.workers)
    assert stats.verdicts["forwarded"] == sum(each.forwarded for each in stats.workers)
    assert stats.ring_dropped == sum(each.ring_dropped for each in stats.workers)
    return stats.frames == sum(stats.verdicts.values())


def test_the_scheduler_is_exact_over_workers(lab: Lab, tmp_path: Path) -> None:
    with running(lab, tmp_path, UNCHECKED, "--workers", str(WORKERS), servers=2) as director:
        assert ask(lab, 6) == ALTERNATING * 3
        with ThreadPoolExecutor(4) as pool:
            answers = [each for some in pool.map(lambda _: ask(lab, 10), range(4)) for each in some]
        assert answers.count("This is VM2") == answers.count("This is VM3") == 20
        assert balances(director)
        worked = [each for each in director.client.stats().workers if each.frames]
        assert worked
        assert all(each.wakeups for each in worked)
        assert director.stop() == 0
        director.expect(f"by worker {WORKERS - 1}: ")


def test_an_upload_is_byte_exact_over_workers_with_offloads_on(lab: Lab, tmp_path: Path) -> None:
    with running(lab, tmp_path, UNCHECKED, "--workers", str(WORKERS), servers=2) as director:
        lab.upload(50_000_000)
        assert balances(director)
        assert director.verdict("send_failed") == director.verdict("own_frame") == 0


def test_connections_live_on_when_other_workers_take_them_over(
    own_lab: Lab, tmp_path: Path
) -> None:
    with running(own_lab, tmp_path, CONFIG, "--workers", "2", servers=2) as director:
        held = Held(own_lab)
        server = held.ask()
        assert director.stop() == 0
    with running(own_lab, tmp_path, CONFIG, "--workers", "3", servers=2) as director:
        director.expect("Took over")
        assert held.ask() == server
        assert "Reloaded" in director.reload(CONFIG)
        assert held.ask() == server
        held.close()
