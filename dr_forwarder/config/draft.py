"""Draft: what a file says, typed but without defaults, and the reading that gathers it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from .directive import Directive, Value
from .directives import BY_NAME
from .model import Address, ConfigError, Fallback, Mark, Notice, Real

Resolver = Callable[[str, int], Address]
"""A host's first address of family 4 or 6; raises OSError."""
ServicePorts = Callable[[str, str], int]
"""A service name's port for ``tcp``, ``udp`` or (empty) any protocol; raises OSError."""


_MOST_RANGES = 20


@dataclass(slots=True)
class Reading:
    """One reading of one file: whom to ask for names, and what the reader should know of."""

    file: str
    resolver: Resolver
    service_ports: ServicePorts
    host_name: str = "localhost"
    skip_unsupported: bool = False
    errors: list[ConfigError] = field(default_factory=list)
    """All of them are told at the end."""
    unreachable: list[ConfigError] = field(default_factory=list)
    """Servers by masq or ipip, which are told after the errors: they may be left out."""
    _told: list[Notice] = field(default_factory=list)
    _strict: dict[str, list[int]] = field(default_factory=dict)
    """Lines by reason."""

    def error(self, reason: str, line: int) -> ConfigError:
        """For ``raise reading.error(...)``."""
        return ConfigError(reason, file=self.file, line=line)

    def fault(self, reason: str, line: int) -> None:
        """Keep an error for ``refuse``."""
        self.errors.append(self.error(reason, line))

    @contextmanager
    def gathering(self, section: Section | None = None, name: str = "") -> Iterator[None]:
        """Keep a ConfigError for ``refuse``; the section knows that this directive has failed."""
        try:
            yield
        except ConfigError as error:
            self.errors.append(error)
            if section is not None:
                section.failed.add(name)

    def refuse(self) -> None:
        """Raise what has been gathered, as one error."""
        if self.errors or self.unreachable:
            raise ConfigError.of_all(self.errors, self.unreachable)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What has been told, by line; what is the same for several lines is told once."""
        strict = (
            Notice(_with_lines(*each), each[1][0], strict=True) for each in self._strict.items()
        )
        return tuple(sorted([*self._told, *strict], key=lambda notice: notice.line))

    def note(self, reason: str, line: int) -> None:
        """Tell of something that ldirectord accepts too."""
        self._told.append(Notice(reason, line))

    def note_strict(self, reason: str, line: int) -> None:
        """Tell of something that ldirectord refuses, or takes otherwise."""
        lines = self._strict.setdefault(reason, [])
        if line not in lines:
            lines.append(line)

    def dropped(self, text: str, line: int) -> None:
        """Tell of text that neither ldirectord nor this program reads."""
        self.note(f"{shown(text)} says nothing here and is ignored", line)

    def address(self, host: str, family: int, line: int) -> Address:
        """Resolve a host name."""
        try:
            return self.resolver(host, family)
        except (OSError, UnicodeError) as error:
            if found := _RANGE.fullmatch(host):
                cure = f"a range is written {found[1]}->{found[2]}"
                raise self.error(f"{shown(host)} is not a host: {cure}", line) from error
            reason = "not a valid host name"
            if isinstance(error, OSError):
                reason = error.strerror.lower() if error.strerror else str(error)
            raise self.error(
                f"host {shown(host)} has no IPv{family} address ({reason}): write the address", line
            ) from error

    def port(self, text: str, protocol: str, line: int) -> int:
        """Read a port that is a number or a name of /etc/services."""
        if text.isdecimal():
            if len(text) > 10 or int(text) > 65535:
                raise self.error(f"port {shown(text)} is not in 0..65535", line)
            return int(text)
        try:
            return self.service_ports(text, protocol)
        except (OSError, UnicodeError) as error:
            kind = protocol or "tcp or udp"
            raise self.error(
                f"port {text!r} is not in /etc/services for {kind}: write its number", line
            ) from error


_RANGE = re.compile(r"([\d.]+|[\da-fA-F:]+)\s*-\s*([\d.]+|[\da-fA-F:]+)")
"""Written with a dash, where ldirectord wants an arrow."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a virtual service is known by, its port not yet looked up."""

    family: int
    address: Address | None = None
    port: str = "0"
    fwmark: int = 0

    @property
    def is_known(self) -> bool:
        """Say whether it could be read."""
        return self.address is not None or self.fwmark != 0


