"""Runs: what was sent, and what became of it. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """What the generator sends."""

    to: bytes
    """MAC address."""
    flows: int = 1000
    """Alive at a time."""
    first_flow: int = 0
    """The youngest there is; with 0 the first frames open them."""
    new_per_million: int = 0
    """Of a million frames so many open a flow."""
    frame_bytes: int = 60
    """60 to 1514; 0 is a mix (IMIX): 7 of 60, 4 of 590, 1 of 1514."""
    rate: int = 0
    """Frames a second; 0: as many as one CPU can send."""
    frames: int = 0
    """At most; 0: until the time is over."""
    seconds: float = 1.0
    seed: int = 1
    sample_every: int = 0
    """Of so many frames one is waited for; 0: none."""
    samples: int = 200_000
    """At most."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What the generator did."""

    frames: int
    bytes: int
    opened: int
    late: int
    """Frames that were due, and not sent, when the time was over."""
    samples: int
    returned: int
    """Of the samples."""
    seconds: float
    cpu_s: float
    waited_s: float
    """For its CPU, while others had it."""
    latencies_ns: tuple[int, ...]
    """The shortest first."""

    @property
    def rate(self) -> float:
        """Frames a second."""
        return self.frames / self.seconds


@dataclass(frozen=True, slots=True)
class Ticks:
    """What a CPU did so far, in seconds (proc_stat(5))."""

    user: float
    system: float
    softirq: float
    idle: float
    stolen: float

    def __sub__(self, before: Ticks) -> Ticks:
        return Ticks(
            self.user - before.user,
            self.system - before.system,
            self.softirq - before.softirq,
            self.idle - before.idle,
            self.stolen - before.stolen,
        )

    @property
    def total(self) -> float:
        """All of it."""
        return self.user + self.system + self.softirq + self.idle + self.stolen

    @property
    def busy(self) -> float:
        """All but idle and stolen."""
        return self.user + self.system + self.softirq


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one CPU, over a time."""

    ticks: Ticks
    cpu_s: float
    """Of the threads that were watched."""
    kept_s: float
    """Others kept these threads from the CPU for so long, at least."""


@dataclass(frozen=True, slots=True)
class Run:
    """One forwarder under one load."""

    sent: Sent
    returned: int
    """Frames that came back, those included that were waiting when the generator stopped."""
    rate: float
    """Frames that came back while the generator sent, a second."""
    usage: Usage
    """Of the forwarder's CPU, and of the forwarder, meanwhile."""

    @property
    def lost(self) -> float:
        """Share of the frames that did not come back."""
        return max(0.0, 1 - self.returned / self.sent.frames) if self.sent.frames else 0.0
