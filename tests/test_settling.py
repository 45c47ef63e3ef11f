"""Settling: the first table waits for what it needs, and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import IPv4Address

import pytest

from dr_forwarder.checks import Target
from dr_forwarder.config.model import Check
from dr_forwarder.health import Health
from dr_forwarder.settling import Settling

FIRST, SECOND = (Target(IPv4Address(f"10.9.0.{n}"), 80, "tcp", Check()) for n in (11, 12))
FOREVER_S, AT_ONCE_S = 60.0, 0.0


class Known:
    """What is known so far."""

    def __init__(self) -> None:
        self.up: dict[Target, bool | None] = {FIRST: None, SECOND: None}
        self.macs: dict[object, bytes] = {}
        self.settling = Settling(lambda what: Health(up=self.up[what]), self.macs.get)
        self.settling.follow((FIRST, SECOND))


def waits(known: Known) -> bool:
    """True if not all is known: it would have waited as long as it may."""

    async def scenario() -> bool:
        waiting = asyncio.create_task(known.settling.wait(limit_s=FOREVER_S))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waited = not waiting.done()
        waiting.cancel()
        return waited

    return asyncio.run(scenario())


def all_up(known: Known) -> None:
    known.up = {FIRST: True, SECOND: True}
    known.macs |= {FIRST.address: b"\x02", SECOND.address: b"\x02"}


def down(known: Known) -> None:
    known.up = {FIRST: False, SECOND: False}


def unasked(known: Known) -> None:
    known.settling.follow(())


def one_missing(known: Known) -> None:
    all_up(known)
    known.up[SECOND] = None


def no_mac(known: Known) -> None:
    all_up(known)
    del known.macs[FIRST.address]


@pytest.mark.parametrize(
    ("happens", "expected"),
    [
        pytest.param(lambda _: None, True, id="nothing is known"),
        pytest.param(all_up, False, id="all are up"),
        pytest.param(down, False, id="all are down, and need no MAC address"),
        pytest.param(unasked, False, id="there are no checks"),
        pytest.param(one_missing, True, id="a result is missing"),
        pytest.param(no_mac, True, id="a MAC address is missing"),
    ],
)
def test_it_waits_for_results_and_for_the_mac_addresses_of_who_is_up(
    happens: Callable[[Known], None], expected: bool
) -> None:
    known = Known()
    happens(known)
    known.settling.note()
    assert waits(known) == expected


def test_it_waits_no_longer_than_it_may() -> None:
    asyncio.run(Known().settling.wait(limit_s=AT_ONCE_S))
