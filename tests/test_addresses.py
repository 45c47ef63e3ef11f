"""Addresses: which MAC the VIPs get, and the socket filter, interpreted here and by the kernel."""

from __future__ import annotations

import socket
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dr_forwarder.addresses import Identity, Instruction, frame_filter, identity, refuse_local
from dr_forwarder.config.model import MacMode
from dr_forwarder.errors import SetupError
from dr_forwarder.interfaces import Interface
from dr_forwarder.sockets import attach_filter

PATIENT = settings(deadline=None)
"""A busy machine is no fault of the code."""

NIC = bytes.fromhex("020000000002")
VIRTUAL = bytes.fromhex("00005e00013c")
OTHER = bytes.fromhex("0200000000ee")
EVERYBODY = b"\xff" * 6
VIPS = (IPv4Address("10.9.0.100"), IPv4Address("203.0.113.7"))
LIMIT = 1518


def interface(kind: str = "", mode: str = "", **more: object) -> Interface:
    return Interface("eth0", 2, NIC, 1500, True, kind, mode, **more)  # type: ignore[arg-type]


# ---- Which MAC address ----

AUTO, NIC_MODE, VIRTUAL_MODE = MacMode.AUTO, MacMode.NIC, MacMode.VIRTUAL
CHOSEN = [
    pytest.param(AUTO, "", "", False, VIRTUAL, id="auto, hardware"),
    pytest.param(AUTO, "", "", True, VIRTUAL, id="auto, hardware, forwarding"),
    pytest.param(AUTO, "veth", "", True, VIRTUAL, id="auto, veth, forwarding"),
    pytest.param(AUTO, "bridge", "", False, VIRTUAL, id="auto, bridge"),
    pytest.param(AUTO, "macvlan", "bridge", False, NIC, id="auto, macvlan"),
    pytest.param(AUTO, "macvlan", "private", False, NIC, id="auto, private macvlan"),
    pytest.param(AUTO, "macvlan", "vepa", False, NIC, id="auto, vepa macvlan"),
    pytest.param(AUTO, "macvlan", "passthru", False, VIRTUAL, id="auto, passthru macvlan"),
    pytest.param(VIRTUAL_MODE, "", "", True, VIRTUAL, id="virtual, forwarding"),
    pytest.param(VIRTUAL_MODE, "macvlan", "passthru", False, VIRTUAL, id="virtual, passthru"),
    pytest.param(NIC_MODE, "", "", False, NIC, id="nic, hardware"),
    pytest.param(NIC_MODE, "macvlan", "bridge", False, NIC, id="nic, macvlan"),
    pytest.param(NIC_MODE, "macvlan", "passthru", False, NIC, id="nic, passthru macvlan"),
]


@pytest.mark.parametrize(("mode", "kind", "macvlan", "is_forwarding", "mac"), CHOSEN)
def test_the_mac_of_the_vips(
    mode: MacMode, kind: str, macvlan: str, is_forwarding: bool, mac: bytes
) -> None:
    found = identity(
        mode, interface(kind, macvlan), virtual_router_id=60, is_forwarding=is_forwarding
    )
    assert found == Identity(mac, is_virtual=mac == VIRTUAL)


SYSCTL = "run: sysctl -w net.ipv4.conf.eth0.forwarding=0"
REFUSED = [
    pytest.param(AUTO, "ipvlan", "", False, "use a macvlan or a veth", id="auto, ipvlan"),
    pytest.param(NIC_MODE, "ipvlan", "", False, "use a macvlan or a veth", id="nic, ipvlan"),
    pytest.param(VIRTUAL_MODE, "ipvlan", "", False, "use a macvlan or a veth", id="ipvlan"),
    pytest.param(VIRTUAL_MODE, "macvlan", "bridge", False, "set mac = nic", id="macvlan"),
    pytest.param(VIRTUAL_MODE, "macvlan", "private", True, "set mac = nic", id="private macvlan"),
    pytest.param(NIC_MODE, "", "", True, SYSCTL, id="nic, forwarding"),
    pytest.param(NIC_MODE, "", "", True, "or set mac = virtual", id="nic, forwarding, other cure"),
    pytest.param(NIC_MODE, "", "", True, "ip route add blackhole", id="nic, forwarding, third"),
    pytest.param(AUTO, "macvlan", "bridge", True, SYSCTL, id="auto, macvlan, forwarding"),
    pytest.param(NIC_MODE, "macvlan", "passthru", True, SYSCTL, id="nic, passthru, forwarding"),
    pytest.param(
        VIRTUAL_MODE,
        "macvlan",
        "passthru",
        True,
        SYSCTL,
        id="virtual, passthru, forwarding",
        marks=pytest.mark.xfail(
            strict=True, reason="a passthru macvlan hands the kernel every frame as its own"
        ),
    ),
]


