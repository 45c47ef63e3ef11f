"""Command lines of the recordings: the product's ipvsadm, and what little shell they use."""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address

from dr_forwarder.endpoints import Address
from dr_forwarder.ipvsadm import command, listing, proc
from dr_forwarder.ipvsadm.names import written
from dr_forwarder.ipvsadm.options import REFUSED, UsageError
from dr_forwarder.ipvsadm.parse import parse
from dr_forwarder.ipvsadm.values import Names

from .deviations import ENGINES, OTHER_METHODS
from .world import World


@dataclass(frozen=True, slots=True)
class Printed:
    """What a command line did: exit status and the lines it printed."""

    status: int = 0
    out: tuple[str, ...] = ()
    error: tuple[str, ...] = ()


class RecordedNames:
    """Hosts as in the recording's /etc/hosts; ports as in anybody's /etc/services."""

    def __init__(self, hosts: Iterable[str] = ()) -> None:
        pairs = [line.split()[:2] for line in hosts if line]
        self._names = {ip_address(address): name for address, name in pairs}
        self._addresses = {name: address for address, name in self._names.items()}

    def host(self, address: Address) -> str | None:
        return self._names.get(address)

    def port(self, number: int, protocol: str) -> str | None:
        try:
            return socket.getservbyport(number, protocol)
        except OSError:
            return None

    def address(self, text: str) -> IPv4Address | None:
        named = self._addresses.get(text)
        return named if isinstance(named, IPv4Address) else written(text)

    def number(self, port: str, protocol: str) -> int | None:
        try:
            return socket.getservbyname(port, protocol)
        except OSError:
            return None


class Shell:
    """Runs lines against the world; remembers files and the last exit status."""

    def __init__(self, world: World, names: Names) -> None:
        self._world = world
        self._names = names
        self._files: dict[str, str] = {}
        self._status = 0
        self.refused_wrongly: list[str] = []
        """Command lines that the product should have refused and did not."""
        self._ports: dict[str, str] = {}
        """Of servers with a port of their own: as the kernel shows it, and as we do."""

    def run(self, line: str, given: str = "") -> Printed:
        """All of a line; raises LookupError for what is not understood."""
        out, error = "", ""
        for part in line.split(";"):
            for each in part.split("&&"):
                done = self._one(each.strip(), given)
                self._status = done.status
                out += done.printed
                error += done.error
                if done.status:
                    break
        return Printed(self._status, tuple(out.splitlines()), tuple(error.splitlines()))

    def _one(self, text: str, given: str) -> command.Outcome:
        text, _, target = (word.strip() for word in text.partition(" > "))
        text, _, source = (word.strip() for word in text.partition(" < "))
        done = self._do(text, self._files[source] if source else given)
        if target:
            self._files[target] = done.printed
            return command.Outcome(done.status, "", done.error)
        return done

    def _do(self, text: str, given: str) -> command.Outcome:
        if text == "ls /proc/net | grep ip_vs":
            return command.Outcome(out="".join(f"{name}\n" for name in sorted(proc.FILES)))
        words = shlex.split(text)
        match words:
            case ["ipvsadm", *rest]:
                return self._ipvsadm(rest, given)
            case ["echo", *rest]:
                return command.Outcome(out=" ".join(rest).replace("$?", str(self._status)) + "\n")
            case ["cmp", one, other]:
                return command.Outcome(int(self._files[one] != self._files[other]))
            case ["cat", path]:
                return command.Outcome(out=self._proc(path))
            case ["head", count, path]:
                lines = self._proc(path).splitlines(keepends=True)
                return command.Outcome(out="".join(lines[: -int(count)]))
        raise LookupError(text)

    def _proc(self, path: str) -> str:
        found = re.fullmatch(r"/proc/net/(ip_vs\w*)", path)
        if found is None:
            raise LookupError(path)
        return proc.text(found[1], self._world)

    # ---- ipvsadm ----

    def _ipvsadm(self, words: list[str], given: str) -> command.Outcome:
        lines = given.splitlines() if words in (["-R"], ["--restore"]) else ()
        if any(_is_refused(line.split()) for line in lines):
            return self._restore(lines)
        if _is_refused(words):
            return self._instead(words)
        return command.run(words, self._world, self._names, given=lambda: given)

    def _restore(self, lines: Iterable[str]) -> command.Outcome:
        for line in lines:
            self._ipvsadm(line.split(), "")
        return command.Outcome()

    def _instead(self, words: list[str]) -> command.Outcome:
        """The product refuses; then it is done in the core, so that the rest can be compared."""
        refused = command.run(words, self._world, self._names)
        try:
            meant = parse(words, self._names)
        except UsageError:
            return refused
        if refused.status != REFUSED or not refused.error:
            self.refused_wrongly.append(" ".join(words))
        if meant.server is not None and meant.service is not None:
            server, key = meant.server, meant.service.key
            for name_of in (listing.numeric, listing.named(self._names)):
                theirs = name_of(server.address, server.port, key.protocol)
                self._ports[theirs] = name_of(server.address, key.port, key.protocol)
        return command.Outcome(0 if self._world.do(meant) == 0 else REFUSED)

    @property
    def has_other_methods(self) -> bool:
        """Whether there is a server that the product would not have: it cannot be restored."""
        return bool(self._ports)

    def with_own_port(self, line: str) -> str:
        """A connection line of the kernel's, with the service's port at such a server."""
        head, _, server = line.rpartition(" ")
        return f"{head} {self._ports.get(server, server)}"


def _is_refused(words: list[str]) -> bool:
    engine = words[words.index("--pe") + 1 :][:1] if "--pe" in words else []
    return bool(OTHER_METHODS.intersection(words) or ENGINES.intersection(engine))
