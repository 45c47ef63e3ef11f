"""Runs inside the guest: the recorded lab, and each story carried out in it. Root, alone there.

One flat LAN: a client, five mute servers, and a director of its own for each story.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from records.wire import (
    ARP,
    DIRECTOR_MAC,
    ICMPV6,
    IPV6,
    PLACES,
    outcome_of,
    place,
    tcp,
    udp,
)

Step = dict[str, Any]

NEW_NETWORK = 0x40000000
EVERY_PROTOCOL = 3
MLD_AND_ND = 130  # ICMPv6 types from here on are about the link (RFC 4443 section 2.1)
TICK_S = 0.02
"""Longer than the kernel's: timers that are due have fired."""
SETTLED_S = 0.05
SYSCTLS = {
    **{f"ipv4/conf/{name}/rp_filter": 0 for name in ("all", "default")},
    **{f"ipv6/conf/{name}/accept_dad": 0 for name in ("all", "default")},
    **{"ipv4/icmp_ratelimit": 0, "ipv4/icmp_ratemask": 0, "ipv6/icmp/ratelimit": 0},
    **{"ipv4/ip_forward": 1, "ipv6/conf/all/forwarding": 1, "ipv4/conf/all/send_redirects": 0},
    "ipv4/conf/default/send_redirects": 0,
}
_libc = ctypes.CDLL(None, use_errno=True)


def run(*words: str, given: str = "") -> None:
    """A command that must not fail."""
    subprocess.run(words, input=given, text=True, check=True)


def enter(namespace: str) -> None:
    """This process, and what it starts, is in another network from now on."""
    with open(namespace) as file:
        if _libc.setns(file.fileno(), NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), "setns", namespace)


class Lab:
    """The switch with everybody but the director on it; ``taps`` hear what a station gets."""

    def __init__(self) -> None:
        run("ip", "link", "add", "br0", "up", "type", "bridge", "mcast_snooping", "0")
        self.taps = {
            name: self._station(name, mac) for mac, name in PLACES.items() if name != "dir"
        }

    def _station(self, name: str, mac: bytes) -> socket.socket:
        run("ip", "netns", "add", name)
        plug(name)
        enter(f"/run/netns/{name}")
        Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
        run("ip", "link", "set", "eth0", "address", mac.hex(":"), "arp", "off", "up")
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
        tap.bind(("eth0", EVERY_PROTOCOL))
        tap.setblocking(False)
        enter("/proc/1/ns/net")
        return tap

    def new_director(self) -> None:
        """With an empty table; this process is in its network then."""
        enter("/proc/1/ns/net")
        subprocess.run(["ip", "netns", "del", "dir"], stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "link", "del", "dir"], stderr=subprocess.DEVNULL)
        run("ip", "netns", "add", "dir")
        plug("dir")
        enter("/run/netns/dir")
        for name, value in SYSCTLS.items():
            Path("/proc/sys/net", name).write_text(str(value))
        run("ip", "-batch", "-", given="\n".join(director()))
        time.sleep(SETTLED_S)
        self.heard()

    def heard(self) -> list[bytes]:
        """What the director sent to somebody, talk about the link aside."""
        return [frame for name, tap in self.taps.items() for frame in everything(tap, name)]

    def send(self, frame: bytes) -> tuple[bytes, ...]:
        """From the client; what came of it. The guest's one processor has nothing else to do."""
        self.taps["cl"].send(frame)
        until = time.monotonic() + TICK_S
        while not (heard := self.heard()) and time.monotonic() < until:
            select.select(self.taps.values(), (), (), TICK_S / 4)
        return tuple(heard)


def plug(name: str) -> None:
    """eth0 of a namespace, on the switch."""
    run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
    run("ip", "link", "set", name, "master", "br0", "up")


def director() -> list[str]:
    """Its addresses, the VIPs on lo, and everybody's MAC address, as commands for ip."""
    neighbours = {"10.9.0.1": "cl", "fd00:9::1": "cl"}
    for number in range(1, 6):
        neighbours |= dict.fromkeys((f"10.9.0.1{number}", f"fd00:9::1{number}"), f"rs{number}")
    macs = {name: mac.hex(":") for mac, name in PLACES.items()}
    return [
        "link set lo up",
        f"link set eth0 address {DIRECTOR_MAC.hex(':')} up",
        *("addr add 10.9.0.2/24 dev eth0", "addr add fd00:9::2/64 dev eth0 nodad"),
        *(f"addr add 10.9.0.10{number}/32 dev lo" for number in range(4)),
        *(f"addr add fd00:9::10{number}/128 dev lo nodad" for number in range(4)),
        *(
            f"neigh replace {address} lladdr {macs[name]} dev eth0 nud permanent"
            for address, name in neighbours.items()
        ),
        *("route add 10.1.0.0/16 via 10.9.0.1", "route add fd00:1::/32 via fd00:9::1"),
    ]


def everything(tap: socket.socket, name: str) -> list[bytes]:
    """What has come for this station, without what it sent."""
    frames = []
    while True:
        try:
            frame, origin = tap.recvfrom(65536)
        except BlockingIOError:
            return frames
        is_link_talk = frame[12:14] == ARP or (
            frame[12:14] == IPV6 and frame[20] == ICMPV6 and frame[54] >= MLD_AND_ND
        )
        is_for_it = frame[6:12] == DIRECTOR_MAC and place(frame) == name
        if origin[2] != socket.PACKET_OUTGOING and is_for_it and not is_link_talk:
            frames.append(frame)


class Recorder:
    """One story, step by step."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        lab.new_director()
        self._began = time.monotonic()
        self._known: set[str] = set()

    def step(self, step: Step) -> Step:
        """The step with what was seen of it."""
        if step["do"] == "packets":
            return {**step, "t": self._now(), "rows": [self._packet(step, r) for r in step["rows"]]}
        done = subprocess.run(
            ["/bin/bash", "-c", step["do"]],
            input=step.get("stdin", ""),
            capture_output=True,
            text=True,
        )
        seen: Step = {**step, "t": self._now(), "rc": done.returncode}
        seen["err"] = [line for line in done.stderr.splitlines() if line]
        lines = done.stdout.splitlines()
        if "sorted" in step:
            return {**seen, "sorted": sorted(" ".join(line.split()) for line in lines[2:])}
        return {**seen, "out": lines}

    def _packet(self, step: Step, row: list[str]) -> list[str]:
        flags, source = row
        if flags == "S" and source in self._known:
            time.sleep(TICK_S)  # what it replaces must be gone when the next one is decided
        self._known.add(source)
        is_tcp = step["proto"] == "tcp"
        frame = tcp(flags, source, step["dst"]) if is_tcp else udp(source, step["dst"])
        return [flags, source, outcome_of(self._lab.send(frame), "").text]

    def _now(self) -> float:
        return round(time.monotonic() - self._began, 3)


def main() -> None:
    """The folder has ``stories.json`` and gets ``records.json``."""
    folder = Path(sys.argv[1])
    lab = Lab()
    records = []
    for story in json.loads((folder / "stories.json").read_text()):
        recorder = Recorder(lab)
        records.append({**story, "steps": [recorder.step(step) for step in story["steps"]]})
    unfinished = folder / "records.part"
    unfinished.write_text(json.dumps(records))
    os.replace(unfinished, folder / "records.json")


if __name__ == "__main__":
    main()
