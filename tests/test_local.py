"""A real server that is the director's own host: what the core does, and what the host must be."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_network

import pytest
from director import CLIENT, VIP, VIP6, VIRTUAL_MAC, Director, server_address, service, tcp, udp

from dr_forwarder.addresses import Identity
from dr_forwarder.errors import SetupError
from dr_forwarder.interfaces import Interface
from dr_forwarder.local import refuse_unfit
from dr_forwarder.table import Change, Operation, Server
from dr_forwarder.vlan import UNTAGGED, Vlan, parse

LOOPBACK_MACS = bytes(12)
HTTP = f"{VIP}:80"
WEB = service(scheduler="rr")


@pytest.fixture
def local() -> Director:
    """Its one server is this host."""
    director = Director()
    director.add_service(WEB, 1)
    here = Server(IPv4Address(server_address(1)), 80, 1)
    director.apply(Change(Operation.SET_MAC, None, here, VIRTUAL_MAC))
    return director


# ---- The core ----


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(tcp("S", f"{CLIENT}:1000", HTTP), id="a SYN"),
        pytest.param(tcp("S", f"{CLIENT}:1000", HTTP, ttl=1), id="at the end of its time to live"),
        pytest.param(tcp("S", f"{CLIENT}:1000", HTTP, bytes(3000)), id="longer than the MTU"),
    ],
)
def test_a_frame_goes_to_lo_with_nothing_changed_above_ethernet(
    local: Director, frame: bytes
) -> None:
    local.tune(decrement_ttl=1)
    decision = local.forward(frame)
    assert decision.verdict == "forwarded"
    assert decision.sent
    assert decision.frame == LOOPBACK_MACS + frame[12:]


def test_it_is_counted_as_any_server(local: Director) -> None:
    for flags in ("S", "A", "FA"):
        assert local.forward(tcp(flags, f"{CLIENT}:1000", HTTP)).verdict == "forwarded"
    assert local.connection().state == "FIN_WAIT"
    assert local.counts(WEB) == {1: (0, 1)}
    assert local.server_row(WEB, 1).counters.packets == 3


def test_an_answer_is_not_for_lo(local: Director) -> None:
    decision = local.forward(udp(f"{CLIENT}:1000", HTTP))
    assert decision.verdict == "no_service"
    assert not decision.sent


# ---- The host ----

ETH0 = Interface("eth0", 2, bytes(6), 1500, up=True)
VIP4_NET, VIP6_NET = ip_network(VIP), ip_network(VIP6)
VIRTUAL, NIC = Identity(VIRTUAL_MAC, is_virtual=True), Identity(bytes(6), is_virtual=False)
READY = {"all": {"arp_ignore": 1, "arp_announce": 2}}


def lacks(
    *,
    vips: dict[str, bool] | None = None,
    sysctls: dict[str, dict[str, int]] = READY,
    interface: Interface = ETH0,
    identity: Identity = VIRTUAL,
    vlan: Vlan = UNTAGGED,
    loopback_up: bool = True,
) -> str:
    """What is wrong; nothing where it works."""
    present = {VIP: True} if vips is None else vips
    try:
        refuse_unfit(
            "127.0.0.1",
            {ip_network(vip): there for vip, there in present.items()},
            interface=interface,
            loopback_up=loopback_up,
            identity=identity,
            vlan=vlan,
            sysctl=lambda scope, name: sysctls.get(scope, {}).get(name, 0),
        )
    except SetupError as error:
        return str(error)
    return ""


def with_sysctl(scope: str, **values: int) -> dict[str, dict[str, int]]:
    return {**READY, scope: {**READY.get(scope, {}), **values}}


@pytest.mark.parametrize(
    ("said", "commands"),
    [
        pytest.param(lacks(), "", id="nothing"),
        pytest.param(lacks(vips={VIP: False}), f"ip addr add {VIP}/32 dev lo", id="the VIP"),
        pytest.param(
            lacks(vips={VIP6: False}, sysctls={}),
            f"ip addr add {VIP6}/128 dev lo",
            id="an IPv6 VIP, which needs no sysctl",
        ),
        pytest.param(
            lacks(vips={"10.9.1.0/24": False}),
            "ip route add local 10.9.1.0/24 dev lo",
            id="a network of VIPs",
        ),
        pytest.param(
            lacks(
                interface=Interface(
                    "eth0",
                    2,
                    bytes(6),
                    1500,
                    True,
                    addresses=(VIP4_NET[0],),
                    prefixes={VIP4_NET[0]: 24},
                )
            ),
            f"ip addr del {VIP}/24 dev eth0; ip addr add {VIP}/32 dev lo",
            id="the VIP elsewhere",
        ),
        pytest.param(
            lacks(sysctls={}),
            "sysctl -w net.ipv4.conf.all.arp_ignore=1; sysctl -w net.ipv4.conf.all.arp_announce=2",
            id="quiet ARP",
        ),
        pytest.param(
            lacks(sysctls=with_sysctl("eth0", arp_ignore=3)),
            "sysctl -w net.ipv4.conf.eth0.arp_ignore=1",
            id="an interface's own arp_ignore",
        ),
        pytest.param(lacks(sysctls=with_sysctl("eth0", arp_ignore=2)), "", id="another fit value"),
        pytest.param(
            lacks(sysctls=with_sysctl("all", rp_filter=1)),
            "sysctl -w net.ipv4.conf.lo.rp_filter=2",
            id="a strict reverse path filter",
        ),
        pytest.param(
            lacks(
                sysctls={**with_sysctl("all", rp_filter=1), "lo": {"rp_filter": 2}},
            ),
            "",
            id="a loose one for lo",
        ),
        pytest.param(lacks(loopback_up=False), "ip link set lo up", id="lo"),
    ],
)
def test_what_the_host_lacks_is_told_as_commands(said: str, commands: str) -> None:
    assert said.partition("; run: ")[2] == commands
    assert bool(said) is bool(commands)


@pytest.mark.parametrize(
    ("said", "cure"),
    [
        pytest.param(lacks(identity=NIC), "set mac = virtual", id="its own MAC address"),
        pytest.param(
            lacks(identity=NIC, interface=Interface("m0", 3, bytes(6), 1500, True, "macvlan")),
            "use another interface",
            id="a macvlan",
        ),
        pytest.param(lacks(vlan=parse("100")), "--interface eth0.100", id="a VLAN's tag"),
    ],
)
def test_what_cannot_be_is_refused_with_the_cure(said: str, cure: str) -> None:
    assert cure in said
