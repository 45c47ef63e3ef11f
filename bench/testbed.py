"""Testbed: two namespaces and a veth pair, a generator on one end and a forwarder on the other.

Each of the two gets a CPU of its own. It is gone when its ``with`` block ends, however it ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from types import TracebackType

from pyroute2 import IPRoute

from bench.director import MAC, filtered_sockets
from bench.programs import ROOT, compile_programs
from dr_forwarder.dataplane import Engine
from dr_forwarder.lab.links import statistics
from dr_forwarder.lab.namespace import Namespace

FORWARDERS = ("director", "ring", "recvmmsg", "recv-send")

_SENDER, _RECEIVER = "bench0", "bench1"
_FLOWS = 1000
_LIMIT_S = 30
_CROWD = 2
_SPIN = f"import time\nuntil = time.monotonic() + {_LIMIT_S}\nwhile time.monotonic() < until: pass"
_DRAIN_S = 0.1
_STRAY_FRAMES = 64
"""What a namespace says on its own (MLD, router solicitations), and a baseline forwards."""


class BenchError(Exception):
    """The benchmark cannot be run, or measured something that cannot be."""


@dataclass(frozen=True, slots=True)
class Flood:
    """What the generator did, and what came back to it in the same time."""

    sent: int
    returned: int
    seconds: float
    rate: float
    """Frames sent, a second."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a forwarder did, and the time that its thread used for it."""

    forwarded: int
    cpu_ns: int
    user_ns: int
    system_ns: int


class Forwarder:
    """A forwarder that runs; `stop` says what it did."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise BenchError(f"{process.args!r} did not start")

    def cpu_ns(self) -> int:
        """CPU time of all its threads so far."""
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks)

    def stop(self) -> Work:
        """End it."""
        self._process.terminate()
        said, _ = self._process.communicate(timeout=_LIMIT_S)
        return Work(**json.loads(said))


class Testbed:
    """The two ends, and what can be done on them; a context manager."""

    __test__ = False  # for pytest, to which the name looks like a test's

    def __init__(self, programs: Path) -> None:
        cpus = sorted(os.sched_getaffinity(0))
        if len(cpus) < 2:
            raise BenchError("needs two CPUs: one to send, one to forward")
        self.generator_cpu, self.forwarder_cpu = cpus[:2]
        self._programs = programs
        compile_programs(programs)
        with ExitStack() as stack:
            self._outside = stack.enter_context(Namespace("generator"))
            self._inside = stack.enter_context(Namespace("forwarder"))
            self._outside.run(_add_cable, self._inside.fd)
            self._inside.run(_bring_up, _RECEIVER)
            self._open = stack.pop_all()

    @contextmanager
    def crowd(self) -> Iterator[None]:
        """Others on the forwarder's CPU, so that frames always wait for it."""
        others = [self._inside.popen([sys.executable, "-c", _SPIN]) for _ in range(_CROWD)]
        try:
            for other in others:
                os.sched_setaffinity(other.pid, {self.forwarder_cpu})
            yield
        finally:
            for other in others:
                other.kill()
                other.wait()

    @contextmanager
    def forwarder(self, name: str) -> Iterator[Forwarder]:
        """Run one of `FORWARDERS`."""
        argv = self._command(name)
        with ExitStack() as stack:
            descriptors: list[int] = []
            if name == "ring":
                sockets = stack.enter_context(closing(self._inside.run(filtered_sockets)))
                descriptors = [s.fileno() for s in (sockets.small, sockets.large, sockets.send)]
                argv += [str(number) for number in (*descriptors, *_geometry())]
            process = self._inside.popen(argv, stdout=PIPE, cwd=ROOT, pass_fds=descriptors)
        try:
            yield Forwarder(process)
        finally:
            process.terminate()
            process.communicate(timeout=_LIMIT_S)

    def flood(self, seconds: float) -> Flood:
        """Send as much as one CPU can."""
        said = self._generator("generate", _FLOWS, self.generator_cpu, seconds)
        return Flood(**json.loads(said))

    def probe(self, count: int, pause_us: int) -> list[int]:
        """Send single frames; the nanoseconds until each came back, the shortest first."""
        said = self._generator("probe", self.generator_cpu, count, pause_us)
        return sorted(int(line) for line in said.split())

    def measure(self, name: str, seconds: float, *, crowded: bool) -> tuple[Flood, Work]:
        """A forwarder under as many frames as there can be."""
        before = self._returned()
        with self.forwarder(name) as forwarder:
            with self.crowd() if crowded else nullcontext():
                flood = self.flood(seconds)
            time.sleep(_DRAIN_S)
            work = forwarder.stop()
        returned = self._returned() - before
        if abs(returned - work.forwarded) > _STRAY_FRAMES:
            raise BenchError(f"{name} counted {work.forwarded} frames, {returned} came back")
        return flood, work

    def close(self) -> None:
        """End what runs, and the namespaces."""
        self._open.close()

    def __enter__(self) -> Testbed:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _command(self, name: str) -> list[str]:
        where = [_RECEIVER, str(self.forwarder_cpu), str(_LIMIT_S)]
        if name == "director":
            return [sys.executable, "-m", "bench.director", *where]
        return [str(self._programs / "baselines"), name, *where]

    def _generator(self, program: str, *numbers: float) -> str:
        argv = [str(self._programs / program), _SENDER, MAC.hex(":"), *map(str, numbers)]
        process = self._outside.popen(argv, stdout=PIPE)
        said, _ = process.communicate(timeout=_LIMIT_S)
        if process.returncode != 0:
            raise BenchError(f"{program} ended with status {process.returncode}")
        return said

    def _returned(self) -> int:
        return statistics(self._outside, _SENDER)["rx_packets"]


def _geometry() -> tuple[int, ...]:
    """The director's own: the bare ring shall differ in nothing but the decision."""
    defaults = Engine.open_ring.__kwdefaults__ or {}
    return tuple(defaults[k] for k in ("slot_bytes", "small_slots", "large_slots", "send_slots"))


def _add_cable(other_end: int) -> None:
    peer = {"ifname": _RECEIVER, "net_ns_fd": other_end}
    with IPRoute() as netlink:
        netlink.link("add", ifname=_SENDER, kind="veth", peer=peer)
    _bring_up(_SENDER)


def _bring_up(interface: str) -> None:
    with IPRoute() as netlink:
        netlink.link("set", index=netlink.link_lookup(ifname=interface)[0], state="up")
