"""The network under a director changes while it forwards."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import changing
import pytest
from running import BOTH_FAMILIES, CONFIG, VIP4, VIP6, Running, running, wait_until

from dr_forwarder.lab import Lab, LabError
from dr_forwarder.lab.topology import Address

RECOVERY_S = 10.0
"""On a busy machine; on a quiet one it is two seconds, which the torture script prints."""
BOTH = CONFIG + CONFIG[CONFIG.index("virtual=") :].replace("virtual=", "virtual6=").replace(
    "10.10.10.60", "[fd77::60]"
).replace("10.10.10.", "[fd77::").replace(":80 gate", "]:80 gate")


def serves(lab: Lab, vip: Address = VIP4) -> bool:
    try:
        lab.get(address=vip, limit_s=1.0)
    except (OSError, LabError, http.client.HTTPException):
        return False
    return True


def serves_again(lab: Lab, *vips: Address) -> float:
    began_s = time.monotonic()
    for vip in vips or (VIP4,):
        wait_until(partial(serves, lab, vip), f"{vip} is served", limit_s=RECOVERY_S)
    return time.monotonic() - began_s


def is_idle(director: Running) -> bool:
    """Whether the workers sleep; a spinning one wakes a hundred thousand times a second."""
    before = sum(each.wakeups for each in director.client.stats().workers)
    time.sleep(1)
    return sum(each.wakeups for each in director.client.stats().workers) - before < 200


def balances(director: Running) -> bool:
    stats = director.client.stats()
    return stats.frames == sum(stats.verdicts.values())


class Held:
    """A connection that stays open over the change."""

    def __init__(self, lab: Lab, vip: Address) -> None:
        family = socket.AF_INET if vip.version == 4 else socket.AF_INET6
        self._socket = lab.namespace("client").socket(family)
        self._socket.settimeout(30)  # TCP says again what was lost, the later the longer it takes
        self._socket.connect((str(vip), 80))
        self._http = http.client.HTTPConnection(str(vip))
        self._http.sock = self._socket

    def ask(self) -> str:
        self._http.request("GET", "/", headers={"Connection": "keep-alive"})
        return self._http.getresponse().read().decode().strip()

    def close(self) -> None:
        self._http.close()


@pytest.fixture
def wide_lab(possible: None) -> Iterator[Lab]:
    """IPv6 beside IPv4."""
    with Lab(BOTH_FAMILIES) as lab:
        yield lab


@pytest.mark.parametrize("name", changing.CHANGES)
def test_it_goes_on_when_the_interface_was(name: str, wide_lab: Lab, tmp_path: Path) -> None:
    with running(wide_lab, tmp_path, BOTH, servers=4) as director:
        held = [Held(wide_lab, vip) for vip in (VIP4, VIP6)]
        before = [each.ask() for each in held]
        changing.CHANGES[name](wide_lab)
        serves_again(wide_lab, VIP4, VIP6)
        assert [each.ask() for each in held] == before
        for each in held:
            each.close()
        assert balances(director)
        assert is_idle(director)
        assert director.stop() == 0, director.log
