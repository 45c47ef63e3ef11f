"""Marks: what a firewall mark stands for, read from the rules that would have set it. Pure.

There is no firewall here: a mark is the set of destinations, protocols and ports that the rules
name. `iptables-save` (and `ip6tables-save`) and `nft list ruleset` are understood as far as they
set marks by those; everything else in a rule is named and refused.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network

from .model import ConfigError, Mark

_PORTS = {"--dport", "--destination-port", "--dports", "--destination-ports"}
_SET = {"--set-mark", "--set-xmark"}
_PROTOCOLS = ("tcp", "udp", "sctp")
_NFT_SKIPPED = re.compile(
    r"^(table|chain)\b|^[{}]|^type filter hook (prerouting|output|input)\b|^policy\b|^#|^$"
)
_NFT_MARK = re.compile(r"\b(?:meta )?mark set (0x[0-9a-fA-F]+|[0-9]+)$")
_NFT_PORTS = re.compile(r"\b(tcp|udp|sctp) dport (\{[^}]*\}|\S+)")
_NFT_ADDRESS = re.compile(r"\b(ip|ip6) daddr (\{[^}]*\}|\S+)")
_NFT_NOISE = re.compile(r"\bcounter( packets \d+ bytes \d+)?")


def parse(text: str, *, file: str) -> tuple[Mark, ...]:
    """The marks of a rule file; raises ConfigError with the line of what is not understood.

    A later rule overrules an earlier one, so the last comes first in the result.
    """
    found: list[Mark] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        try:
            found += _iptables(line) if line.startswith(("-", "*", ":", "COMMIT")) else _nft(line)
        except ValueError as error:
            raise ConfigError(f"{error}: {line}", file=file, line=number) from error
    return tuple(reversed(found))


# ---- iptables-save ----


def _iptables(line: str) -> Iterator[Mark]:
    words = shlex.split(line)
    if not line.startswith("-A"):
        return
    if "-j" not in words or words[words.index("-j") + 1] != "MARK":
        raise ValueError("this rule sets no mark, and only such rules are understood")
    networks: list[IPv4Network | IPv6Network] = []
    ports, protocol, mark = [(0, 65535)], None, 0
    rest = iter(words[2:])
    for word in rest:
        if word in ("-d", "--destination"):
            networks = [ip_network(next(rest))]
        elif word in ("-p", "--protocol"):
            protocol = _protocol(next(rest))
        elif word in _PORTS:
            ports = [_range(each, ":") for each in next(rest).split(",")]
        elif word in _SET:
            mark = int(next(rest).split("/")[0], 0)
        elif word in ("-m", "--match", "-j"):
            _known_module(next(rest))
        else:
            raise ValueError(f"{word!r} is not understood: only -d, -p, --dport(s) and --set-mark")
    yield from _marks(mark, networks, protocol, ports)


def _known_module(name: str) -> None:
    if name not in (*_PROTOCOLS, "multiport", "MARK", "mark", "comment"):
        raise ValueError(f"match {name!r} is not understood")


# ---- nft list ruleset ----


def _nft(line: str) -> Iterator[Mark]:
    if _NFT_SKIPPED.match(line):
        return
    rest = _NFT_NOISE.sub("", line).strip()
    mark = _NFT_MARK.search(rest)
    if mark is None:
        raise ValueError("this rule sets no mark, and only such rules are understood")
    rest = rest.replace(mark[0], "", 1)
    networks: list[IPv4Network | IPv6Network] = []
    ports, protocol = [(0, 65535)], None
    if found := _NFT_ADDRESS.search(rest):
        networks = [ip_network(each) for each in _elements(found[2])]
        rest = rest.replace(found[0], "", 1)
    if found := _NFT_PORTS.search(rest):
        protocol = found[1]
        ports = [_range(each, "-") for each in _elements(found[2])]
        rest = rest.replace(found[0], "", 1)
    if rest.strip():
        raise ValueError(f"{rest.strip()!r} is not understood: only daddr, dport and mark set")
    yield from _marks(int(mark[1], 0), networks, protocol, ports)


def _elements(text: str) -> list[str]:
    return [each.strip() for each in text.strip("{} ").split(",")]


# ---- Both ----


def _protocol(name: str) -> str:
    if name not in _PROTOCOLS:
        raise ValueError(f"protocol {name!r} is not one of {', '.join(_PROTOCOLS)}")
    return name


def _range(text: str, separator: str) -> tuple[int, int]:
    first, _, last = text.partition(separator)
    if not first.isdigit() or not (last or first).isdigit():
        raise ValueError(f"port {text!r} is not a number: list the rules with numbers (-n)")
    return int(first), int(last or first)


def _marks(
    mark: int,
    networks: list[IPv4Network | IPv6Network],
    protocol: str | None,
    ports: list[tuple[int, int]],
) -> Iterator[Mark]:
    if not 0 < mark < 1 << 32:
        raise ValueError(f"mark {mark} is not in 1..4294967295")
    if not networks:
        raise ValueError("the rule names no destination, and the director must know its VIPs")
    for network in networks:
        for first, last in ports:
            if not first <= last <= 65535:
                raise ValueError(f"ports {first} to {last} are no range")
            yield Mark(mark, network, protocol, first, last)


def from_ports(
    mark: int, address: str, *, protocol: str | None, ports: str | None
) -> tuple[Mark, ...]:
    """The marks of a native ``[[mark]]`` table; raises ValueError with the reason."""
    ranges = [(0, 65535)] if ports is None else [_range(e.strip(), "-") for e in ports.split(",")]
    known = None if protocol is None else _protocol(protocol)
    return tuple(_marks(mark, [ip_network(address)], known, ranges))
