"""How long dr-ipvsadm takes: to start, and to list ten thousand servers.

    python -m bench.commands [--rounds 21] [--command dr-ipvsadm]

Run it where the package is installed as users install it (``pip install .``): an editable one is
slower. The core is in memory, in a process of its own; what is measured is the command, from its
start to its end, waiting for the director included.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from tempfile import TemporaryDirectory

from dr_forwarder.api import serving
from dr_forwarder.dataplane import Engine, Limits
from dr_forwarder.location import STATE_DIR_VARIABLE
from dr_forwarder.table import Change, Key, Operation, Server, Service, ServiceRow

_SERVICES = 100
_ROOM = Limits(services=256, servers=16384, connections=1024)


class Director:
    """A core without an interface."""

    ready = True

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def services(self) -> tuple[ServiceRow, ...]:
        """The table."""
        return self._engine.services()


def _fill(engine: Engine, servers: int) -> None:
    changes = []
    for number in range(_SERVICES):
        service = Service(Key("tcp", IPv4Address("10.1.0.1") + number, 80))
        changes.append(Change(Operation.ADD_SERVICE, service))
        first = IPv4Address("10.2.0.1") + number * servers // _SERVICES
        changes += (
            Change(Operation.ADD_SERVER, service, Server(first + i, 80, i % 10))
            for i in range(servers // _SERVICES)
        )
    assert not any(engine.apply(changes))


def _serve(directory: str, servers: int) -> None:
    async def serve() -> None:
        with Engine(limits=_ROOM) as engine:
            _fill(engine, servers)
            async with serving(Director(engine), Path(directory)):  # type: ignore[arg-type]
                await asyncio.Event().wait()

    asyncio.run(serve())


@contextmanager
def _director(servers: int) -> Iterator[str]:
    """Its state directory."""
    with TemporaryDirectory() as directory:
        process = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(directory, servers)
        )
        process.start()
        try:
            while not Path(directory, "control").exists():
                time.sleep(0.05)
            yield directory
        finally:
            process.terminate()
            process.join()


def _measured(command: Sequence[str], rounds: int) -> tuple[list[float], list[float]]:
    """Seconds on the wall, and of processor time, each in order of size."""
    walls, cpus = [], []
    for _ in range(rounds):
        before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        walls.append(time.perf_counter() - began_s)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return sorted(walls), sorted(cpus)


def _line(what: str, command: Sequence[str], rounds: int) -> str:
    walls, cpus = (
        f"least {times[0] * 1e3:6.1f}, median {statistics.median(times) * 1e3:6.1f}"
        for times in _measured(command, rounds)
    )
    return f"{what:<34} ms: {walls}; of processor time {cpus}"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--command", default=shutil.which("dr-ipvsadm", path=_beside_python()))
    options = parser.parse_args()
    print(_line("python -c pass, to compare", [sys.executable, "-c", "pass"], options.rounds))
    for what, servers in (("an empty table", 0), ("10,000 servers of 100 services", 10_000)):
        with _director(servers) as directory:
            os.environ[STATE_DIR_VARIABLE] = directory
            print(_line(what, [options.command, "-Ln"], options.rounds))


def _beside_python() -> str:
    return os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))


if __name__ == "__main__":
    main()
