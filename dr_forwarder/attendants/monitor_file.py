"""Monitor files: a line for every check of a virtual service that has a `monitorfile`."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import time
from collections.abc import Callable, Iterator

from ..checks import Result, Target, target
from ..config.model import CheckType, Config, Real, Virtual
from ..director import Director
from .background import Background

_log = logging.getLogger(__name__)

_ESCAPED = {"%": "%25", "|": "%7C", "\r": "%0D", "\n": "%0A"}


def stamp(at: time.struct_time) -> str:
    """``Sun Nov 22 14:14:45 2026``, whatever the locale: ldirectord's logs have it so."""
    return time.asctime(at)


def identity(virtual: Virtual, real: Real) -> str:
    """What ldirectord knows the check by, with blanks between: what differs makes another one.

    It writes colons as blanks within an IPv6 address too; we do not.
    """
    what = target(virtual, real)
    check = what.check
    kind = str(check.connects) if check.type is CheckType.COMBINED else check.type.value
    words = [kind]
    if check.type in (CheckType.NEGOTIATE, CheckType.COMBINED):
        words.append(check.service)
    elif check.type in (CheckType.EXTERNAL, CheckType.EXTERNAL_PERL):
        words.append(check.command)
    address = f"[{real.address}]" if real.address.version == 6 else str(real.address)
    words += [what.protocol, address, str(real.port or virtual.port)]
    words += [word for word in (check.virtual_host, check.port and str(check.port)) if word]
    words += [str(real.weight), "gate", check.request, check.receive]
    return " ".join(words).rstrip()


def line(identity: str, result: Result, *, at: time.struct_time, pid: int) -> str:
    """One line, without its end."""
    state = {True: "up", False: "down", None: "not checked"}[result.passed]
    said = "".join(_ESCAPED.get(c, c) for c in result.reason) or "-"
    return f"[{stamp(at)}] [{pid}] {identity} [{state}] {said}"


class _Book:
    """Which checks are written down where, for one configuration."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.entries: dict[Target, list[tuple[str, Virtual, Real]]] = {}
        for virtual in config.virtuals:
            for real in virtual.real if virtual.monitor_file else ():
                entry = (virtual.monitor_file or "", virtual, real)
                self.entries.setdefault(target(virtual, real), []).append(entry)


class _Writer:
    """Appends, and says once what is wrong with a file until that is over."""

    def __init__(self) -> None:
        self._broken: set[str] = set()

    def append(self, path: str, text: str) -> None:
        try:
            with open(path, "a", encoding="utf-8", errors="replace") as file:
                file.write(text + "\n")
        except OSError as error:
            if path not in self._broken:
                _log.error("monitorfile %s: %s; nothing is written", path, error.strerror)
            self._broken.add(path)
        else:
            self._broken.discard(path)


@contextlib.contextmanager
def monitoring(
    director: Director, *, clock: Callable[[], time.struct_time] = time.localtime
) -> Iterator[None]:
    """Writes as long as the context lasts; a file that cannot be written harms nobody."""
    book, writer, background = _Book(director.config), _Writer(), Background("monitorfile")

    def hear(what: Target, result: Result) -> None:
        nonlocal book
        if director.config is not book.config:
            book = _Book(director.config)
        for path, virtual, real in book.entries.get(what, ()):
            seen = result
            if director.watch.maintained(virtual, real):
                seen = Result(False, "Server in maintenance", 0.0)
            text = line(identity(virtual, real), seen, at=clock(), pid=os.getpid())
            background.do(functools.partial(writer.append, path, text))

    deafen = director.watch.listen(hear)
    try:
        yield
    finally:
        deafen()
        background.close(limit_s=2)
