"""Session: one run of the benchmark, and the measurements that several sections are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from .judge import contention
from .model import BY_XDP, Value
from .runs import Load, Run
from .site import DEFAULT, Running, Shape
from .testbed import Testbed

FLOWS = 1000
_OPENING_RATE = 100_000
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to look."""

    rounds: int
    run_s: float
    steps: int
    """Of a search."""
    is_short: bool


SHORT = Plan(rounds=3, run_s=0.3, steps=8, is_short=True)
LONG = Plan(rounds=7, run_s=1.0, steps=10, is_short=False)


class Session:
    """What a section gets to work with."""

    def __init__(
        self,
        testbed: Testbed,
        plan: Plan,
        tell: Callable[[str], None],
        *,
        real_time: bool = False,
    ) -> None:
        self.testbed = testbed
        self.plan = plan
        self.tell = tell
        self.real_time = real_time
        """It goes before all other programs."""
        self.no_loss: dict[str, float] = {}
        """Frames a second that each forwarded without loss, of those sections that looked."""

    @cached_property
    def available(self) -> tuple[list[str], dict[str, str]]:
        """Forwarders that start here; and of the others the reason why not."""
        self.tell("which forwarders this host has")
        return self.testbed.available()

    @property
    def names(self) -> list[str]:
        """Forwarders that start here, the director first, and once."""
        return [name for name in self.available[0] if name != BY_XDP]

    @cached_property
    def generator_rate(self) -> float:
        """Frames a second that the generator sends with nobody forwarding."""
        self.tell("the generator alone")
        return max(self.testbed.send(Load(b"", seconds=self.plan.run_s)).rate for _ in range(3))

    def rounds(self, names: Sequence[str], what: str) -> Iterator[tuple[int, str]]:
        """Each forwarder once a round, one after the other; progress is told."""
        for number in range(self.plan.rounds):
            for name in names:
                self.tell(f"{what}: round {number + 1} of {self.plan.rounds}, {name}")
                yield number, name

    @contextmanager
    def opened(self, name: str, *, flows: int = FLOWS, shape: Shape = DEFAULT) -> Iterator[Running]:
        """A forwarder that has met the first packets of its flows."""
        with self.testbed.forwarder(name, shape) as running:
            rate = 0.7 * self.no_loss.get(name, _OPENING_RATE)
            seconds = 1.2 * flows / rate
            self.testbed.send(Load(b"", flows=flows, frames=flows, rate=int(rate), seconds=seconds))
            yield running

    def quiet_run(self, running: Running, load: Callable[[], Load]) -> tuple[Run, str]:
        """A run that others did not disturb, if that can be had; else the last, and what did."""
        disturbance = ""
        for _ in range(_TRIES):
            run = self.testbed.run(running, load())
            disturbance = contention(run)
            if not disturbance:
                break
        return run, disturbance


def of_rounds(names: Sequence[str]) -> dict[str, list[Value]]:
    """Where the values of each forwarder are put."""
    return {name: [] for name in names}
