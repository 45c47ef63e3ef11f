"""Keepalived targets: what a virtual server is known by, alone or as a member of a group. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address

from ..config.model import ConfigError, endpoint
from .keepalived_blocks import Statement
from .model import Report, Value

_NO_MARK = "nothing says what this mark stands for: give the rules that set it (--marks FILE)"


class Targets:
    """Addresses, groups and marks of one file; all methods raise ConfigError."""

    def __init__(
        self, report: Report, file: str, groups: Mapping[str, Statement], marks: frozenset[int]
    ) -> None:
        self._report = report
        self._file = file
        self._groups = groups
        self._marks = marks

    def of(self, statement: Statement) -> Iterator[dict[str, Value]]:
        """What opens the service, or one for each member of a group."""
        match statement.words[1:]:
            case ("fwmark", mark, *_):
                yield self._fwmark(mark, statement)
            case ("group", name, *_) if name in self._groups:
                for member in self._groups[name].block:
                    self._report.same(member.line)
                    yield from self._member(member, statement)
            case ("group", name, *_):
                raise ConfigError(
                    f"there is no virtual_server_group {name}", file=self._file, line=statement.line
                )
            case (address, *port):
                yield self._address(address, port, statement.line)
            case _:
                raise ConfigError(
                    "virtual_server needs an address and a port, fwmark N or group NAME",
                    file=self._file,
                    line=statement.line,
                )

    def _member(self, member: Statement, service: Statement) -> Iterator[dict[str, Value]]:
        if member.keyword == "fwmark":
            yield self._fwmark(member.value, service, line=member.line)
            return
        found = re.fullmatch(r"(.*[.:])([0-9a-fA-F]+)-([0-9a-fA-F]+)", member.keyword)
        if found is None:
            yield self._address(member.keyword, list(member.words[1:]), member.line)
            return
        base = 16 if ":" in found[1] else 10
        for last in range(int(found[2], base), int(found[3], base) + 1):
            written = f"{found[1]}{last:x}" if base == 16 else f"{found[1]}{last}"
            yield self._address(written, list(member.words[1:]), member.line)

    def _fwmark(self, mark: str, service: Statement, line: int = 0) -> dict[str, Value]:
        number = self.number(mark, line or service.line)
        if number not in self._marks:
            self._report.differs(line or service.line, _NO_MARK)
        family = service.find("ip_family")
        # Without it the real servers say it.
        reals = [each.value for each in service.block if each.keyword == "real_server"]
        six = family.value == "inet6" if family else bool(reals) and ":" in reals[0]
        values: dict[str, Value] = {"fwmark": number}
        return {**values, "ipv6": True} if six else values

    def _address(self, address: str, port: Sequence[str], line: int) -> dict[str, Value]:
        number = self.number(port[0], line) if port else 0
        return {"address": self.endpoint(address, number, line)}

    def endpoint(self, address: str, port: int, line: int) -> str:
        """As ipvsadm writes it."""
        try:
            return endpoint(ip_address(address), port)
        except ValueError as error:
            raise ConfigError(
                f"{address!r} is no IP address", file=self._file, line=line
            ) from error

    def number(self, text: str, line: int) -> int:
        """A decimal number."""
        if not text.isdecimal():
            raise ConfigError(f"{text!r} is no number", file=self._file, line=line)
        return int(text)
