"""Replay: a capture's frames through the director's own core and table. No privileges, no network.

Nothing depends on when or where it runs: the clock is the capture's, and the seed is an argument.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import BinaryIO

from .. import plan
from ..config.model import Config, Real, Virtual
from ..dataplane import Engine, Limits
from ..endpoints import Address
from ..errors import ForwarderError
from ..health import Health
from ..records import EVERYTHING, Filter, Record
from ..table import NOTHING, Counters, Key
from ..vlan import TAG_BYTES
from . import timeline
from .faults import problem
from .macs import look_up
from .summary import ServerCount, Summary
from .timeline import Turn

_BEGAN_NS = 1_000_000 * 10**9
"""On the virtual clock; frames of a moment ago are then no special case."""
_ETHERNET = 14
_BATCH = 4096
"""Frames after which records are taken out of a ring that has room for as many."""
Place = tuple[Key, Address]
"""A real server in its service."""
_NO_MACS: Mapping[Address, bytes] = MappingProxyType({})


class Replay:
    """One capture, decided on once; a context manager that frees the core.

    ``turns`` say when which real server is down; all are up at the beginning. ``mac`` is the
    director's, ``macs`` are real servers'; what is not given is looked up in the capture itself.
    Raises OSError, and ForwarderError for a configuration that the core refuses.
    """

    def __init__(
        self,
        config: Config,
        capture: Path,
        *,
        turns: Sequence[Turn] = (),
        mac: bytes | None = None,
        macs: Mapping[Address, bytes] = _NO_MACS,
        mtu: int = 1500,
        seed: int = 0,
    ) -> None:
        self._config = config
        self._capture = capture
        self._turns = tuple(turns)
        self._turned = 0
        self._director, self._macs = look_up(capture, config, mac=mac, given=macs)
        self._gone: dict[Place, Counters] = {}
        limits = Limits(connections=config.settings.connections)
        self._engine = Engine(limits=limits, now_ns=_BEGAN_NS, seed=seed)
        self._configure(mtu)
        longest = mtu + _ETHERNET + 2 * TAG_BYTES
        self._replayer = self._engine.replayer(began_ns=_BEGAN_NS, longest=longest)

    def __enter__(self) -> Replay:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees the core."""
        self._replayer.close()
        self._engine.close()

    # ---- The table ----

    def _configure(self, mtu: int) -> None:
        settings = self._config.settings
        self._engine.identify(
            mac=self._director.mac, mtu=mtu, vlan=settings.vlan, peers=settings.peers
        )
        self._engine.set_timeouts(
            tcp_s=settings.timeout_tcp_s,
            tcp_fin_s=settings.timeout_tcp_fin_s,
            udp_s=settings.timeout_udp_s,
        )
        self._engine.set_tuning(settings.tuning)
        self._engine.set_marks(self._config.marks)
        self._publish(_BEGAN_NS)

    def _health(self, virtual: Virtual, real: Real) -> Health:
        return timeline.health(self._turns[: self._turned], real)

    def _publish(self, now_ns: int) -> None:
        """As the running director does when a check's result has changed."""
        rows = self._engine.services()
        goal = plan.wanted(self._config, self._health, rows)
        macs = {address: each.mac for address, each in self._macs.items()}
        changes = plan.changes(rows, goal, macs)
        before = dict(self._counted())
        for change, errno in zip(changes, self._engine.apply(changes, now_ns=now_ns), strict=True):
            if errno:
                raise ForwarderError(f"{change.operation.name.lower()} was refused, errno {errno}")
        self._keep_counters(before)

    def _keep_counters(self, before: Mapping[Place, Counters]) -> None:
        """A server that was taken out has none; one that is back may have its old ones again."""
        after = dict(self._counted())
        for place in {**before, **after}:
            got = before.get(place, NOTHING) - after.get(place, NOTHING)
            self._gone[place] = self._gone.get(place, NOTHING) + got

    def _counted(self) -> Iterator[tuple[Place, Counters]]:
        for row in self._engine.services():
            for each in row.servers:
                yield (row.service.key, each.server.address), each.counters

    # ---- The frames ----

    def records(
        self, asked: Filter = EVERYTHING, *, write: BinaryIO | None = None
    ) -> Iterator[Record]:
        """Decides all frames, and gives the records of those that pass the filter.

        ``write`` gets a pcapng file of what is sent, with the explanation as comment.
        """
        trace = self._engine.trace(asked, room=_BATCH)
        epoch_ns = None
        try:
            for _ in self._run(_BATCH, write):
                if epoch_ns is None:
                    epoch_ns = self._replayer.report().began_ns - _BEGAN_NS
                while found := trace.read(epoch_ns=epoch_ns):
                    yield from found
        finally:
            trace.close()

    def run(self, *, write: BinaryIO | None = None) -> Summary:
        """Decides all frames, faster than ``records``, and gives the summary."""
        for _ in self._run(1 << 30, write):
            pass
        return self.summary()

    def _run(self, frames: int, write: BinaryIO | None) -> Iterator[None]:
        due_ns = [_BEGAN_NS + turn.at_ns for turn in self._turns]
        with self._capture.open("rb", buffering=0) as file:
            for at in self._replayer.run(file, until_ns=due_ns, frames=frames, write=write):
                if at is None:
                    yield
                else:
                    self._turned = at + 1
                    self._publish(due_ns[at])

    def summary(self) -> Summary:
        """What has come of it so far."""
        report, stats = self._replayer.report(), self._engine.stats()
        counted = dict(self._gone)
        for place, counters in self._counted():
            counted[place] = counted.get(place, NOTHING) + counters
        return Summary(
            report=report,
            verdicts=stats.verdicts,
            servers=tuple(ServerCount(*place, counters) for place, counters in counted.items()),
            created=stats.created,
            connections=stats.connections,
            director=self._director,
            macs=self._macs,
            turns_left=len(self._turns) - self._turned,
            problem=problem(report),
        )
