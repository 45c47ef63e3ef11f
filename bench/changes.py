"""Changes of a running director's table, as fast as asked for, under traffic in the lab.

    python -m bench.changes [--seconds 60] [--rate 10000] [--batch 100]

Weights, a server and a service come and go by the control socket. Beside it, clients ask for pages,
and some keep a connection open over thousands of changes before they finish their request. Reported
are the rates, what became of the connections, and the director's memory.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from tempfile import TemporaryDirectory

from dr_forwarder.client import Client
from dr_forwarder.errors import NotRunning
from dr_forwarder.lab import Lab, acquire_privileges
from dr_forwarder.table import Change, Key, Operation, Server, Service

VIP = IPv4Address("10.10.10.60")
VM2, VM3 = IPv4Address("10.10.10.62"), IPv4Address("10.10.10.63")
WEB, OTHER = Service(Key("tcp", VIP, 80), "wlc"), Service(Key("tcp", VIP, 81), "rr")
_LIMIT_S = 60.0
_SINGLE_S = 5.0
_SLOW_S = 5.0
"""How long a slow client leaves its request unfinished."""

_SLOW_CLIENTS = f"""
import socket, sys, time
good = bad = 0
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    clients = [socket.create_connection(("{VIP}", 80), timeout=10) for _ in range(20)]
    for each in clients: each.sendall(b"GET / HTTP/1.0\\r\\n")
    time.sleep({_SLOW_S})
    for each in clients:
        try:
            each.sendall(b"\\r\\n")
            answer = b""
            while part := each.recv(65536): answer += part
            good += b"200 OK" in answer
            bad += b"200 OK" not in answer
        except OSError:
            bad += 1
        each.close()
print(good, bad)
"""


@dataclass
class Traffic:
    """Clients that ask, one request a connection, until it is ended."""

    lab: Lab
    good: int = 0
    bad: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self._over.is_set():
            answers = [answer.strip() for answer in self.lab.requests(20)]
            good = sum(answer.startswith("This is VM") for answer in answers)
            self.good += good
            self.bad += 20 - good

    def end(self) -> None:
        self._over.set()


def changes(number: int, count: int) -> list[Change]:
    """So many that all succeed, and leave the table as it was but for weights."""
    edits = [
        Change(Operation.EDIT_SERVER, WEB, Server((VM2, VM3)[n % 2], 80, 1 + (number + n) % 5))
        for n in range(count - 3)
    ]
    return [
        *edits,
        Change(Operation.ADD_SERVICE, OTHER),
        Change(Operation.ADD_SERVER, OTHER, Server(VM2, 81)),
        Change(Operation.DELETE_SERVICE, OTHER),
    ]


def resident_kb(pid: int) -> int:
    """A process's memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(x for x in status.splitlines() if x.startswith("VmRSS")).split()[1])


@contextmanager
def director(lab: Lab, directory: Path) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    """One that has been filled over its socket."""
    argv = [sys.executable, "-m", "dr_forwarder", "run", "--interface", "eth0"]
    state_dir = directory / "state"
    process = lab.popen(
        "director", [*argv, "--state-dir", str(state_dir)], stderr=subprocess.DEVNULL
    )
    client = Client(state_dir)
    try:
        began_s = time.monotonic()
        while True:
            try:
                client.apply([Change(Operation.ADD_SERVICE, WEB)])
                break
            except NotRunning:
                if time.monotonic() - began_s > _LIMIT_S:
                    raise
                time.sleep(0.1)
        client.apply([Change(Operation.ADD_SERVER, WEB, Server(a, 80)) for a in (VM2, VM3)])
        while not all(each.mac for row in client.services() for each in row.servers):
            time.sleep(0.1)
        yield process, client
    finally:
        process.terminate()
        process.wait(_LIMIT_S)


def singles_per_s(client: Client) -> float:
    """Changes one by one, each a connection of its own, as a command makes them."""
    count, began_s = 0, time.monotonic()
    while time.monotonic() - began_s < _SINGLE_S:
        client.apply(changes(count, 4)[:1])
        count += 1
    return count / (time.monotonic() - began_s)


def flood(client: Client, pid: int, options: argparse.Namespace) -> Iterator[str]:
    """Changes at this rate, as far as the director keeps up."""
    rate, batch, seconds = options.rate, options.batch, options.seconds
    made = failed = number = 0
    memory: list[int] = []
    began_s = time.monotonic()
    while (now_s := time.monotonic() - began_s) < seconds:
        if made > now_s * rate:
            time.sleep((made - now_s * rate) / rate)
            continue
        results = client.apply(changes(number, batch))
        failed += sum(result != 0 for result in results)
        made += batch
        number += 1
        if now_s >= len(memory) * seconds / 6:
            memory.append(resident_kb(pid))
    lasted_s = time.monotonic() - began_s
    memory.append(resident_kb(pid))
    yield f"{made:,} changes in {lasted_s:.1f} s: {made / lasted_s:,.0f} a second, {failed} refused"
    yield "director's memory, MB: " + " ".join(f"{kb / 1024:.1f}" for kb in memory)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=100)
    options = parser.parse_args()
    acquire_privileges()
    with (
        TemporaryDirectory() as directory,
        Lab() as lab,
        director(lab, Path(directory)) as (process, client),
    ):
        print(f"one by one: {singles_per_s(client):,.0f} changes a second")
        _under_traffic(lab, flood(client, process.pid, options), options.seconds)


def _under_traffic(lab: Lab, flooding: Iterator[str], seconds: float) -> None:
    slow = lab.popen(
        "client", [sys.executable, "-c", _SLOW_CLIENTS, str(seconds)], stdout=subprocess.PIPE
    )
    traffic = Traffic(lab)
    asking = threading.Thread(target=traffic.run)
    asking.start()
    try:
        for line in flooding:
            print(line)
    finally:
        traffic.end()
        asking.join()
    good, bad = slow.communicate(timeout=_LIMIT_S)[0].split()
    print(f"requests meanwhile: {traffic.good} answered, {traffic.bad} not")
    print(f"connections held open over {_SLOW_S:g} s: {good} went on, {bad} broke")


if __name__ == "__main__":
    main()