@pytest.mark.parametrize(("mode", "kind", "macvlan", "is_forwarding", "cure"), REFUSED)
def test_what_could_not_work_is_refused_with_the_cure(
    mode: MacMode, kind: str, macvlan: str, is_forwarding: bool, cure: str
) -> None:
    with pytest.raises(SetupError) as refused:
        identity(mode, interface(kind, macvlan), virtual_router_id=1, is_forwarding=is_forwarding)
    assert cure in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.xfail(strict=True, reason="mac = virtual is offered where it is refused in turn")
def test_a_cure_that_is_refused_too_is_not_offered() -> None:
    with pytest.raises(SetupError) as refused:
        identity(AUTO, interface("macvlan", "bridge"), virtual_router_id=1, is_forwarding=True)
    assert "mac = virtual" not in str(refused.value)


@pytest.mark.xfail(strict=True, reason="sysctl takes the dot of eth0.5 for a separator")
def test_the_cure_works_for_a_vlan_interface() -> None:
    vlan = Interface("eth0.5", 3, NIC, 1500, True, "vlan")
    with pytest.raises(SetupError) as refused:
        identity(NIC_MODE, vlan, virtual_router_id=1, is_forwarding=True)
    assert "conf.eth0.5.forwarding" not in str(refused.value)


@pytest.mark.parametrize("number", [1, 60, 255])
def test_the_virtual_router_id_is_the_last_byte(number: int) -> None:
    found = identity(VIRTUAL_MODE, interface(), virtual_router_id=number, is_forwarding=False)
    assert found.mac.hex(":") == f"00:00:5e:00:01:{number:02x}"


# ---- VIPs must not be the kernel's ----


def test_a_vip_of_the_kernel_is_refused_with_the_command_that_takes_it_away() -> None:
    own = interface(addresses=(IPv6Address("fe80::1"), IPv4Address("10.9.0.2"), VIPS[1]))
    with pytest.raises(SetupError, match=r"run: ip addr del 203\.0\.113\.7 dev eth0$"):
        refuse_local(VIPS, [interface(), own])


def test_other_addresses_of_the_kernel_are_fine() -> None:
    refuse_local(VIPS, [interface(addresses=(IPv4Address("10.9.0.2"),))])


# ---- The socket filter ----

OPCODES = {
    0x20: "load word",
    0x28: "load half",
    0x80: "load length",
    0x15: "jump if equal",
    0x25: "jump if greater",
    0x06: "return",
}


def run(program: Sequence[Instruction], frame: bytes) -> int:
    """Classic BPF as Documentation/networking/filter.rst has it: how many bytes to keep."""
    accumulator = at = 0
    while True:
        code, if_true, if_false, k = program[at]
        at += 1
        match OPCODES[code]:
            case "load word" | "load half":
                size = 4 if code == 0x20 else 2
                if k + size > len(frame):
                    return 0
                accumulator = int.from_bytes(frame[k : k + size])
            case "load length":
                accumulator = len(frame)
            case "jump if equal":
                at += if_true if accumulator == k else if_false
            case "jump if greater":
                at += if_true if accumulator > k else if_false
            case "return":
                return k


def programs(
    mac: bytes, vips: Collection[IPv4Address] = VIPS
) -> tuple[tuple[Instruction, ...], tuple[Instruction, ...]]:
    """The filters for ordinary frames and for longer ones."""
    who = Identity(mac, is_virtual=mac == VIRTUAL)
    return (
        frame_filter(who, vips, limit=LIMIT, longer=False),
        frame_filter(who, vips, limit=LIMIT, longer=True),
    )


def ipv4(to: bytes, target: IPv4Address | str, length: int = 60) -> bytes:
    header = bytes.fromhex("45000000000040004006") + bytes(6) + IPv4Address(target).packed
    return (to + OTHER + b"\x08\x00" + header).ljust(length, b"\0")


def typed(to: bytes, kind: int, length: int = 60) -> bytes:
    """No IPv4, but with a VIP where IPv4 would have it."""
    return (to + OTHER + kind.to_bytes(2) + bytes(16) + VIPS[0].packed).ljust(length, b"\0")


ARP, IPV6, VLAN = 0x0806, 0x86DD, 0x8100
NEIGHBOUR = VIPS[0] + 1

