"""The director is killed, over and over; no connection may notice more than a pause."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from cluster import CONFIG, Cluster
from running import VIP4

from dr_forwarder.client import Client
from dr_forwarder.errors import NotRunning
from dr_forwarder.table import Change, Key, Operation, Server, Service

KILLS = 5
STARTS = 6
OTHER = Key("tcp", VIP4, 81)
WEIGHTS = range(50)


def test_killed_under_traffic(tortured: Cluster) -> None:
    held = tortured.hold()
    for _ in range(KILLS):
        tortured.director.stop(signal.SIGKILL)
        tortured.director.start(CONFIG)
        held.wait_for_a_round()
        tortured.assert_balanced()
    tortured.figures["kills"] = str(KILLS)
    tortured.assert_unharmed(held)


class Changing(threading.Thread):
    """Changes of a service beside the others, as fast as they are taken, until it is ended."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__(daemon=True)
        self._client = Client(state_dir)
        self._over = threading.Event()
        self.made = 0

    def run(self) -> None:
        service = Service(OTHER, "rr")
        server = VIP4 + 2
        changes = [
            Change(Operation.ADD_SERVICE, service),
            Change(Operation.ADD_SERVER, service, Server(server, 81)),
            *(Change(Operation.EDIT_SERVER, service, Server(server, 81, w)) for w in WEIGHTS),
            Change(Operation.DELETE_SERVICE, service),
        ]
        while not self._over.is_set():
            try:
                self._client.apply(changes)
                self.made += len(changes)
            except (NotRunning, OSError):
                time.sleep(0.01)

    def end(self) -> None:
        self._over.set()
        self.join()


def test_killed_inside_a_storm_of_changes(tortured: Cluster) -> None:
    held = tortured.hold()
    changing = Changing(tortured.director.state_dir)
    changing.start()
    try:
        for _ in range(KILLS):
            before = changing.made
            while changing.made == before:
                time.sleep(0.01)
            tortured.director.stop(signal.SIGKILL)
            tortured.director.start(CONFIG)
            held.wait_for_a_round()
    finally:
        changing.end()
    tortured.figures["kills"] = str(KILLS)
    tortured.figures["changes"] = f"{changing.made:,}"
    tortured.assert_unharmed(held)


def test_killed_while_it_starts(tortured: Cluster) -> None:
    """At a moment by chance: before it has the state file, while it mends it, after."""
    held = tortured.hold()
    chance = random.Random(1)
    tortured.director.stop(signal.SIGKILL)
    argv = [sys.executable, "-m", "dr_forwarder", "run", str(tortured.director.config)]
    argv += ["--state-dir", str(tortured.director.state_dir), *tortured.variant.options]
    for _ in range(STARTS):
        process = tortured.lab.popen("director", argv, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.1, 1.5))
        process.kill()
        process.wait()
    tortured.director.start(CONFIG)
    tortured.figures["kills"] = str(STARTS)
    tortured.assert_unharmed(held)
