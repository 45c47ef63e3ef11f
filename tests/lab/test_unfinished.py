"""Checksums that a client on the director's own host leaves to its interface."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address
from pathlib import Path

from running import VIP4, running, wait_until
from scapy.layers.inet import IP
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP, SCTPChunkInit

from dr_forwarder.lab import Lab
from dr_forwarder.table import Change, Key, Operation, Server, Service

VIRTUAL_MAC = "00:00:5e:00:01:3c"
SIGTRAN = Service(Key("sctp", VIP4, 80), "rr")
CHANGES = [
    Change(Operation.ADD_SERVICE, SIGTRAN),
    Change(Operation.ADD_SERVER, SIGTRAN, Server(IPv4Address("10.10.10.62"), 80)),
]
_SOL_PACKET, _PACKET_VNET_HDR = 263, 15
_NEEDS_CSUM = 1
_SCTP_AT, _FIELD_AT = 34, 8


def _send_unfinished(lab: Lab, frame: bytes) -> None:
    """As the client's SCTP does it: the field is zero, and the frame says where it has to be."""
    where = lab.namespace("client").socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with where:
        where.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        where.bind(("eth0", 0))
        where.send(struct.pack("=BBHHHH", _NEEDS_CSUM, 0, 0, 0, _SCTP_AT, _FIELD_AT) + frame)


def test_an_sctp_packet_without_its_crc_leaves_with_it(own_lab: Lab, tmp_path: Path) -> None:
    packet = SCTP(sport=4000, dport=80, tag=0) / SCTPChunkInit(init_tag=7)
    client = own_lab.topology.client
    link = Ether(src=client.mac, dst=VIRTUAL_MAC) / IP(src=str(client.address), dst=str(VIP4))
    whole = bytes(link / packet)
    crc_at = slice(_SCTP_AT + _FIELD_AT, _SCTP_AT + _FIELD_AT + 4)
    unfinished = whole[: crc_at.start] + bytes(4) + whole[crc_at.stop :]
    with running(own_lab, tmp_path, None, "--interface", "eth0") as told:
        assert not any(told.client.apply(CHANGES))
        wait_until(lambda: all(row.mac for row in told.servers()), "its MAC address is known")
        with own_lab.tap("vm2") as tap:
            _send_unfinished(own_lab, unfinished)
            arrived = tap.wait_for(lambda frame: frame.data[23:24] == b"\x84").data
        wait_until(lambda: told.verdict("forwarded") == 1, "counted")
    assert arrived[crc_at] == whole[crc_at] != bytes(4)
    assert arrived[_SCTP_AT:] == whole[_SCTP_AT:]
