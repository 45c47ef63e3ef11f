"""Rules of nftables, as `nft list ruleset` prints them. Pure.

Sets, maps and verdict maps are understood, by name or in place, also of several fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network

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
from .rules_iptables import Rules

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|#[^\n]*|\n|[{},;]|[^\s{},;"#]+')
_ALL = 0xFFFFFFFF
_HOOKS = {"ingress": None, "prerouting": 0, "input": 1}
# IPVS takes packets on the hook of input, at priority 98 (ip_vs_core.c: NF_IP_PRI_NAT_SRC - 2).
_IPVS = (1, 98)
_PRIORITIES = {
    "raw": -300,
    "mangle": -150,
    "dstnat": -100,
    "filter": 0,
    "security": 50,
    "srcnat": 100,
}
_FAMILIES = {"ip": 4, "ip6": 6, "inet": 0}
_NUMBERS = {"6": "tcp", "17": "udp", "132": "sctp"}
_WORDS = {"accept", "drop", "return", "reject", "continue"}
_FIELDS = {
    ("ip", "daddr"): "address",
    ("ip6", "daddr"): "address",
    ("tcp", "dport"): "tcp",
    ("udp", "dport"): "udp",
    ("sctp", "dport"): "sctp",
    ("th", "dport"): "ports",
    ("ip", "protocol"): "protocol",
    ("ip6", "nexthdr"): "protocol",
    ("meta", "l4proto"): "protocol",
    ("meta", "nfproto"): "family",
    ("meta", "protocol"): "family",
    ("ether", "type"): "family",
    ("meta", "iifname"): "interface",
    ("meta", "iif"): "interface",
    ("meta", "mark"): "mark",
}
_SHORT = {"iifname": "interface", "iif": "interface", "mark": "mark", "l4proto": "protocol"}
_RELATIONS = ("<", "<=", ">", ">=", "lt", "le", "gt", "ge")
_BITS = {"&": "and", "|": "or", "^": "xor"}


class _UnclearError(Exception):
    """This rule cannot be followed, and why."""


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    line: int


@dataclass(slots=True)
class _Set:
    """Elements, and what a map gives for each."""

    elements: list[tuple[list[str], list[str]]] = field(default_factory=list)


def read(text: str, *, interface: str | None) -> Rules:
    """Chains by ``family table/name``; raises ValueError with a line's number."""
    return _Reader(text, interface).rules()


class _Reader:
    """A ruleset, token after token."""

    def __init__(self, text: str, interface: str | None) -> None:
        self._tokens = [*_tokens(text)]
        self._at = 0
        self._interface = interface
        self._found = Rules()
        self._sets: dict[str, _Set] = {}
        self._lines = text.splitlines()

    # ---- Blocks ----

    def rules(self) -> Rules:
        bodies: list[tuple[str, str, Chain, list[list[_Token]]]] = []
        while (words := self._statement()) is not None:
            if not words:
                continue
            match [each.text for each in words]:
                case ["table", *name, "{"] if name:
                    family, table = name if len(name) == 2 else ("ip", name[0])
                    bodies += self._table(family, table)
                case ["flush", *_] | ["delete", *_] | ["destroy", *_]:
                    pass  # of what was there before
                case _:
                    raise ValueError(f"{words[0].line}:this is no table: {_text(words)}")
        # Sets may stand behind the chains that use them.
        for family, where, chain, body in bodies:
            for words in body:
                chain.rules += self._rules(family, where, words)
        return self._found

    def _table(
        self, family: str, table: str
    ) -> Iterator[tuple[str, str, Chain, list[list[_Token]]]]:
        where = f"{family} {table}"
        while (words := self._statement()) is not None:
            match [each.text for each in words]:
                case []:
                    continue
                case ["}"]:
                    return
                case ["chain", name, "{"]:
                    chain = self._found.chains.setdefault(f"{where}/{name}", Chain())
                    yield family, where, chain, self._chain(chain, family)
                case ["set" | "map", name, "{"]:
                    self._set(f"{where}/{name}")
                case [*_, "{"]:
                    self._skip()
                case _:
                    pass  # flags of the table, a comment, an object
        raise ValueError(f"{self._tokens[-1].line if self._tokens else 1}:a block is not closed")

    def _chain(self, chain: Chain, family: str) -> list[list[_Token]]:
        body: list[list[_Token]] = []
        while (words := self._statement()) is not None:
            match [each.text for each in words]:
                case [] | ["comment", _]:
                    continue
                case ["}"]:
                    return body
                case ["type", kind, "hook", hook, *rest]:
                    chain.order = _order(kind, hook, rest, family)
                case ["policy", policy]:
                    chain.drops = policy == "drop"
                case _:
                    body.append(words)
        raise ValueError(f"{self._tokens[-1].line}:a block is not closed")

    def _set(self, name: str) -> None:
        found = self._sets.setdefault(name, _Set())
        while (words := self._statement()) is not None:
            match [each.text for each in words]:
                case ["}"]:
                    return
                case ["elements", "=", "{", *elements, "}"]:
                    found.elements += _elements(elements)
                case _:
                    pass  # its type, flags and size

    def _skip(self) -> None:
        depth = 1
        while depth and self._at < len(self._tokens):
            depth += {"{": 1, "}": -1}.get(self._tokens[self._at].text, 0)
            self._at += 1

    def _statement(self) -> list[_Token] | None:
        """The next words, up to the end of a line or a block; a set's own braces belong to it."""
        words: list[_Token] = []
        depth = 0
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            if depth == 0 and token.text in ("\n", ";"):
                self._at += 1
                return words
            if depth == 0 and token.text == "}" and words:
                return words
            self._at += 1
            if token.text == "\n":
                continue
            words.append(token)
            if token.text == "{" and depth == 0 and _opens_block(words):
                return words
            depth += {"{": 1, "}": -1}.get(token.text, 0)
            if token.text == "}" and depth < 0:
                return words
        return words or None

    # ---- Rules ----

    def _rules(self, family: str, where: str, tokens: list[_Token]) -> Iterator[Rule]:
        plain = [each.text.strip("()") for each in tokens]
        words = _Words([each for each in plain if each], where, self._sets, self._interface)
        number = tokens[0].line
        text = self._lines[number - 1].strip()
        try:
            words.take_all()
        except _UnclearError as error:
            words.obstacle = str(error)
            words.take_actions()
        except ValueError as error:
            raise ValueError(f"{number}:{error}: {text}") from error
        self._found.notes += ((number, note) for note in words.notes)
        matches = [Among((Box(_FAMILIES.get(family, 0)),)), *words.matches]
        for more, actions in words.variants():
            yield Rule(
                number, text, (*matches, *more), tuple(actions), words.obstacle, words.applies
            )


