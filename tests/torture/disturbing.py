"""What is done to a director in the hostile hour: to its table, its process, its cable, its disk.

A disturbance ends with the director able to work again. One that takes frames away says so, by
`PAUSING`; its time, until the VIPs are served again, is nobody's fault.
"""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import changing
from network import is_served
from pyroute2 import IPRoute
from running import VIP4, Running, wait_until
from situation import DRAINED, ROOM, Shape, by_chance, file_of

from dr_forwarder.client import Client
from dr_forwarder.errors import NotRunning, Refused
from dr_forwarder.lab import Lab
from dr_forwarder.table import Change, Drain, Key, Operation, Server, Service

SERVED_S = 60.0
ANSWERED_S = 30.0
_FOREIGN = Key("tcp", VIP4 + 35, 81)
_STORM = 20


@dataclass
class Disturbed:
    """The director, and how it is at the moment."""

    lab: Lab
    director: Running
    directory: Path
    vips: tuple[str, ...]
    shape: Shape = field(default_factory=Shape)

    @property
    def client(self) -> Client:
        return self.director.client

    def text(self) -> str:
        return file_of(self.shape, self.directory)

    def reshape(self, shape: Shape) -> None:
        """By a reload whose end is waited for; one before it may be told of meanwhile."""
        self.shape = shape
        self.write()
        before = len(self.director.log)
        self.director.send(signal.SIGHUP)
        wait_until(lambda: "Reloaded" in self.director.log[before:], "it is reloaded")

    def write(self) -> None:
        """The file as it is to be, in one piece: whoever reads it meanwhile has it whole."""
        new = self.directory / "new.toml"
        new.write_text(self.text())
        new.replace(self.director.config)

    def is_served(self) -> bool:
        return all(is_served(self.lab, vip) for vip in self.vips)

    def wait_until_served(self) -> float:
        """Raises AssertionError with what the director says of it."""
        try:
            return wait_until(self.is_served, "served again", limit_s=SERVED_S)
        except AssertionError as error:
            told = [f"{vip}: {is_served(self.lab, vip)}" for vip in self.vips]
            for words in (("list", "-n"), ("list", "--verdicts"), ("list", "--health")):
                with contextlib.suppress(AssertionError):
                    told.append(self.director.command(*words))
            print("\n".join(told), flush=True)
            raise error


Disturb = Callable[[Disturbed, random.Random], None]


# ---- The table ----


def reload(subject: Disturbed, chance: random.Random) -> None:
    """Weights, schedulers, and VIPs that come and go."""
    subject.reshape(by_chance(chance))


def quiesce(subject: Disturbed, chance: random.Random) -> None:
    subject.reshape(replace(subject.shape, weights=chance.choice(((0, 1), (1, 0)))))


def broken_file(subject: Disturbed, chance: random.Random) -> None:
    """Cut off anywhere, with bytes exchanged, or of nothing but garbage."""
    text = bytearray(subject.text().encode())
    for _ in range(20):
        text[chance.randrange(len(text))] = chance.randrange(256)
    junk = chance.choice((bytes(text), b"[director\n" + bytes(text), chance.randbytes(3000), b"["))
    before = len(subject.director.log)
    subject.director.config.write_bytes(junk)
    subject.director.send(signal.SIGHUP)
    wait_until(lambda: "eloaded" in subject.director.log[before:], "it is told of")
    subject.reshape(subject.shape)


def orders_of_ipvsadm(subject: Disturbed, chance: random.Random) -> None:
    """A service with many servers comes, is edited, and goes."""
    service = Service(_FOREIGN, chance.choice(("rr", "wrr", "sh", "mh", "lblc")))
    servers = [Server(VIP4 + 100 + number, 81, chance.randrange(1, 100)) for number in range(60)]
    subject.client.apply(
        [
            Change(Operation.ADD_SERVICE, service),
            *(Change(Operation.ADD_SERVER, service, each) for each in servers),
            *(
                Change(Operation.EDIT_SERVER, service, replace(each, weight=2**31 - 1))
                for each in servers[:10]
            ),
        ]
    )
    subject.client.zero()
    assert subject.client.apply([Change(Operation.DELETE_SERVICE, service)]) == (0,)


