"""Clients and servers in a VLAN, and a director that sees the tags on the parent interface."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from running import CONFIG, running
from vlan_link import VlanUnavailable, move_into_vlan

from dr_forwarder.lab import Lab

VLAN = 100
OPTIONS = ("--interface", "eth0", "--vlan", str(VLAN))
QUIET = ("TcpOutRsts", "IpForwDatagrams", "IcmpOutMsgs")


@pytest.fixture
def tagged_lab(own_lab: Lab) -> Iterator[Lab]:
    """Everybody's addresses are on ``eth0.100``; the switch carries the tags."""
    try:
        for name, host in ((host.name, host) for host in own_lab.topology.hosts):
            move_into_vlan(own_lab.namespace(name), host, VLAN)
    except VlanUnavailable as refusal:
        pytest.skip(str(refusal))
    yield own_lab


def test_requests_and_an_upload_in_a_vlan(tagged_lab: Lab, tmp_path: Path) -> None:
    before = tagged_lab.counters("director")
    with running(tagged_lab, tmp_path, CONFIG, *OPTIONS, servers=2) as director:
        answers = [answer.strip() for answer in tagged_lab.requests(6)]
        assert answers == ["This is VM3", "This is VM2"] * 3
        tagged_lab.upload(20_000_000)
        stats = director.client.stats()
        after = tagged_lab.counters("director")
        assert "in VLAN 100 with virtual MAC" in director.log
    assert stats.verdicts["answered"] > 0
    assert stats.verdicts["truncated"] == stats.verdicts["send_failed"] == 0
    assert stats.verdicts["oversize"] == stats.verdicts["wrong_vlan"] == 0
    assert {name: after[name] - before[name] for name in QUIET} == dict.fromkeys(QUIET, 0)
