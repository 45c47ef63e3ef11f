"""The program that steers frames to AF_XDP sockets, run by the kernel on one frame at a time."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address

import pytest
from director import VIP, VIP6, VIRTUAL_MAC
from frames import FRAMES, Case
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Raw

from dr_forwarder import bpf
from dr_forwarder.btf import function_number
from dr_forwarder.ebpf import KEY_BYTES, key_of, steering_program

AF_XDP = 44
PROG_TEST_RUN = 10
PASS, REDIRECT = 2, 4
SHORTEST = 14
"""The kernel runs nothing on a frame without a whole Ethernet header."""


class Program:
    """The program in the kernel, with an AF_XDP socket for queue 0."""

    def __init__(self, cleanup: ExitStack) -> None:
        self._vips = bpf.create_map(
            bpf.HASH, key=KEY_BYTES, value=1, entries=8, flags=bpf.NO_PREALLOC
        )
        sockets = bpf.create_map(bpf.XSKMAP, key=4, value=4, entries=1)
        xsk = cleanup.enter_context(socket.socket(AF_XDP, socket.SOCK_RAW, 0))
        bpf.update(sockets, bytes(4), struct.pack("=i", xsk.fileno()))
        program = steering_program(VIRTUAL_MAC, vips=self._vips, sockets=sockets)
        self._program = bpf.load(bpf.XDP, program)
        for descriptor in (self._vips, sockets, self._program):
            cleanup.callback(os.close, descriptor)

    def let_in(self, *vips: str) -> None:
        for vip in vips:
            bpf.update(self._vips, key_of(ip_address(vip)), b"\1")

    def keep_out(self, vip: str) -> None:
        bpf.delete(self._vips, key_of(ip_address(vip)))

    def steers(self, frame: bytes) -> bool:
        held = ctypes.create_string_buffer(frame, len(frame))
        attributes = ctypes.create_string_buffer(bpf.ATTRIBUTES)
        told = (self._program, 0, len(frame), 0, ctypes.addressof(held), 0, 1)
        struct.pack_into("=IIIIQQI", attributes, 0, *told)
        bpf.system_call(PROG_TEST_RUN, attributes)
        (verdict,) = struct.unpack_from("=I", attributes, 4)
        assert verdict in (PASS, REDIRECT)
        return bool(verdict == REDIRECT)


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    with ExitStack() as cleanup:
        try:
            made = Program(cleanup)
        except OSError as refusal:
            pytest.skip(f"no AF_XDP or no bpf(2) for us on this host: {refusal}")
        made.let_in(VIP, VIP6)
        yield made


def is_for_a_vip(frame: bytes) -> bool:
    """By the bytes that the standards give: none of scapy, none of the program."""
    if frame[:6] != VIRTUAL_MAC:
        return False
    if frame[12:14] == b"\x08\0":
        return frame[30:34] == ip_address(VIP).packed and frame[23] != socket.IPPROTO_SCTP
    if frame[12:14] != b"\x86\xdd" or frame[38:54] != ip_address(VIP6).packed:
        return False
    protocol = frame[54] if frame[20] == socket.IPPROTO_FRAGMENT else frame[20]
    return protocol != socket.IPPROTO_SCTP


@pytest.mark.parametrize("case", FRAMES, ids=lambda case: case.sentence)
def test_only_what_is_for_a_vip_and_not_sctp_is_steered(program: Program, case: Case) -> None:
    if len(case.frame) >= SHORTEST:
        assert program.steers(case.frame) == is_for_a_vip(case.frame)


def test_the_cases_have_frames_of_both_kinds() -> None:
    steered = [is_for_a_vip(case.frame) for case in FRAMES]
    assert steered.count(True) > 50
    assert steered.count(False) > 20


def test_fragments_of_sctp_over_ipv6_go_with_the_rest_of_it(program: Program) -> None:
    def fragment(protocol: int) -> bytes:
        ip = IPv6(src="fd00:1::1", dst=VIP6) / IPv6ExtHdrFragment(nh=protocol, offset=3, id=7)
        return bytes(Ether(dst=VIRTUAL_MAC.hex(":")) / ip / Raw(bytes(16)))

    assert program.steers(fragment(socket.IPPROTO_UDP))
    assert not program.steers(fragment(socket.IPPROTO_SCTP))
    plain = Ether(dst=VIRTUAL_MAC.hex(":")) / IPv6(src="fd00:1::1", dst=VIP6) / SCTP()
    assert not program.steers(bytes(plain))


def test_a_cut_frame_is_never_steered_by_what_lies_behind_it(program: Program) -> None:
    for case in FRAMES:
        for length in range(SHORTEST, min(len(case.frame), 64)):
            cut = case.frame[:length]
            if program.steers(cut):
                assert is_for_a_vip(cut)


def test_a_vip_that_is_gone_is_steered_no_more(program: Program) -> None:
    frame = next(case.frame for case in FRAMES if is_for_a_vip(case.frame) and case.frame[12] == 8)
    program.keep_out(VIP)
    try:
        assert not program.steers(frame)
    finally:
        program.let_in(VIP)
    assert program.steers(frame)


# ---- The kernel's types ----


def types_of(*types: bytes, text: bytes) -> bytes:
    """As the kernel shows them; the sections lie one behind the other."""
    body = b"".join(types)
    return struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(body), len(body), len(text)) + (
        body + text
    )


def a_type(name: int, kind: int, *, members: int = 0, rest: int = 0) -> bytes:
    return struct.pack("=III", name, kind << 24 | members, 0) + bytes(rest)


def test_a_function_of_the_kernel_is_found_behind_types_of_every_length() -> None:
    text = b"\0first\0wanted\0unwanted\0"
    wanted, unwanted = text.index(b"wanted"), text.index(b"unwanted")
    lengths = {1: 4, 3: 12, 4: 36, 5: 36, 6: 24, 13: 24, 14: 4, 15: 36, 17: 4, 19: 36}
    before = [a_type(1, kind, members=3, rest=rest) for kind, rest in lengths.items()]
    others = [a_type(1, kind) for kind in (2, 7, 8, 9, 10, 11, 16, 18)]
    same_name = a_type(wanted, 8)
    function = a_type(wanted, 12, members=1)
    found = types_of(*before, *others, same_name, a_type(unwanted, 12), function, text=text)
    assert function_number(found, "wanted") == len(before) + len(others) + 3
    assert function_number(found, "want") is None
    assert function_number(types_of(same_name, text=text), "wanted") is None


@pytest.mark.parametrize("types", [b"", b"\x9f\xeb", bytes(64)])
def test_a_kernel_without_types_has_no_functions(types: bytes) -> None:
    assert function_number(types, "wanted") is None