# A frame, and whether it is let in by the filter for ordinary (o) and for longer (l) frames;
# first where the VIPs have a virtual MAC address, then where they have the interface's.
FRAMES = [
    pytest.param(typed(EVERYBODY, ARP), "o", "o", id="a question to everybody"),
    pytest.param(typed(VIRTUAL, ARP), "o", "o", id="a question to the virtual MAC"),
    pytest.param(typed(OTHER, ARP), "o", "o", id="ARP for others is heard too"),
    pytest.param(typed(EVERYBODY, ARP, 42), "o", "o", id="ARP that is not padded"),
    pytest.param(ipv4(VIRTUAL, VIPS[0]), "o", "", id="a VIP at the virtual MAC"),
    pytest.param(ipv4(VIRTUAL, VIPS[1]), "o", "", id="another VIP at the virtual MAC"),
    pytest.param(ipv4(VIRTUAL, NEIGHBOUR), "o", "", id="what else comes to the virtual MAC"),
    pytest.param(ipv4(NIC, VIPS[0]), "", "o", id="a VIP at the interface's MAC"),
    pytest.param(ipv4(NIC, VIPS[1]), "", "o", id="another VIP at the interface's MAC"),
    pytest.param(ipv4(NIC, NEIGHBOUR), "", "", id="the host's own traffic"),
    pytest.param(ipv4(OTHER, VIPS[0]), "", "", id="a VIP at somebody else's MAC"),
    pytest.param(ipv4(EVERYBODY, VIPS[0]), "", "", id="a VIP at everybody's MAC"),
    pytest.param(ipv4(b"\x01" + VIRTUAL[1:], VIPS[0]), "", "", id="only the first byte differs"),
    pytest.param(ipv4(NIC[:-1] + b"\x03", VIPS[0]), "", "", id="only the last byte differs"),
    pytest.param(typed(VIRTUAL, IPV6), "o", "", id="IPv6 to the virtual MAC"),
    pytest.param(typed(NIC, IPV6), "", "", id="IPv6 to the interface's MAC"),
    pytest.param(typed(NIC, VLAN), "", "", id="a tag that was left in the frame"),
    pytest.param(ipv4(VIRTUAL, VIPS[0], LIMIT - 1), "o", "", id="nearly the longest"),
    pytest.param(ipv4(VIRTUAL, VIPS[0], LIMIT), "o", "", id="the longest"),
    pytest.param(ipv4(VIRTUAL, VIPS[0], LIMIT + 1), "l", "", id="one byte too long"),
    pytest.param(ipv4(NIC, VIPS[0], LIMIT), "", "o", id="the longest, interface's MAC"),
    pytest.param(ipv4(NIC, VIPS[0], LIMIT + 1), "", "l", id="one byte too long, interface's MAC"),
    pytest.param(ipv4(NIC, VIPS[0], 65_226), "", "l", id="joined by offloads"),
    pytest.param(typed(EVERYBODY, ARP, LIMIT + 1), "l", "l", id="ARP that is too long"),
    pytest.param(ipv4(NIC, VIPS[0])[:34], "", "o", id="nothing but headers"),
    pytest.param(ipv4(NIC, VIPS[0])[:33], "", "", id="a cut address"),
    pytest.param(ipv4(VIRTUAL, VIPS[0])[:14], "o", "", id="nothing but Ethernet"),
    pytest.param(ipv4(VIRTUAL, VIPS[0])[:13], "", "", id="not even Ethernet"),
    pytest.param(b"", "", "", id="nothing"),
]


def let_in(frame: bytes, filters: Sequence[Sequence[Instruction]]) -> str:
    return "".join(
        letter for letter, program in zip("ol", filters, strict=True) if run(program, frame)
    )


@pytest.mark.parametrize(("frame", "at_virtual", "at_nic"), FRAMES)
def test_which_frames_are_let_in(frame: bytes, at_virtual: str, at_nic: str) -> None:
    assert let_in(frame, programs(VIRTUAL)) == at_virtual
    assert let_in(frame, programs(NIC)) == at_nic


def test_what_is_let_in_is_not_cut() -> None:
    frame = ipv4(NIC, VIPS[0], 65_549)
    assert run(programs(NIC)[1], frame) >= len(frame)


FRAME = st.builds(
    lambda to, kind, target, length: (
        ipv4(to, target, length)[:12] + kind.to_bytes(2) + ipv4(to, target, length)[14:]
    ),
    st.sampled_from([VIRTUAL, NIC, OTHER, EVERYBODY]),
    st.sampled_from([ARP, 0x0800, IPV6, VLAN]),
    st.sampled_from([*VIPS, NEIGHBOUR]),
    st.sampled_from([0, 60, LIMIT - 1, LIMIT, LIMIT + 1, 65_226]),
)


