"""A director on a virtual clock: an engine, a tiny network around it, and words to drive it.

Frames are put together by hand here, because sequences need many of them fast; test_forward.py
checks the builder against scapy.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from types import TracebackType

from dr_forwarder.config.model import Tuning
from dr_forwarder.dataplane import Decision, Engine, Limits
from dr_forwarder.table import (
    HOST_MASK,
    NO_FLAGS,
    Change,
    Connection,
    Key,
    Operation,
    Server,
    ServerRow,
    Service,
    ServiceFlag,
    ServiceRow,
    Stats,
)

VIRTUAL_MAC = bytes.fromhex("02005e000064")
CLIENT_MAC = bytes.fromhex("020000000001")
OTHER_MAC = bytes.fromhex("0200000000ee")
VIP = "10.9.0.100"
CLIENT = "10.1.0.1"
VIP6 = "fd00:9::100"
CLIENT6 = "fd00:1::1"
HOST_MASK6 = IPv6Address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
MTU = 1500
START_NS = 5_000_000 * 10**9
SECOND_NS = 10**9
LATE_S = 1.0
"""Timers may fire this much late: two slots of the wheel, and a tick."""

FLAGS = {"F": 0x01, "S": 0x02, "R": 0x04, "P": 0x08, "A": 0x10, "U": 0x20, "E": 0x40, "C": 0x80}


def server_address(number: int) -> str:
    return f"10.9.0.{10 + number}"


def server_address6(number: int) -> str:
    return f"fd00:9::{10 + number:x}"


def server_mac(address: str) -> bytes:
    return bytes.fromhex("0200") + ip_address(address).packed[-4:]


def endpoint(text: str) -> tuple[str, int]:
    address, _, port = text.rpartition(":")
    return address.strip("[]"), int(port)


def checksum(data: bytes) -> int:
    data += bytes(len(data) % 2)
    words = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while words >> 16:
        words = (words & 0xFFFF) + (words >> 16)
    return ~words & 0xFFFF


def ipv4(
    protocol: int,
    source: str,
    target: str,
    payload: bytes,
    *,
    fragment: int = 0x4000,
    identity: int = 1,
    ttl: int = 64,
) -> bytes:
    """An IPv4 packet in Ethernet, from the client's MAC address to the director's."""
    addresses = IPv4Address(source).packed + IPv4Address(target).packed
    total = 20 + len(payload)
    head = struct.pack("!BBHHHBB", 0x45, 0, total, identity, fragment, ttl, protocol)
    header = head + struct.pack("!H", checksum(head + bytes(2) + addresses)) + addresses
    return VIRTUAL_MAC + CLIENT_MAC + b"\x08\x00" + header + payload


def ipv6(protocol: int, source: str, target: str, payload: bytes, *, ttl: int = 64) -> bytes:
    head = struct.pack("!IHBB", 6 << 28, len(payload), protocol, ttl)
    addresses = IPv6Address(source).packed + IPv6Address(target).packed
    return VIRTUAL_MAC + CLIENT_MAC + b"\x86\xdd" + head + addresses + payload


def ip(protocol: int, source: str, target: str, payload: bytes, *, ttl: int = 64) -> bytes:
    """Of the version that the addresses have."""
    if ip_address(target).version == 6:
        return ipv6(protocol, source, target, payload, ttl=ttl)
    return ipv4(protocol, source, target, payload, ttl=ttl)


def tcp(flags: str, source: str, target: str, payload: bytes = b"", *, ttl: int = 64) -> bytes:
    """A TCP segment; its checksum is left 0, the director must not look at it."""
    (client, client_port), (vip, port) = endpoint(source), endpoint(target)
    bits = sum(FLAGS[flag] for flag in flags)
    header = struct.pack("!HHIIBBHHH", client_port, port, 1, 1, 0x50, bits, 8192, 0, 0)
    return ip(6, client, vip, header + payload, ttl=ttl)


def udp(source: str, target: str, payload: bytes = b"") -> bytes:
    (client, client_port), (vip, port) = endpoint(source), endpoint(target)
    header = struct.pack("!HHHH", client_port, port, 8 + len(payload), 0)
    return ip(17, client, vip, header + payload)


def sctp(chunks: bytes, source: str, target: str) -> bytes:
    """Chunks of four bytes each, by their types."""
    (client, client_port), (vip, port) = endpoint(source), endpoint(target)
    header = struct.pack("!HHII", client_port, port, 7, 0)
    return ip(132, client, vip, header + b"".join(struct.pack("!BBH", c, 0, 4) for c in chunks))


def fragment(
    source: str, target: str, *, offset: int, identity: int = 1, length: int = 16, more: bool = True
) -> bytes:
    """A piece of a UDP datagram; with offset 0 the first, which has the ports."""
    (client, client_port), (vip, port) = endpoint(source), endpoint(target)
    payload = bytes(length)
    if offset == 0:
        payload = struct.pack("!HHHH", client_port, port, 200, 0) + payload[8:]
    if ip_address(vip).version == 6:
        head = struct.pack("!BBHI", 17, 0, offset | more, identity)
        return ipv6(44, client, vip, head + payload)
    field = (0x2000 if more else 0) | offset // 8
    return ipv4(17, client, vip, payload, fragment=field, identity=identity)


def service(
    target: str = f"{VIP}:80",
    *,
    protocol: str = "tcp",
    scheduler: str = "rr",
    persistent_s: int | None = None,
    mask: str | IPv4Address | IPv6Address | None = None,
    flags: ServiceFlag = NO_FLAGS,
) -> Service:
    address, port = endpoint(target)
    key = Key(protocol, ip_address(address), port)
    whole = HOST_MASK if key.address.version == 4 else HOST_MASK6
    return Service(key, scheduler, persistent_s, ip_address(mask) if mask else whole, flags)


def mark_service(
    mark: int, *, scheduler: str = "rr", persistent_s: int | None = None, version: int = 4
) -> Service:
    address = IPv4Address(mark) if version == 4 else IPv6Address(mark)
    target = f"[{address}]:0" if version == 6 else f"{address}:0"
    return service(target, protocol="fwm", scheduler=scheduler, persistent_s=persistent_s)


class Director:
    """An engine whose clock stands still until ``wait`` moves it."""

    def __init__(
        self,
        *,
        connections: int = 4096,
        servers: int = 64,
        services: int = 16,
        state_file: Path | None = None,
        now_ns: int = START_NS,
    ) -> None:
        self.now_ns = now_ns
        limits = Limits(services=services, servers=servers, connections=connections)
        self.engine = Engine(limits=limits, state_file=state_file, now_ns=now_ns)
        self.engine.identify(mac=VIRTUAL_MAC, mtu=MTU)

    def __enter__(self) -> Director:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.engine.close()

    # ---- The clock ----

    def wait(self, seconds: float) -> None:
        self.now_ns += round(seconds * SECOND_NS)

    def tick(self) -> None:
        """Lets timers fire: any frame does, and this one is nobody's business."""
        self.engine.forward(bytes(14), now_ns=self.now_ns)

    # ---- The table ----

    def apply(self, *changes: Change) -> list[int]:
        return self.engine.apply(changes, now_ns=self.now_ns)

    def change(
        self, operation: Operation, of: Service, server: Server | None = None, mac: bytes = b""
    ) -> int:
        return self.apply(Change(operation, of, server, mac or None))[0]

    def add_service(self, of: Service, *weights: int) -> None:
        """A service with servers 1, 2, 3 ... of these weights, added one by one."""
        assert self.change(Operation.ADD_SERVICE, of) == 0
        for number, weight in enumerate(weights, start=1):
            assert self.add(of, number, weight=weight) == 0

    def server(self, of: Service, number: int, **config: int) -> Server:
        name = server_address if of.key.address.version == 4 else server_address6
        return Server(ip_address(name(number)), of.key.port, **config)

    def add(self, of: Service, number: int, **config: int) -> int:
        server = self.server(of, number, **config)
        result = self.change(Operation.ADD_SERVER, of, server)
        self.know_mac(number)
        return result

    def know_mac(self, number: int, *, known: bool = True, mtu: int = 0) -> None:
        for address in (server_address(number), server_address6(number)):
            mac = server_mac(address) if known else None
            server = Server(ip_address(address), 0)
            assert self.apply(Change(Operation.SET_MAC, None, server, mac, mtu)) == [0]

    def tune(self, **tuning: int) -> None:
        self.engine.set_tuning(Tuning(**tuning))

    def edit(self, of: Service, number: int, **config: int) -> int:
        return self.change(Operation.EDIT_SERVER, of, self.server(of, number, **config))

    def delete(self, of: Service, number: int) -> int:
        return self.change(Operation.DELETE_SERVER, of, self.server(of, number))

    # ---- Frames ----

    def forward(self, frame: bytes) -> Decision:
        return self.engine.forward(frame, now_ns=self.now_ns)

    def send(self, frame: bytes) -> str | int:
        """The number of the server that got it, or the verdict's name."""
        return receiver(self.forward(frame))

    def held(self) -> list[bytes]:
        """What had waited for the frame that was just sent."""
        return list(self.engine.held(now_ns=self.now_ns))

    def tcp(
        self, flags: str, source: str = f"{CLIENT}:1000", target: str = f"{VIP}:80"
    ) -> str | int:
        return self.send(tcp(flags, source, target))

    def udp(self, source: str = f"{CLIENT}:1000", target: str = f"{VIP}:80") -> str | int:
        return self.send(udp(source, target))

    def sctp(
        self, chunks: bytes, source: str = f"{CLIENT}:1000", target: str = f"{VIP}:80"
    ) -> str | int:
        return self.send(sctp(chunks, source, target))

    # ---- Looks ----

    def stats(self) -> Stats:
        """The counters, which agree with each other whenever one looks."""
        stats = self.engine.stats()
        assert stats.frames == sum(stats.verdicts.values())
        assert stats.created - stats.expired == stats.connections
        return stats

    def row(self, of: Service) -> ServiceRow:
        rows = [row for row in self.engine.services() if row.service.key == of.key]
        assert len(rows) == 1
        return rows[0]

    def server_row(self, of: Service, number: int) -> ServerRow:
        address = self.server(of, number).address
        rows = [row for row in self.row(of).servers if row.server.address == address]
        assert len(rows) == 1
        return rows[0]

    def counts(self, of: Service) -> dict[int, tuple[int, int]]:
        """Active and inactive connections of each server, by its number."""
        return {
            row.server.address.packed[-1] - 10: (row.active, row.inactive)
            for row in self.row(of).servers
        }

    def connections(self) -> list[Connection]:
        rows = self.engine.connections(now_ns=self.now_ns)
        return sorted(
            rows,
            key=lambda row: (not row.template, row.client.version, row.client, row.client_port),
        )

    def connection(self, source: str = f"{CLIENT}:1000", protocol: str = "tcp") -> Connection:
        address, port = endpoint(source)
        rows = [
            row
            for row in self.connections()
            if (row.client, row.client_port, row.protocol) == (ip_address(address), port, protocol)
            and not row.template
        ]
        assert len(rows) == 1, rows
        return rows[0]

    def templates(self) -> list[Connection]:
        return [row for row in self.connections() if row.template]


def receiver(decision: Decision) -> str | int:
    if decision.verdict not in ("forwarded", "icmp_forwarded"):
        return decision.verdict
    assert decision.sent
    return receiver_of(decision.frame)


def receiver_of(frame: bytes) -> int:
    """The number of the server that a forwarded frame is for."""
    assert frame[6:12] == VIRTUAL_MAC
    assert frame[:2] == server_mac(VIP)[:2]
    return frame[5] - 10


def other_port(of: Service, port: int) -> Service:
    return replace(of, key=replace(of.key, port=port))
