"""Rules of iptables, as `iptables-save` and `iptables -S` print them, and scripts. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network

from .mark_boxes import (
    LAST_PORT,
    PROTOCOLS,
    Action,
    Among,
    Box,
    Chain,
    Marked,
    Rule,
    SetMark,
    Verdict,
)

SIGN = re.compile(
    r"^\s*(\*[a-z]+|:[\w-]+ |(\[\d+:\d+\] )?-[APNI] |(sudo )?\S*ip6?tables\s|COMMIT\b)", re.M
)
_COUNTERS = re.compile(r"\[\d+:\d+\]\s*")
_PROGRAM = re.compile(r"(\S*/)?ip6?tables(-\w+)?$")
_ALL = 0xFFFFFFFF

# Hooks in their order, and the priorities of tables (linux/netfilter_ipv4.h). IPVS itself takes
# packets on the hook LOCAL_IN, after the tables mangle and filter (ip_vs_core.c).
_PREROUTING, _INPUT = 0, 1
_ARRIVING = {
    ("raw", "PREROUTING"): (_PREROUTING, -300),
    ("mangle", "PREROUTING"): (_PREROUTING, -150),
    ("nat", "PREROUTING"): (_PREROUTING, -100),
    ("mangle", "INPUT"): (_INPUT, -150),
    ("filter", "INPUT"): (_INPUT, 0),
}
_NUMBERS = {"6": "tcp", "17": "udp", "132": "sctp"}
_WORDS = {"ACCEPT": "accept", "RETURN": "return", "DROP": "drop", "REJECT": "drop"}
_HARMLESS = (
    *("AUDIT", "CHECKSUM", "CLASSIFY", "CONNMARK", "CT", "DSCP", "ECN", "HMARK", "LOG", "NFLOG"),
    *("NOTRACK", "SECMARK", "CONNSECMARK", "SET", "TCPMSS", "TCPOPTSTRIP", "TEE", "TOS", "TRACE"),
    *("TTL", "HL", "ULOG", "IDLETIMER", "LED", "RATEEST"),
)
"""Targets that leave the packet, its destination and its mark as they are."""
_OPTIONS = {
    "-d": "destination",
    "--dst": "destination",
    "--destination": "destination",
    "-s": "source",
    "--src": "source",
    "--source": "source",
    "-p": "protocol",
    "--proto": "protocol",
    "--protocol": "protocol",
    "-i": "interface",
    "--in-interface": "interface",
    "--dport": "ports",
    "--dports": "ports",
    "--destination-port": "ports",
    "--destination-ports": "ports",
    "-m": "module",
    "--match": "module",
    "-j": "target",
    "--jump": "target",
    "-g": "goto",
    "--goto": "goto",
    "--comment": "comment",
    "--mark": "mark",
    "-c": "counters",
    "--set-counters": "counters",
}
_MARKS = ("--set-mark", "--set-xmark", "--and-mark", "--or-mark", "--xor-mark")
_MODULES = (*PROTOCOLS, "multiport", "comment", "mark")


@dataclass(slots=True)
class _Words:
    """One rule on its way."""

    interface: str | None
    matches: list[Among | Marked] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    obstacle: str = ""
    applies: bool = True
    module: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Rules:
    """What a file says."""

    chains: dict[str, Chain] = field(default_factory=dict)
    elsewhere: list[Rule] = field(default_factory=list)
    """Rules of chains that do not see packets on their way in."""
    notes: list[tuple[int, str]] = field(default_factory=list)


def read(text: str, *, interface: str | None) -> Rules:
    """Chains by ``table/name``; raises ValueError with a line's number for what is no rule."""
    rules, table = Rules(), "mangle"
    for number, raw in enumerate(text.splitlines(), 1):
        line = (
            _COUNTERS.sub("", raw.strip(), count=1) if raw.strip().startswith("[") else raw.strip()
        )
        if not line or line.startswith("#") or line == "COMMIT":
            continue
        if line.startswith("*"):
            table = line[1:].split()[0] if line[1:].split() else table
            continue
        if line.startswith(":"):
            name, policy, *_ = [*line[1:].split(), "", ""]
            _chain(rules, table, name).drops = policy == "DROP"
            continue
        try:
            _line(rules, table, number, line, shlex.split(line, comments=True), interface)
        except ValueError as error:
            raise ValueError(f"{number}:{error}: {line}") from error
    return rules


def _chain(rules: Rules, table: str, name: str) -> Chain:
    return rules.chains.setdefault(f"{table}/{name}", Chain(order=_ARRIVING.get((table, name))))


def _line(
    rules: Rules, table: str, number: int, line: str, words: list[str], interface: str | None
) -> None:
    if words[:1] == ["sudo"]:
        words = words[1:]
    if words and _PROGRAM.fullmatch(words[0]):
        words = words[1:]
        for option in ("-t", "--table"):
            if option in words[:-1]:
                at = words.index(option)
                table = words[at + 1]
                del words[at : at + 2]
        words = _without_waiting(words)
    match words:
        case ("-A" | "--append", name, *rest):
            _chain(rules, table, name).rules.append(
                _rule(table, number, line, rest, interface, rules)
            )
        case ("-I" | "--insert", name, *rest):
            at = int(rest.pop(0)) - 1 if rest and rest[0].isdecimal() else 0
            _chain(rules, table, name).rules.insert(
                at, _rule(table, number, line, rest, interface, rules)
            )
        case ("-P" | "--policy", name, policy):
            _chain(rules, table, name).drops = policy == "DROP"
        case ("-N" | "--new-chain", name):
            _chain(rules, table, name)
        case ("-F" | "--flush" | "-X" | "--delete-chain" | "-Z" | "--zero", *_):
            pass  # of what was there before
        case _:
            raise ValueError("this is no rule of iptables-save")