def is_ours(frame: bytes, mac: bytes) -> bool:
    if frame[12:14] == b"\x08\x06":
        return True
    if mac == VIRTUAL:
        return frame[:6] == mac
    return (frame[:6], frame[12:14]) == (mac, b"\x08\x00") and IPv4Address(frame[30:34]) in VIPS


@PATIENT
@given(FRAME, st.sampled_from([VIRTUAL, NIC]))
def test_each_of_our_frames_passes_exactly_one_of_the_two(frame: bytes, mac: bytes) -> None:
    passed = let_in(frame, programs(mac))
    assert passed == (("l" if len(frame) > LIMIT else "o") if is_ours(frame, mac) else "")


@PATIENT
@given(st.binary(max_size=80), st.sampled_from([VIRTUAL, NIC]))
@example(b"", NIC)
def test_no_bytes_pass_both(frame: bytes, mac: bytes) -> None:
    assert let_in(frame, programs(mac)) in ("", "o")


MANY = tuple(IPv4Address("10.0.0.0") + number for number in range(1001))


def test_with_a_thousand_vips_the_filter_still_looks_for_each() -> None:
    ordinary, _ = programs(NIC, MANY[:1000])
    assert len(ordinary) <= 4096
    assert [run(ordinary, ipv4(NIC, each)) > 0 for each in (MANY[0], MANY[999])] == [True, True]
    assert run(ordinary, ipv4(NIC, MANY[1000])) == 0


def test_beyond_a_thousand_all_that_comes_to_the_mac_is_let_in() -> None:
    ordinary, longer = programs(NIC, MANY)
    assert run(ordinary, ipv4(NIC, NEIGHBOUR)) > 0
    assert run(ordinary, ipv4(OTHER, MANY[0])) == 0
    assert run(longer, ipv4(NIC, NEIGHBOUR)) == 0


def test_without_vips_nothing_but_arp_is_let_in_at_the_interfaces_mac() -> None:
    ordinary, _ = programs(NIC, ())
    assert run(ordinary, ipv4(NIC, NEIGHBOUR)) == 0
    assert run(ordinary, typed(EVERYBODY, ARP)) > 0


SIZES = [
    pytest.param(VIRTUAL, VIPS, id="virtual MAC"),
    pytest.param(NIC, VIPS, id="interface's MAC"),
    pytest.param(NIC, (), id="no VIPs"),
    pytest.param(NIC, MANY[:1000], id="1000 VIPs"),
    pytest.param(NIC, MANY, id="1001 VIPs"),
]


@pytest.mark.parametrize(("mac", "vips"), SIZES)
def test_the_kernel_accepts_the_filters_on_a_packet_socket(
    mac: bytes, vips: tuple[IPv4Address, ...]
) -> None:
    try:
        where = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    except PermissionError:
        pytest.skip("packet sockets need CAP_NET_RAW")
    with where:
        for program in programs(mac, vips):
            attach_filter(where, program)


@pytest.mark.parametrize(("frame", "at_virtual", "at_nic"), FRAMES)
def test_the_kernel_decides_as_the_interpreter_does(
    frame: bytes, at_virtual: str, at_nic: str
) -> None:
    """A pair of Unix sockets takes the same filters, runs them on each message, and is free."""
    assert let_in_by_the_kernel(frame, programs(VIRTUAL)) == at_virtual
    assert let_in_by_the_kernel(frame, programs(NIC)) == at_nic


def let_in_by_the_kernel(frame: bytes, filters: Sequence[Sequence[Instruction]]) -> str:
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    passed = ""
    with sender, receiver:
        receiver.setblocking(False)
        for letter, program in zip("ol", filters, strict=True):
            attach_filter(receiver, program)
            sender.send(frame)
            try:
                assert receiver.recv(100_000) == frame
            except BlockingIOError:
                continue
            passed += letter
    return passed


def test_a_new_filter_replaces_the_old_one_at_once() -> None:
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with sender, receiver:
        receiver.setblocking(False)
        for vips in (VIPS[:1], VIPS[1:]):
            attach_filter(receiver, programs(NIC, vips)[0])
            for vip in VIPS:
                sender.send(ipv4(NIC, vip))
        assert [receiver.recv(100)[30:34] for _ in range(2)] == [vip.packed for vip in VIPS]
        with pytest.raises(BlockingIOError):
            receiver.recv(100)
