"""Timeline: when which real server goes down and up, as a file says it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from ..config.model import Config, ConfigError, Real
from ..endpoints import Address, bracketed, endpoint
from ..health import Health

_LINE = re.compile(
    r"(?P<at>\d+(\.\d{1,9})?)\s+(\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<v4>[0-9.]+)|(?P<bare>[0-9a-fA-F:]+))"
    r"(?::(?P<port>\d{1,5}))?\s+(?P<word>up|down)"
)
_SECOND_NS = 10**9


@dataclass(frozen=True, slots=True)
class Turn:
    """A real server goes down, or comes up again."""

    at_ns: int
    """After the first frame."""
    address: Address
    port: int | None
    """As the configuration has it; None: whatever its port."""
    up: bool

    @property
    def name(self) -> str:
        """``10.10.10.62:80``."""
        return bracketed(self.address) if self.port is None else endpoint(self.address, self.port)


def parse(text: str, config: Config, *, file: str = "events") -> tuple[Turn, ...]:
    """Reads lines like ``3.2 10.10.10.62:80 down``: seconds after the first frame, a real server of
    the configuration, up or down; ``#`` begins a comment. Returns them by time.

    Raises ConfigError.
    """
    turns = list(_turns(text, file))
    known = {(real.address, port) for real in _reals(config) for port in (real.port, None)}
    for line, turn in turns:
        if (turn.address, turn.port) not in known:
            names = {endpoint(real.address, real.port) for real in _reals(config)}
            there = ", ".join(sorted(names))
            raise ConfigError(
                f"{turn.name} is no real server of {config.path}; there are {there}",
                file=file,
                line=line,
            )
    return tuple(sorted((turn for _, turn in turns), key=lambda turn: turn.at_ns))


def _reals(config: Config) -> Iterator[Real]:
    return (real for virtual in config.virtuals for real in virtual.real)


def _turns(text: str, file: str) -> Iterator[tuple[int, Turn]]:
    for number, line in enumerate(text.splitlines(), start=1):
        said = line.partition("#")[0].strip()
        if not said:
            continue
        try:
            yield number, _turn(said)
        except ValueError:
            raise ConfigError(
                f"{said[:60]!r}: must be like: 3.2 10.10.10.62:80 down", file=file, line=number
            ) from None


def _turn(said: str) -> Turn:
    found = _LINE.fullmatch(said)
    if found is None:
        raise ValueError(said)
    seconds, _, fraction = found["at"].partition(".")
    port = None if found["port"] is None else int(found["port"])
    return Turn(
        at_ns=int(seconds) * _SECOND_NS + int(fraction.ljust(9, "0")),
        address=ip_address(found["v6"] or found["v4"] or found["bare"]),
        port=port,
        up=found["word"] == "up",
    )


def health(turns: Sequence[Turn], real: Real) -> Health:
    """What a real server's health is after these: up, unless the last of its turns says no."""
    last = [t for t in turns if t.address == real.address and t.port in (None, real.port)][-1:]
    if not last:
        return Health(up=True, reason="up from the beginning")
    return Health(up=last[0].up, reason=f"the time line says so at {last[0].at_ns / _SECOND_NS} s")
