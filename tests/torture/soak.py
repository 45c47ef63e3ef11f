"""Faults by chance, one after the other, beside connections that must not notice them."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from cluster import CONFIG, VARIANTS, Cluster
from running import wait_until

SOAK_S = 60.0
FAULTS_A_SECOND = 1.0
MEMORY_GROWTH = 0.05
DESCRIPTORS_GROWTH = 2


def reload(cluster: Cluster, chance: random.Random) -> None:
    weight = chance.randrange(1, 9)
    cluster.director.config.write_text(CONFIG.replace(" gate", f" gate {weight}"))
    cluster.director.send(signal.SIGHUP)


def quiesce(cluster: Cluster, chance: random.Random) -> None:
    text = CONFIG.replace(".62:7000 gate", ".62:7000 gate 0")
    cluster.director.config.write_text(text)
    cluster.director.send(signal.SIGHUP)


def list_everything(cluster: Cluster, chance: random.Random) -> None:
    cluster.director.client.services()
    assert len(list(cluster.director.client.connections())) > 0


def lose_frames(cluster: Cluster, chance: random.Random) -> None:
    """The client's cable is pulled for a moment."""
    switch = cluster.lab.namespace("switch")
    for state in ("down", "up"):
        words = ["ip", "link", "set", cluster.lab.topology.client.port, state]
        assert switch.popen(words).wait(10) == 0
        time.sleep(0.1)


def forget_neighbours(cluster: Cluster, chance: random.Random) -> None:
    for host in ("client", "director"):
        words = ["ip", "neighbour", "flush", "all"]
        assert cluster.lab.popen(host, words, stderr=subprocess.DEVNULL).wait(10) == 0


FAULTS: tuple[Callable[[Cluster, random.Random], None], ...] = (
    reload,
    quiesce,
    list_everything,
    lose_frames,
    forget_neighbours,
)


@pytest.mark.parametrize("variant", VARIANTS[:1], indirect=True, ids=["IPv4"])
def test_a_soak_with_faults(tortured: Cluster) -> None:
    """Memory and descriptors are compared once everything has been done a few times."""
    held = tortured.hold()
    chance = random.Random(11)
    for fault in FAULTS * 2:
        fault(tortured, chance)
    memory_kb, descriptors = tortured.resident_kb(), tortured.descriptors()
    began_s = time.monotonic()
    made = snapshots = 0
    while (now_s := time.monotonic() - began_s) < SOAK_S:
        tortured.assert_balanced()
        snapshots += 1
        if made < now_s * FAULTS_A_SECOND:
            chance.choice(FAULTS)(tortured, chance)
            made += 1
        time.sleep(0.02)
    reload(tortured, chance)
    tortured.assert_unharmed(held)
    tortured.figures["faults"] = str(made)
    tortured.figures["balanced snapshots"] = f"{snapshots:,}"
    growth = tortured.resident_kb() / memory_kb - 1
    tortured.figures["memory"] = f"{growth:+.1%}"
    assert growth < MEMORY_GROWTH
    wait_until(
        lambda: tortured.descriptors() <= descriptors + DESCRIPTORS_GROWTH,
        "no descriptor is left behind",
    )
