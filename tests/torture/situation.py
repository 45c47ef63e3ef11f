"""Who is there in the hostile hour, and the director's file in each of its shapes."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent / "lab")]

from running import VIP4, VIP6  # noqa: E402 - needs the path above
from test_services import TCP, UDP, WHAT  # noqa: E402

from dr_forwarder.lab.topology import Host, Topology  # noqa: E402
from dr_forwarder.table import Key  # noqa: E402

PORT = 7000
"""Of the service that has to go on."""
DRAINED = Key("tcp", VIP4, 7001)
"""Its servers are drained and disabled over and over."""
HOSTILE_FROM = 9000
TLS_SERVICES = ("https", "imaps", "ldaps", "pops")
PLAIN = (*((name, "tcp") for name in TCP), *((name, "udp") for name in UDP), ("radius", "udp"))
MOST_EXTRA = 10
EXTRA_VIPS = tuple(VIP4 + 10 + number for number in range(MOST_EXTRA))
ROOM = 32_768
"""Connections; small, so that floods fill it."""
LISTEN_PORT = 9700
_EXTERNAL = """\
#!/bin/sh
# A check command that behaves as badly as it can.
case $(($$ % 6)) in
0) exit 0 ;;
1) exit 1 ;;
2) sleep 60 ;;
3) yes | head -c 20000000 ;;
4) setsid sleep 3 & exit 0 ;;
5) trap '' TERM; sleep 30 ;;
esac
"""


def _host(name: str, last: int) -> Host:
    interfaces = (IPv4Interface(f"10.10.10.{last}/24"), IPv6Interface(f"fd77::{last}/64"))
    return Host(name, interfaces)


TOPOLOGY = Topology(
    client=_host("client", 10),
    director=_host("director", 61),
    servers=(_host("vm2", 62), _host("vm3", 63), _host("vm4", 64)),
    vips=(VIP6, VIP4),
)
"""vm2 and vm3 serve; vm4 is hostile."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What may differ from one reading of the file to the next."""

    weights: tuple[int, int] = (1, 1)
    extra: int = 2
    """VIPs beside those that have to go on."""
    scheduler: str = "wlc"
    hostile: bool = True
    """Whether the hostile server is there to be checked."""


def by_chance(chance: random.Random) -> Shape:
    weights = chance.choice(((1, 1), (3, 1), (1, 5), (0, 1), (1, 0)))
    # Not sh and mh: of a server with weight 0 they refuse its clients, as kernel IPVS does.
    schedulers = ("wlc", "wrr", "rr", "lc", "sed", "nq", "twos")
    return Shape(weights, chance.randrange(MOST_EXTRA + 1), chance.choice(schedulers))


def file_of(shape: Shape, directory: Path) -> str:
    """The director's file; check commands are in the directory."""
    text = (
        f"[director]\nconnections = {ROOM}\ntimeout_udp = 10\n"
        "[defaults]\ncheckinterval = 2\nchecktimeout = 2\nnegotiatetimeout = 2\n"
    )
    for vip in (f"{VIP4}", f"[{VIP6}]"):
        how = {"checktype": "connect", "scheduler": shape.scheduler}
        text += _virtual(f"{vip}:{PORT}", how, good(vip, PORT, shape.weights))
    for vip, port in ((VIP4, DRAINED.port), *((each, 80) for each in EXTRA_VIPS[: shape.extra])):
        text += _virtual(f"{vip}:{port}", {"checktype": "on"}, good(f"{vip}", port))
    hostile = _hostile(directory) if shape.hostile else []
    for number, how in enumerate(hostile, HOSTILE_FROM):
        text += _virtual(f"{VIP4}:{number}", how, [(f"10.10.10.64:{number}", 1)])
    return text


def good(vip: str, port: int, weights: tuple[int, int] = (1, 1)) -> list[tuple[str, int]]:
    """The addresses and weights of the servers that serve."""
    network = "[fd77::{}]" if ":" in vip else "10.10.10.{}"
    return [
        (f"{network.format(last)}:{port}", weight)
        for last, weight in zip((62, 63), weights, strict=True)
    ]


def _virtual(address: str, how: dict[str, object], reals: list[tuple[str, int]]) -> str:
    text = f'[[virtual]]\naddress = "{address}"\n'
    for name, value in how.items():
        said = str(value).lower() if isinstance(value, bool) else f"'{value}'"
        text += f"{name} = {said}\n"
    for real, weight in reals:
        text += f'[[virtual.real]]\naddress = "{real}"\nweight = {weight}\n'
    return text


def _hostile(directory: Path) -> list[dict[str, object]]:
    """How the hostile server is checked on each of its ports; `hostile_ports` counts them."""
    external = {"checkcommand": directory / "external"}
    return [
        *(_negotiate(service, protocol) for service, protocol in PLAIN),
        {"checktype": "connect"},
        {"checktype": "ping"},
        {"checktype": "external", **external},
        {"checktype": "external-perl", **external},
        {"service": "http", "check_through_vip": True, "receive": "(a+)+b"},
        *(_negotiate(service, "tcp") for service in TLS_SERVICES),
    ]


def _negotiate(service: str, protocol: str) -> dict[str, object]:
    asked: dict[str, object] = {}
    for name, text in WHAT.get(service, {}).items():
        asked["passwd" if name == "password" else name] = text.removeprefix("/")
    return {"protocol": protocol, "service": service, **asked}


def hostile_ports() -> tuple[int, int]:
    """How many of the hostile server's are in the clear, and how many speak TLS."""
    return len(PLAIN) + 5, len(TLS_SERVICES)


def write_commands(directory: Path) -> None:
    """The check command that the file names."""
    external = directory / "external"
    external.write_text(_EXTERNAL)
    external.chmod(0o755)