def drain_and_enable(subject: Disturbed, chance: random.Random) -> None:
    """A server of a service whose clients are not counted."""
    server = VIP4 + chance.choice((2, 3))
    then = chance.choice((Drain.RESET, Drain.DROP, Drain.REHASH))
    if chance.random() < 0.5:
        subject.client.drain(server, DRAINED, deadline_s=chance.choice((1, 600)), then=then)
    else:
        subject.client.disable(server, DRAINED, then=then)
    time.sleep(chance.uniform(0, 1))
    subject.client.enable(server, DRAINED)


def list_everything(subject: Disturbed, chance: random.Random) -> None:
    subject.client.services()
    subject.client.orders()
    subject.client.drops()
    assert sum(1 for _ in subject.client.each_connection()) <= 2 * ROOM


# ---- The process ----


def sighup_storm(subject: Disturbed, chance: random.Random) -> None:
    for _ in range(_STORM):
        subject.shape = by_chance(chance)
        subject.write()
        subject.director.send(signal.SIGHUP)
        time.sleep(0.05)
    subject.reshape(subject.shape)


def freeze(subject: Disturbed, chance: random.Random) -> None:
    subject.director.send(signal.SIGSTOP)
    try:
        time.sleep(chance.uniform(0.5, 4))
    finally:
        subject.director.send(signal.SIGCONT)


def kill(subject: Disturbed, chance: random.Random) -> None:
    subject.director.stop(signal.SIGKILL)
    start(subject)


def restart(subject: Disturbed, chance: random.Random) -> None:
    assert subject.director.stop(signal.SIGTERM) == 0
    start(subject)


def kill_while_it_starts(subject: Disturbed, chance: random.Random) -> None:
    subject.director.stop(signal.SIGKILL)
    for _ in range(3):
        subject.director.launch(subject.text())
        time.sleep(chance.uniform(0.1, 1.5))
        subject.director.stop(signal.SIGKILL)
    start(subject)


def start(subject: Disturbed) -> None:
    """Until it runs."""
    subject.director.start(subject.text())
    assert not subject.director.ended, subject.director.log[-3000:]


# ---- The disk ----


def full_disk(subject: Disturbed, chance: random.Random) -> None:
    """The state directory's, while orders and changes want to be kept."""
    filler = subject.director.state_dir / "filler"
    try:
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as out:
            while out.write(bytes(4096)):
                pass
        for disturb in (orders_of_ipvsadm, drain_and_enable, reload):
            with contextlib.suppress(Refused):  # an order that cannot be kept may be refused
                disturb(subject, chance)
    finally:
        filler.unlink(missing_ok=True)
    subject.client.enable(VIP4 + 2, DRAINED)
    subject.client.enable(VIP4 + 3, DRAINED)


# ---- The network ----


def cable(name: str) -> Disturb:
    """One of the changes of the interface."""

    def disturb(subject: Disturbed, chance: random.Random) -> None:
        changing.CHANGES[name](subject.lab)

    disturb.__name__ = name
    return disturb


def mac_of_a_server(subject: Disturbed, chance: random.Random) -> None:
    """Another network card, and nobody is told."""
    name = chance.choice(("vm2", "vm3"))
    mac = bytes.fromhex("02000a0a") + chance.randbytes(2)

    def turn() -> None:
        with IPRoute() as netlink:
            index = netlink.link_lookup(ifname="eth0")[0]
            netlink.link("set", index=index, address=mac.hex(":"))

    def is_known() -> bool:
        with contextlib.suppress(NotRunning):
            rows = (row for each in subject.client.services() for row in each.servers)
            found = [row.mac for row in rows if row.server.address == address]
            return set(found) == {mac}
        return False

    address = subject.lab.topology.host(name).address
    subject.lab.namespace(name).run(turn)
    wait_until(is_known, f"{name}'s new MAC address is known", limit_s=SERVED_S)


GENTLE: tuple[Disturb, ...] = (
    *(reload, quiesce, broken_file, orders_of_ipvsadm, drain_and_enable, list_everything),
    *(sighup_storm, full_disk),
)
"""Nobody may notice anything."""
PAUSING: tuple[Disturb, ...] = (freeze, mac_of_a_server, *map(cable, changing.CHANGES))
"""Frames are lost, or go nowhere, for a while."""
ENDING: tuple[Disturb, ...] = (kill, restart, kill_while_it_starts)
"""The process is another one afterwards."""
