"""Testbed: two namespaces and a veth pair, a generator on one end and a forwarder on the other.

Each of the two gets a CPU of its own. It is gone when its ``with`` block ends, however it ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from types import TracebackType

from pyroute2 import IPRoute
from pyroute2.ethtool.ioctl import IoctlEthtool

from ..lab.links import statistics
from ..lab.namespace import Namespace
from .cpu import Watch, poll_thread
from .errors import BenchError, Unavailable
from .flood import flooding
from .forwarders import FORWARDERS
from .generator import Generator
from .runs import Load, Run, Sent
from .site import DEFAULT, LIMIT_S, Running, Shape, Site, say
from .worker import MAC

_SENDER, _RECEIVER = "bench0", "bench1"
_SETTLE_S, _SETTLE_LIMIT_S = 0.05, 1.0
_SEND_S = 200.0
"""The longest load: a forwarder lives longer."""
_SEGMENTS, _JOINS = "tcp-segmentation-offload", "generic-receive-offload"
_CROWD = 2
_SPIN = f"import time\nuntil = time.monotonic() + {LIMIT_S}\nwhile time.monotonic() < until: pass"


class Testbed:
    """The two ends, and what can be done on them; a context manager."""

    __test__ = False  # for pytest, to which the name looks like a test's

    def __init__(self) -> None:
        cpus = sorted(os.sched_getaffinity(0))
        if len(cpus) < 2:
            raise BenchError("the benchmark needs two CPUs: one to send, one to forward")
        self.generator_cpu, *self.forwarder_cpus = cpus
        with ExitStack() as stack:
            self._outside = stack.enter_context(Namespace("generator"))
            self._inside = stack.enter_context(Namespace("forwarder"))
            self._outside.run(_add_cable, self._inside.fd)
            self._inside.run(_bring_up, _RECEIVER)
            self.unsteered = self.steer(self.forwarder_cpus[:1])
            self._generator = stack.enter_context(
                Generator(self._outside, _SENDER, self.generator_cpu)
            )
            self._open = stack.pop_all()

    def available(self) -> tuple[list[str], dict[str, str]]:
        """Forwarders that start here; and of the others the reason why not."""
        there, missing = [], {}
        for name in FORWARDERS:
            try:
                with self.forwarder(name):
                    there.append(name)
            except Unavailable as error:
                missing[name] = str(error)
        return there, missing

    @contextmanager
    def forwarder(self, name: str, shape: Shape = DEFAULT) -> Iterator[Running]:
        """Run one of `FORWARDERS`."""
        cpus = tuple(self.forwarder_cpus[: shape.cpus])
        with (
            self.steered(cpus),
            FORWARDERS[name][1](Site(self._inside, _RECEIVER, cpus, shape)) as running,
        ):
            yield running

    @contextmanager
    def steered(self, cpus: Sequence[int]) -> Iterator[None]:
        """Have these do the receiving part of the work meanwhile (see `steer`); none: the sender.

        Otherwise it is the first of the forwarder's.
        """
        usual = self.forwarder_cpus[:1]
        if list(cpus) == usual:
            yield
            return
        self.steer(cpus)
        try:
            yield
        finally:
            self.steer(usual)

    def steer(self, cpus: Sequence[int]) -> str:
        """Empty, or why that cannot be had here."""
        return self._arrange("rps", f"{sum(1 << cpu for cpu in cpus):x}")

    def _arrange(self, what: str, value: str) -> str:
        argv = [sys.executable, "-m", "dr_forwarder.bench.steer", _RECEIVER, what, value]
        try:
            say(self._inside, *argv)
        except subprocess.CalledProcessError as error:
            return str(error.stdout).strip() or f"status {error.returncode}"
        return ""

    @contextmanager
    def received_by_thread(self, *, real_time: bool) -> Iterator[None]:
        """Have a thread of the kernel receive on the forwarder's first CPU (threaded NAPI).

        It is an ordinary one, or in ``real_time`` like the kernel's others. Raises Unavailable.
        """
        with self.steered(()), self._polled():
            if refused := self._arrange("threaded", "1"):
                raise Unavailable(refused)
            thread = poll_thread(_RECEIVER)
            os.sched_setaffinity(thread, self.forwarder_cpus[:1])
            if real_time:
                os.sched_setscheduler(thread, os.SCHED_RR, os.sched_param(1))
            yield

    @contextmanager
    def _polled(self) -> Iterator[None]:
        """A veth is polled as a card is, while it joins segments that the other end does not."""
        both = ((self._outside, _SENDER, _SEGMENTS, 0), (self._inside, _RECEIVER, _JOINS, 1))
        for where, interface, what, value in both:
            where.run(_set_offload, interface, what, value)
        try:
            yield
        finally:
            for where, interface, what, value in both:
                where.run(_set_offload, interface, what, 1 - value)

    @contextmanager
    def flooding(self) -> Iterator[Generator]:
        """A generator that sends faster, by copies (see `flood`)."""
        with flooding(self._outside, _SENDER, self.generator_cpu) as generator:
            yield generator

    @contextmanager
    def crowd(self) -> Iterator[None]:
        """Others on the forwarder's first CPU, so that frames always wait for it."""
        with ExitStack() as others:
            for _ in range(_CROWD):
                others.enter_context(self._loop())
            yield

    @contextmanager
    def without_halts(self) -> Iterator[None]:
        """A loop of the lowest priority keeps the forwarder's first CPU from being halted.

        In a virtual machine the way back from a halt leads through the hypervisor.
        """
        with self._loop() as pid:
            os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
            yield

    @contextmanager
    def _loop(self) -> Iterator[int]:
        loop = self._inside.popen([sys.executable, "-c", _SPIN])
        try:
            os.sched_setaffinity(loop.pid, self.forwarder_cpus[:1])
            yield loop.pid
        finally:
            loop.kill()
            loop.wait()

    def send(self, load: Load) -> Sent:
        """Send it, whether somebody forwards or not."""
        if load.seconds > _SEND_S:
            raise BenchError(f"no load is longer than {_SEND_S:g} s")
        return self._generator.send(replace(load, to=MAC))

    def program(self, argv: Sequence[str]) -> str:
        """Run a program where the generator is; what it printed."""
        return say(self._outside, *argv)

    def run(self, running: Running, load: Load) -> Run:
        """Send to a forwarder, and see what it does with it."""
        watch = Watch(running.cpus, running.tasks)
        before = self.returned()
        sent = self.send(load)
        during = self.returned() - before
        usage = watch.stop()
        return Run(sent, self._settled(before + sent.frames) - before, during / sent.seconds, usage)

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

    def _settled(self, awaited: int) -> int:
        """Frames that came back, once there are no more of them: what waited when it stopped."""
        last, now = -1, self.returned()
        until_s = time.monotonic() + _SETTLE_LIMIT_S
        while now < awaited and now != last and time.monotonic() < until_s:
            time.sleep(_SETTLE_S)
            last, now = now, self.returned()
        return now

    def offered(self) -> int:
        """Frames that were to be sent so far, those included that the receiver had no room for."""
        counters = statistics(self._outside, _SENDER)
        return counters["tx_packets"] + counters["tx_dropped"]

    def returned(self) -> int:
        """Frames that came back to the generator so far."""
        return statistics(self._outside, _SENDER)["rx_packets"]


def _add_cable(other_end: int) -> None:
    peer = {"ifname": _RECEIVER, "net_ns_fd": other_end}
    with IPRoute() as netlink:
        netlink.link("add", ifname=_SENDER, kind="veth", peer=peer)
    _bring_up(_SENDER)


def _set_offload(interface: str, what: str, value: int) -> None:
    with closing(IoctlEthtool(interface)) as ethtool:
        ethtool.set_offload_flag(what, value)


def _bring_up(interface: str) -> None:
    with IPRoute() as netlink:
        netlink.link("set", index=netlink.link_lookup(ifname=interface)[0], state="up")
