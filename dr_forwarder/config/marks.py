"""Marks: what a firewall mark stands for, read from the rules that would have set it. Pure.

There is no firewall here: a mark is the set of destinations, protocols and ports that the rules
name. `iptables-save` (and `ip6tables-save`) and `nft list ruleset` are followed as the kernel does
for a packet that arrives: base chains by hook and priority, jumps, returns, masks. Each rule that
cannot be followed is named: refused if it could set a mark, else told of.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from . import rules_iptables, rules_nft
from .mark_boxes import (
    ALL_PROTOCOLS,
    PROTOCOLS,
    Chain,
    Rule,
    SetMark,
    TooManyError,
    Verdict,
    follow,
    marked,
    networks,
)
from .model import ConfigError, Mark, Notice


@dataclass(frozen=True, slots=True)
class Found:
    """What a file of rules comes to."""

    marks: tuple[Mark, ...] = ()
    """The first that fits a packet counts."""
    notices: tuple[Notice, ...] = ()


def parse(text: str, *, file: str, interface: str | None = None) -> tuple[Mark, ...]:
    """The marks of a rule file, as ``read`` has them."""
    return read(text, file=file, interface=interface).marks


def _lines_apart(chains: Mapping[str, Chain], seen: Collection[str]) -> set[int]:
    """Those of rules that packets which arrive do not meet."""
    return {rule.line for name, chain in chains.items() if name not in seen for rule in chain.rules}


def read(text: str, *, file: str, interface: str | None = None) -> Found:
    """Follow the rules for packets that arrive on the interface; None: on that of the rules.

    Raises ConfigError with all rules that could set a mark and cannot be followed, and their lines.
    """
    text = text.removeprefix("\ufeff")
    form = rules_iptables if rules_iptables.SIGN.search(text) else rules_nft
    try:
        rules = form.read(text, interface=interface)
    except ValueError as error:
        line, _, reason = str(error).partition(":")
        raise ConfigError(reason, file=file, line=int(line)) from error
    seen = _reached(rules.chains)
    errors: list[ConfigError] = []
    notices = [
        Notice(reason, line, file=file)
        for line, reason in dict.fromkeys(rules.notes)
        if line not in _lines_apart(rules.chains, seen)
    ]
    for name, chain in rules.chains.items():
        for rule in chain.rules:
            reason = _missing(rule, rules.chains) or rule.obstacle
            told = f"{reason}: {rule.text}"
            if reason and name in seen and _sets_mark(rule, rules.chains):
                errors.append(ConfigError(told, file=file, line=rule.line))
            elif reason and name in seen:
                notices.append(Notice(f"not followed, {told}", rule.line, file=file))
            elif name not in seen and any(isinstance(each, SetMark) for each in rule.actions):
                where = f"chain {name.rpartition('/')[2]} does not see packets that arrive"
                told = f"sets no mark here, {where}: {rule.text}"
                notices.append(Notice(told, rule.line, file=file))
    found: list[Mark] = []
    try:
        found += list(_marks(rules.chains, file, errors))
    except TooManyError as error:
        errors.append(ConfigError(str(error), file=file))
    if errors:
        raise ConfigError.of_all(errors)
    return Found(tuple(found), tuple(notices))


def _marks(chains: Mapping[str, Chain], file: str, errors: list[ConfigError]) -> Iterator[Mark]:
    texts = {rule.line: rule.text for chain in chains.values() for rule in chain.rules}
    told: set[int] = set()
    for box, entry in marked(follow(chains)):
        if entry.box.addresses is None:
            if entry.line not in told:
                reason = "the rule names no destination, and the director must know its VIPs"
                text = f"{reason}: {texts.get(entry.line, '')}"
                errors.append(ConfigError(text, file=file, line=entry.line))
            told.add(entry.line)
            continue
        for network in networks(box):
            yield from _of(entry.mark, network, box.protocols, *box.ports)


def _of(
    mark: int, network: IPv4Network | IPv6Network, protocols: int, first: int, last: int
) -> Iterator[Mark]:
    if protocols == ALL_PROTOCOLS:
        yield Mark(mark, network, None, first, last)
        return
    for bit, name in enumerate(PROTOCOLS):
        if protocols & 1 << bit:
            yield Mark(mark, network, name, first, last)


def _targets(rule: Rule) -> Iterator[str]:
    for each in rule.actions:
        if isinstance(each, Verdict) and each.word in ("jump", "goto"):
            yield each.chain


def _missing(rule: Rule, chains: Mapping[str, Chain]) -> str:
    names = [name.rpartition("/")[2] for name in _targets(rule) if name not in chains]
    return (
        f"{names[0]} is no target that can be followed, and no chain of this file" if names else ""
    )


def _reached(chains: Mapping[str, Chain]) -> set[str]:
    """Chains that packets which arrive can come to."""
    found = {name for name, chain in chains.items() if chain.order is not None}
    ahead = list(found)
    while ahead:
        for rule in chains[ahead.pop()].rules:
            new = [name for name in _targets(rule) if name in chains and name not in found]
            found.update(new)
            ahead += new
    return found


def _sets_mark(rule: Rule, chains: Mapping[str, Chain]) -> bool:
    """Say whether a mark may depend on this rule."""
    if any(isinstance(each, SetMark) for each in rule.actions):
        return True
    ahead, seen = list(_targets(rule)), set[str]()
    while ahead:
        name = ahead.pop()
        if name in chains and name not in seen:
            seen.add(name)
            for each in chains[name].rules:
                if any(isinstance(action, SetMark) for action in each.actions):
                    return True
                ahead += _targets(each)
    return False


# ---- The native form ----


def _protocol(name: str) -> str:
    if name not in PROTOCOLS:
        raise ValueError(f"protocol {name!r} is not one of {', '.join(PROTOCOLS)}")
    return name


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    if not first.isdigit() or not (last or first).isdigit():
        raise ValueError(f"port {text!r} is not a number")
    low, high = int(first), int(last or first)
    if not low <= high <= 65535:
        raise ValueError(f"ports {low} to {high} are no range")
    return low, high


def from_ports(
    mark: int, address: str, *, protocol: str | None, ports: str | None
) -> tuple[Mark, ...]:
    """The marks of a native ``[[mark]]`` table; raises ValueError with the reason."""
    ranges = [(0, 65535)] if ports is None else [_range(each.strip()) for each in ports.split(",")]
    known = None if protocol is None else _protocol(protocol)
    if not 0 < mark < 1 << 32:
        raise ValueError(f"mark {mark} is not in 1..4294967295")
    network = ip_network(address)
    return tuple(Mark(mark, network, known, first, last) for first, last in ranges)
