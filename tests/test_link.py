"""What became of an interface between two looks."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from dr_forwarder.events import LinkEvent, LinkStep
from dr_forwarder.interfaces import Interface
from dr_forwarder.link import Link, changes, find

ETH0 = Interface(
    name="eth0",
    index=7,
    mac=bytes.fromhex("02000a0a0a3d"),
    mtu=1500,
    up=True,
    addresses=(ip_address("10.10.10.61"), ip_address("fd77::61")),
    flaps=2,
)
OTHER_MAC = bytes.fromhex("02000a0a0a77")

CHANGED = [
    pytest.param({}, [], id="nothing"),
    pytest.param({"up": False}, [LinkStep.DOWN], id="set down"),
    pytest.param({"carrier": False, "flaps": 3}, [LinkStep.DOWN], id="carrier lost"),
    pytest.param({"flaps": 4}, [LinkStep.MOVED], id="carrier lost and back between two looks"),
    pytest.param({"name": "lan0"}, [LinkStep.RENAMED], id="renamed"),
    pytest.param({"mac": OTHER_MAC}, [LinkStep.MAC], id="another MAC address"),
    pytest.param({"mtu": 9000}, [LinkStep.MTU], id="another MTU"),
    pytest.param({"addresses": ()}, [LinkStep.ADDRESSES], id="no address any more"),
    pytest.param({"addresses": ETH0.addresses[::-1]}, [], id="the same addresses in another order"),
    pytest.param({"tentative": ETH0.addresses[1:]}, [LinkStep.ADDRESSES], id="one to be proved"),
    pytest.param({"index": 9}, [LinkStep.FOUND], id="made anew"),
    pytest.param({"index": 9, "up": False}, [LinkStep.FOUND, LinkStep.DOWN], id="anew, and down"),
    pytest.param(
        {"mac": OTHER_MAC, "mtu": 9000, "up": False},
        [LinkStep.MAC, LinkStep.MTU, LinkStep.DOWN],
        id="several at once",
    ),
]


def steps(events: tuple[LinkEvent, ...]) -> list[LinkStep]:
    return [event.step for event in events]


@pytest.mark.parametrize(("change", "expected"), CHANGED)
def test_what_changed_is_told(change: dict[str, object], expected: list[LinkStep]) -> None:
    after = replace(ETH0, **change)  # type: ignore[arg-type]
    assert steps(changes("eth0", Link(ETH0), Link(after))) == expected


def test_addresses_that_linux_takes_with_a_link_are_told_with_the_cure() -> None:
    after = replace(ETH0, up=False, addresses=ETH0.addresses[:1])
    (down,) = [
        each for each in changes("eth0", Link(ETH0), Link(after)) if "set down" in each.detail
    ]
    assert down.step is LinkStep.DOWN
    assert "with it went fd77::61;" in down.detail
    assert down.detail.endswith("sysctl -w net.ipv6.conf.eth0.keep_addr_on_down=1")


def test_an_interface_that_goes_is_told_once() -> None:
    assert steps(changes("eth0", Link(ETH0), None)) == [LinkStep.GONE]
    assert changes("eth0", None, None) == ()
    assert steps(changes("eth0", None, Link(ETH0))) == [LinkStep.FOUND]


def test_one_that_comes_up_again_is_up() -> None:
    down = replace(ETH0, up=False, carrier=False, flaps=3)
    assert steps(changes("eth0", Link(down), Link(replace(ETH0, flaps=4)))) == [LinkStep.UP]


def test_the_reason_of_being_down_is_told() -> None:
    (event,) = changes("eth0", Link(ETH0), Link(replace(ETH0, carrier=False)))
    assert event.detail == "no carrier"
    (event,) = changes("eth0", Link(ETH0), Link(replace(ETH0, up=False, carrier=False)))
    assert event.detail == "set down"


def test_it_is_followed_by_its_index_and_then_by_its_name() -> None:
    renamed = replace(ETH0, name="lan0")
    stranger = replace(ETH0, index=8)
    assert find([stranger, renamed], index=7, name="eth0") == Link(renamed)
    assert find([stranger], index=7, name="eth0") == Link(stranger)
    assert find([], index=7, name="eth0") is None


def test_a_bridge_with_another_port_may_be_at_another_port_of_the_network() -> None:
    bridge = replace(ETH0, name="br0", kind="bridge")
    first = replace(ETH0, name="p1", index=11, master=7)
    second = replace(ETH0, name="p2", index=12, master=7)

    def seen(*ports: Interface) -> Link | None:
        return find([bridge, *ports], index=7, name="br0")

    down = replace(second, carrier=False)
    assert changes("br0", seen(first, down), seen(first)) == ()
    for before, after in (
        (seen(first, down), seen(first, second)),
        (seen(first), seen(second)),
        (seen(first), seen(replace(first, flaps=4))),
    ):
        assert steps(changes("br0", before, after)) == [LinkStep.MOVED]