def _without_waiting(words: list[str]) -> list[str]:
    """Without ``-w``, and the seconds that may stand behind it."""
    rest = iter(words)
    kept: list[str] = []
    for word in rest:
        if word not in ("-w", "--wait"):
            kept.append(word)
        elif not (following := next(rest, "0")).isdecimal():
            kept.append(following)
    return kept


def _rule(
    table: str, number: int, line: str, words: list[str], interface: str | None, rules: Rules
) -> Rule:
    found = _Words(interface)
    rest = iter(words)
    for word in rest:
        negated = word == "!"
        _option(found, table, next(rest, "") if negated else word, rest, negated=negated)
    rules.notes += ((number, note) for note in found.notes)
    return Rule(
        number, line, tuple(found.matches), tuple(found.actions), found.obstacle, found.applies
    )


def _option(found: _Words, table: str, word: str, rest: Iterator[str], *, negated: bool) -> None:
    if word in _MARKS:
        found.actions.append(_mark_of(word, next(rest, "")))
        return
    kind = _OPTIONS.get(word)
    if kind is None:
        found.obstacle = found.obstacle or f"{word} cannot be followed"
        return
    value = next(rest, "")
    if value == "!":  # as iptables wrote it long ago
        negated, value = not negated, next(rest, "")
    match kind:
        case "destination":
            boxes = tuple(_network(each) for each in value.split(","))
            found.matches += [Among((Box(boxes[0].family),)), Among(boxes, negated)]
        case "source":
            if negated or ip_network(value.split(",")[0], strict=False).prefixlen:
                found.obstacle = found.obstacle or f"{word} {value}: clients are not told apart"
        case "protocol":
            found.matches.append(Among((_protocol(value),), negated))
        case "interface":
            _interface(found, value, negated=negated)
        case "ports":
            boxes = tuple(Box(ports=_ports(each)) for each in value.split(","))
            found.matches.append(Among(boxes, negated))
        case "module":
            found.module = value
            if value not in _MODULES:
                found.obstacle = found.obstacle or f"-m {value} cannot be followed"
        case "target":
            _target(found, table, value)
        case "goto":
            found.actions.append(Verdict("goto", f"{table}/{value}"))
        case "mark":
            _mark_match(found, value, negated=negated)
        case "counters":
            next(rest, "")


def _mark_match(found: _Words, text: str, *, negated: bool) -> None:
    value, mask = _masked(text)
    if found.module == "mark":
        found.matches.append(Marked(value, mask, negated))
    else:
        found.obstacle = found.obstacle or f"the mark of {found.module} cannot be followed"


def _network(text: str) -> Box:
    network = ip_network(text, strict=False)
    first, last = int(network.network_address), int(network.broadcast_address)
    return Box(network.version, None if not network.prefixlen else (first, last))


def _protocol(text: str) -> Box:
    name = _NUMBERS.get(text, text.lower())
    if name in ("all", "0"):
        return Box()
    return Box(protocols=1 << PROTOCOLS.index(name) if name in PROTOCOLS else 0)


def _ports(text: str) -> tuple[int, int]:
    first, colon, last = text.partition(":")
    low = first or "0"
    high = last or (str(LAST_PORT) if colon else low)
    for each in (low, high):
        if not (each.isascii() and each.isdecimal() and int(each[:9]) <= LAST_PORT):
            raise ValueError(f"port {each!r} is not a number: list the rules with numbers (-n)")
    return int(low), int(high)


def _interface(found: _Words, name: str, *, negated: bool) -> None:
    if name == "lo":  # no director's
        found.applies = found.applies and negated
        return
    if found.interface is None:
        found.notes.append(f"{'! ' * negated}-i {name} is taken for the director's own interface")
        return
    same = found.interface.startswith(name[:-1]) if name.endswith("+") else found.interface == name
    found.applies = found.applies and same != negated


def _target(found: _Words, table: str, name: str) -> None:
    if name == "MARK":
        return
    if name in _WORDS:
        found.actions.append(Verdict(_WORDS[name]))
    elif name in ("DNAT", "REDIRECT", "NETMAP", "TPROXY", "NFQUEUE", "QUEUE", "BPF", "SYNPROXY"):
        found.obstacle = found.obstacle or f"{name} cannot be followed"
    elif name not in _HARMLESS:
        found.actions.append(Verdict("jump", f"{table}/{name}"))


def _masked(text: str) -> tuple[int, int]:
    value, slash, mask = text.partition("/")
    return _number(value), _number(mask) if slash else _ALL


def _number(text: str) -> int:
    try:
        number = int(text, 0)
    except ValueError as error:
        raise ValueError(f"mark {text!r} is no number") from error
    if not 0 <= number <= _ALL:
        raise ValueError(f"mark {text} is not in 0..{_ALL}")
    return number


def _mark_of(option: str, text: str) -> SetMark:
    """As xt_MARK: what the mask has is taken away, and the value is put in by exclusive or."""
    value, mask = _masked(text)
    match option:
        case "--set-xmark":
            return SetMark(_ALL & ~mask, value)
        case "--set-mark":
            return SetMark(_ALL & ~(mask | value), value)
        case "--and-mark":
            return SetMark(value, 0)
        case "--or-mark":
            return SetMark(_ALL & ~value, value)
    return SetMark(_ALL, value)