def _tokens(text: str) -> Iterator[_Token]:
    line = 1
    for found in _TOKEN.finditer(text):
        if found[0] == "\n" or not found[0].startswith("#"):
            yield _Token(found[0], line)
        line += found[0].count("\n")


def _text(words: Sequence[_Token]) -> str:
    return " ".join(each.text for each in words)


def _opens_block(words: list[_Token]) -> bool:
    first = words[0].text
    blocks = ("table", "chain", "set", "map", "flowtable", "counter", "quota", "limit", "ct")
    return first in blocks and len(words) in (2, 3, 4, 5) and words[1].text != "packets"


def _order(kind: str, hook: str, rest: Sequence[str], family: str) -> tuple[int, int] | None:
    place = _HOOKS.get(hook)
    if place is None or kind not in ("filter", "nat") or family not in _FAMILIES:
        return None
    words = [each for each in rest if each not in ("priority", "=")]
    name = words[0] if words else "0"
    base = _PRIORITIES.get(name)
    priority = int(name) if base is None else base
    if base is not None and len(words) > 1:
        priority += int("".join(words[1:3]))
    return (place, priority) if (place, priority) < _IPVS else None


def _elements(words: Sequence[str]) -> list[tuple[list[str], list[str]]]:
    """Elements of a set, and behind the colon those of a map."""
    found, current = [], list[str]()
    for word in [*words, ","]:
        if word != ",":
            current.append(word)
        elif current:
            at = current.index(":") if ":" in current else len(current)
            fields = current[:at]
            for extra in ("comment", "counter", "timeout", "expires"):
                fields = fields[: fields.index(extra)] if extra in fields else fields
            found.append((fields, current[at + 1 :]))
            current = []
    return found


