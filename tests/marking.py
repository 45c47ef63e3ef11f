"""A program: what the kernel marks. Reads rules from a file, sends frames to itself, prints JSON.

    unshare -n python marking.py nft|iptables RULES

It prints what the tools print of the rules, and the mark of each frame that arrived on ``in0``.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import subprocess
import sys
from ipaddress import ip_address
from itertools import product

ADDRESSES = ("10.0.0.3", "10.0.0.4", "10.0.0.100", "10.0.0.130", "10.1.0.5", "192.0.2.1")
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
PORTS = (22, 53, 80, 81, 443, 8005)
MAC = bytes.fromhex("020000000002")
_PROBE = """
table ip probe {
  set seen { type ipv4_addr . inet_proto . inet_service . mark; flags dynamic; size 65535; }
  chain last {
    type filter hook prerouting priority 300;
    iifname "in0" update @seen { ip daddr . ip protocol . th dport . meta mark }
  }
}
"""


def run(*words: str, text: str | None = None) -> str:
    return subprocess.run(
        words, input=text, text=True, check=True, capture_output=True, timeout=60
    ).stdout


def frame(mac: bytes, address: str, protocol: int, port: int) -> bytes:
    payload = struct.pack("!HHIIBBHHH", 1024, port, 0, 0, 0x50, 2, 512, 0, 0)
    if protocol == PROTOCOLS["udp"]:
        payload = struct.pack("!HHHH", 1024, port, 8, 0)
    source, target = ip_address("10.9.9.9").packed, ip_address(address).packed
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0)
    words = struct.unpack("!10H", head + source + target)
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    check = struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF)
    ip = head[:10] + check + source + target
    return mac + b"\2\0\0\0\0\1" + b"\x08\x00" + ip + payload


def marks() -> dict[str, int]:
    text = run("nft", "-nn", "list", "set", "ip", "probe", "seen")
    seen = re.findall(r"([\d.]+) \. (\w+) \. (\d+) \. (0x[0-9a-f]+)", text)
    names = {str(number): name for name, number in PROTOCOLS.items()}
    return {f"{a} {names.get(p, p)} {port}": int(mark, 16) for a, p, port, mark in seen}


def main(kind: str, path: str) -> None:
    run(
        *(
            "ip",
            "link",
            "add",
            "in0",
            "address",
            MAC.hex(":"),
            "type",
            "veth",
            "peer",
            "name",
            "out0",
        )
    )
    for name in ("in0", "out0", "lo"):
        run("ip", "link", "set", name, "up")
    with open(path, encoding="utf-8") as file:
        rules = file.read()
    texts = []
    if kind == "nft":
        run("nft", "-f", "-", text=rules)
    else:
        run("iptables-restore", text=rules)
        texts += [run("iptables-save"), run("iptables-save", "-c")]
    texts += [run("nft", *more, "list", "ruleset") for more in ([], ["-a"], ["-s", "-nn"])]
    run("nft", "-f", "-", text=_PROBE)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind(("out0", 0))
        for address, protocol, port in product(ADDRESSES, PROTOCOLS.values(), PORTS):
            out.send(frame(MAC, address, protocol, port))
    json.dump({"texts": texts, "marks": marks()}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
