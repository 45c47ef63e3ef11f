"""A SYN flood beside connections that must not notice it, and new ones that must get in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cluster import PORT, Cluster

from dr_forwarder.lab import Lab

RATE = 20_000
SECONDS = 8
NEWCOMERS = 50
_FLOODING = Path(__file__).with_name("flooding.py")


def mac_of(lab: Lab, vip: str) -> str:
    """As the client knows it."""
    words = [*("ip", "neighbour", "show"), vip]
    told = lab.popen("client", words, stdout=subprocess.PIPE).communicate(timeout=10)[0]
    return told.split(" lladdr ")[1].split()[0]


def test_a_flood_of_syns(tortured: Cluster) -> None:
    held = tortured.hold()
    to = mac_of(tortured.lab, tortured.variant.vip)
    before = tortured.resident_kb()
    argv = [sys.executable, "-I", str(_FLOODING), tortured.variant.interface, to]
    argv += [tortured.variant.vip, str(PORT), str(RATE), str(SECONDS)]
    flood = tortured.lab.popen("client", argv, stdout=subprocess.PIPE)
    held.wait_for_a_round()
    newcomers = tortured.hold(NEWCOMERS)
    sent = int(flood.communicate(timeout=60)[0])
    created = tortured.director.client.stats().created
    tortured.figures["SYNs"] = f"{sent:,}"
    tortured.figures["connections made"] = f"{created:,}"
    grown_mb = (tortured.resident_kb() - before) / 1024
    tortured.figures["memory"] = f"{grown_mb:+.0f} MB"
    tortured.assert_unharmed(newcomers)
    tortured.assert_unharmed(held)