class _Words:
    """The words of one rule on their way into matches and actions."""

    def __init__(
        self, words: list[str], where: str, sets: dict[str, _Set], interface: str | None
    ) -> None:
        self._words = words
        self._at = 0
        self._where = where
        self._sets = sets
        self._interface = interface
        self.matches: list[Among | Marked] = []
        self.actions: list[Action] = []
        self._by_box: list[tuple[Box, list[Action]]] | None = None
        """What a map does to each of its boxes, in place of an action of all."""
        self._behind: list[Action] = []
        self.obstacle = ""
        self.applies = True
        self.notes: list[str] = []

    def variants(self) -> Iterator[tuple[list[Among], list[Action]]]:
        """Matches and actions: one of each, or one for each element of a map."""
        if self._by_box is None:
            yield [], self.actions
            return
        for box, actions in self._by_box:
            yield [Among((box,))], [*self._behind, *actions, *self.actions]

    def _next(self, default: str = "") -> str:
        self._at += 1
        return self._words[self._at - 1] if self._at <= len(self._words) else default

    def _peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._words[at] if at < len(self._words) else ""

    def _pass(self, *words: str) -> bool:
        """Take the next word if it is one of these."""
        if self._peek() in words:
            self._at += 1
            return True
        return False

    def take_all(self) -> None:
        while self._at < len(self._words):
            self._take()

    def take_actions(self) -> None:
        """Of a rule that cannot be followed: what it would do."""
        rest = self._words
        for at, word in enumerate(rest):
            if word == "mark" and rest[at + 1 : at + 2] == ["set"] and rest[at - 1] != "ct":
                self.actions.append(SetMark(0, 0))
            elif word in ("jump", "goto") and at + 1 < len(rest):
                self.actions.append(Verdict(word, f"{self._where}/{rest[at + 1]}"))
            elif word in _WORDS:
                self.actions.append(Verdict(word))

    def _take(self) -> None:
        match self._peek(), self._peek(1), self._peek(2):
            case "counter", "packets", _:
                self._at += 5
            case "counter", "name", _:
                self._at += 3
            case (("counter" | "notrack"), _, _):
                self._at += 1
            case "comment", _, _:
                self._at += 2
            case "log", _, _:
                self._log()
            case ("meta", "mark", "set") | ("mark", "set", _):
                self._at += 3 if self._peek() == "meta" else 2
                self._set_mark()
            case ((("jump" | "goto") as word), name, _):
                self._at += 2
                self.actions.append(Verdict(word, f"{self._where}/{name}"))
            case word, _, _ if word in _WORDS:
                self._at = len(self._words) if word == "reject" else self._at + 1
                if word != "continue":
                    self.actions.append(Verdict("drop" if word == "reject" else word))
            case _:
                self._match()

    def _log(self) -> None:
        self._at += 1
        while self._pass("prefix", "level", "group", "snaplen", "queue-threshold", "flags"):
            if self._next() in ("tcp", "ip"):
                self._at += 1

    def _fields(self) -> list[str]:
        """Kinds of what is compared; several with dots between them."""
        kinds: list[str] = []
        while not kinds or self._pass("."):
            pair = (self._peek(), self._peek(1))
            if pair in _FIELDS:
                self._at += 2
                kinds.append(_FIELDS[pair])
            elif self._peek() in _SHORT:
                kinds.append(_SHORT[self._next()])
            else:
                raise _UnclearError(f"{' '.join(pair).strip()!r} cannot be followed")
        return kinds

    def _match(self) -> None:
        kinds = self._fields()
        if self._pass("vmap"):
            self._map(kinds, self._elements(), is_verdict=True)
            return
        if kinds == ["mark"]:
            self._match_mark()
            return
        negated = self._pass("!=")
        self._pass("==")
        if self._peek() in _RELATIONS:
            elements = [[self._relation(kinds)]]
        else:
            elements = [fields for fields, _ in self._elements()]
        if kinds == ["interface"]:
            self.applies &= self._is_ours([each[0] for each in elements]) != negated
            return
        boxes = [box for each in elements if (box := self._box(kinds, each)) is not None]
        if negated and kinds != ["protocol"]:
            # The header must be there for it to be another.
            kinds_of = (replace(box, addresses=None, ports=_EVERY) for box in boxes[:1])
            self.matches += (Among((box,)) for box in kinds_of)
        self.matches.append(Among(tuple(boxes), negated))

    def _relation(self, kinds: Sequence[str]) -> str:
        """A comparison of ports, as a range."""
        word, number = self._next(), self._next()
        if kinds[0] not in ("ports", *PROTOCOLS) or not number.isdecimal():
            raise _UnclearError(f"{word} {number} cannot be followed")
        limit = int(number)
        match word:
            case "<" | "lt":
                return f"0-{limit - 1}"
            case "<=" | "le":
                return f"0-{limit}"
            case ">" | "gt":
                return f"{limit + 1}-{LAST_PORT}"
        return f"{limit}-{LAST_PORT}"

    def _match_mark(self) -> None:
        mask = _ALL
        if self._pass("&", "and"):
            mask = _number(self._next())
        negated = self._pass("!=")
        self._pass("==")
        value = self._next()
        if not re.fullmatch(r"0x[0-9a-fA-F]+|[0-9]+", value):
            raise _UnclearError(f"mark {value} cannot be followed")
        self.matches.append(Marked(_number(value), mask, negated))

    def _elements(self) -> list[tuple[list[str], list[str]]]:
        """Those of a set, or the one value that stands there."""
        word = self._next()
        if word.startswith("@"):
            name = f"{self._where}/{word[1:]}"
            if name not in self._sets:
                raise _UnclearError(f"set {word} is not in this file")
            return self._sets[name].elements
        if word != "{":
            return [([word], [])]
        inside: list[str] = []
        while (each := self._next("}")) != "}":
            inside.append(each)
        return _elements(inside)

    def _is_ours(self, names: list[str]) -> bool:
        plain = [each for name in names if (each := name.strip('"')) != "lo"]  # no director's
        if self._interface is None and plain:
            self.notes.append(f"{', '.join(plain)} is taken for the director's own interface")
            return True
        ours = self._interface or ""
        return any(
            ours.startswith(each[:-1]) if each.endswith("*") else ours == each for each in plain
        )

    def _box(self, kinds: Sequence[str], element: Sequence[str]) -> Box | None:
        """Packets with these values; None where there are none on our interface."""
        values = [each for each in element if each != "."]
        box: Box | None = Box()
        for kind, value in zip(kinds, values, strict=False):
            if kind == "interface":
                box = box if self._is_ours([value]) else None
            elif kind == "mark":
                raise _UnclearError("a mark in a set cannot be followed")
            else:
                box = box and box.common(_box(kind, value))
        return box

    # ---- What is done ----

    def _set_mark(self) -> None:
        if self._pass("meta") and self._peek() != "mark":
            self._at -= 1
        if self._pass("mark"):
            self.actions.append(self._arithmetic())
            return
        if re.fullmatch(r"0x[0-9a-fA-F]+|[0-9]+", self._peek()):
            value = _number(self._next())
            if self._peek() in (*_BITS, *_BITS.values()):
                raise _UnclearError(f"mark set {' '.join(self._words[self._at - 1 :])!r}")
            self.actions.append(SetMark(0, value))
            return
        kinds = self._fields()
        if not self._pass("map"):
            raise _UnclearError(f"mark set {' '.join(self._words[self._at - 1 :])!r}")
        self._map(kinds, self._elements(), is_verdict=False)

    def _arithmetic(self) -> SetMark:
        keep, flip = _ALL, 0
        while (word := _BITS.get(self._peek(), self._peek())) in _BITS.values():
            self._at += 1
            number = _number(self._next())
            match word:
                case "and":
                    keep, flip = keep & number, flip & number
                case "or":
                    keep, flip = keep & ~number, flip | number
                case _:
                    flip ^= number
        return SetMark(keep, flip)

    def _map(
        self, kinds: list[str], elements: list[tuple[list[str], list[str]]], *, is_verdict: bool
    ) -> None:
        if self._by_box is not None:
            raise _UnclearError("two maps in one rule cannot be followed")
        self._behind, self.actions, self._by_box = self.actions, [], []
        for fields, values in elements:
            if (box := self._box(kinds, fields)) is None:
                continue
            if not is_verdict:
                self._by_box.append((box, [SetMark(0, _number(values[0]))]))
                continue
            word, *chain = values
            name = f"{self._where}/{chain[0]}" if chain else ""
            self._by_box.append((box, [] if word == "continue" else [Verdict(word, name)]))