@dataclass(frozen=True, slots=True)
class Spare:
    """A fallback server; without a port it takes that of the virtual service."""

    address: Address
    port: int | None
    line: int

    def of(self, port: int) -> Fallback:
        """Make it the fallback of a virtual service with that port."""
        return Fallback(self.address, port if self.port is None else self.port, self.line)


@dataclass(slots=True)
class Section:
    """The directives of one virtual service, or the global ones."""

    line: int = 0
    target: Target = Target(4)
    values: dict[str, Value] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    reals: list[Real] = field(default_factory=list)
    spares: dict[int, Spare | None] = field(default_factory=dict)
    """By family; None is one that was left out because it is not reached by ``gate``."""
    failed: set[str] = field(default_factory=set)
    """Directives that are there and could not be read."""

    def put(self, name: str, value: Value, line: int) -> None:
        """Keep a value; the last one of a name counts."""
        self.values[name] = value
        self.lines[name] = line

    def line_of(self, name: str) -> int:
        """Where a directive was written, else where the section begins."""
        return self.lines.get(name, self.line)


@dataclass(slots=True)
class Draft:
    """A whole file."""

    director: Section = field(default_factory=Section)
    shared: Section = field(default_factory=Section)
    virtuals: list[Section] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Scope:
    """Where values are looked up: the virtual service, the global directives, the defaults."""

    own: Section
    shared: Section
    rows: Mapping[str, Directive] = field(default_factory=lambda: BY_NAME)

    def find(self, name: str) -> Value | None:
        """Give a directive's value, whatever its type."""
        for section in (self.own, self.shared):
            if name in section.values:
                return section.values[name]
        return self.rows[name].default

    def number(self, name: str) -> int | None:
        """Give the value of a number directive."""
        value = self.find(name)
        return value if isinstance(value, int) else None

    def count(self, name: str) -> int:
        """Give the value of a number directive that has a default."""
        return self.number(name) or 0

    def flag(self, name: str) -> bool:
        """Give the value of a yes or no directive."""
        return self.find(name) is True

    def text(self, name: str) -> str | None:
        """Give the value of a text directive."""
        value = self.find(name)
        return value if isinstance(value, str) else None

    def string(self, name: str) -> str:
        """Give the value of a text directive that has a default."""
        return self.text(name) or ""

    def words(self, name: str) -> tuple[str, ...]:
        """Give the value of a list directive."""
        value = self.find(name)
        return value if isinstance(value, tuple) else ()


def _with_lines(reason: str, lines: list[int]) -> str:
    """Name the lines, should there be more than one."""
    if len(lines) == 1:
        return reason
    ranges: list[list[int]] = []
    for line in sorted(lines):
        if ranges and line == ranges[-1][-1] + 1:
            ranges[-1] = [ranges[-1][0], line]
        else:
            ranges.append([line])
    told = ", ".join("-".join(map(str, each)) for each in ranges[:_MOST_RANGES])
    more = " and more" if len(ranges) > _MOST_RANGES else ""
    return f"{reason} (lines {told}{more})"


def shown(text: str) -> str:
    """Quote a piece of the file for a message, shortened; a byte that is no UTF-8 is ``\\xNN``."""
    return re.sub(r"\\udc([0-9a-f]{2})", r"\\x\1", repr(short(text)))


def short(text: str) -> str:
    """Cut a piece of the file to what a message has room for."""
    return text if len(text) <= 60 else text[:57] + "..."


def one_of(words: Iterable[str]) -> str:
    """Write ``a, b or c``."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def meant(word: str, words: Iterable[str]) -> str:
    """Write ``; did you mean 'b'?`` where one of the words is near."""
    near = difflib.get_close_matches(word[:60].lower(), list(words), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