_EVERY = (0, LAST_PORT)


def _box(kind: str, value: str) -> Box:
    match kind:
        case "address":
            return _addresses(value)
        case "tcp" | "udp" | "sctp":
            return Box(protocols=1 << PROTOCOLS.index(kind), ports=_ports(value))
        case "ports":
            return Box(ports=_ports(value))
        case "protocol":
            name = _NUMBERS.get(value, value)
            return Box(protocols=1 << PROTOCOLS.index(name) if name in PROTOCOLS else 0)
    family = {"ipv4": 4, "ip": 4, "0x0800": 4, "ipv6": 6, "ip6": 6, "0x86dd": 6}.get(value)
    return Box(protocols=0) if family is None else Box(family)


def _addresses(text: str) -> Box:
    first, dash, last = text.partition("-")
    try:
        if dash:
            low, high = ip_address(first), ip_address(last)
            return Box(low.version, (int(low), int(high)))
        network = ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError(f"{text!r} is no address: list the rules with numbers (-n)") from error
    if not network.prefixlen:
        return Box(network.version)
    return Box(network.version, (int(network.network_address), int(network.broadcast_address)))


def _ports(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    for each in (first, last or first):
        if not (each.isascii() and each.isdecimal() and int(each[:9]) <= LAST_PORT):
            raise ValueError(f"port {each!r} is not a number: list the rules with numbers (-n)")
    return int(first), int(last or first)


def _number(text: str) -> int:
    try:
        number = int(text, 0)
    except ValueError as error:
        raise _UnclearError(f"{text!r} is no number") from error
    if not 0 <= number <= _ALL:
        raise ValueError(f"mark {text} is not in 0..{_ALL}")
    return number
