"""Stream: as many bytes as TCP carries, for a while.

python -m dr_forwarder.bench.stream sink PORT
python -m dr_forwarder.bench.stream send ADDRESS PORT SECONDS CPU...
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time

_BLOCK_BYTES = 256 * 1024
_CONNECT_LIMIT_S = 10.0


def _sink(port: int) -> None:
    """Takes whatever comes, from any number of clients, and says at its end how much it was."""
    with socket.create_server(("", port)) as listening:
        print("ready", flush=True)
        while True:
            threading.Thread(target=_take, args=(listening.accept()[0],), daemon=True).start()


def _take(connection: socket.socket) -> None:
    buffer = bytearray(_BLOCK_BYTES * 4)
    taken = 0
    with connection:
        while count := connection.recv_into(buffer):
            taken += count
        connection.sendall(taken.to_bytes(8, "big"))


def _connected(address: str, port: int) -> socket.socket:
    """The director may have to find its servers first."""
    until_s = time.monotonic() + _CONNECT_LIMIT_S
    while True:
        try:
            return socket.create_connection((address, port), timeout=1.0)
        except OSError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.05)


def _send(address: str, port: int, seconds: float) -> None:
    """Says how many bytes arrived, and in what time; the receiver has counted them."""
    block = bytes(_BLOCK_BYTES)
    with _connected(address, port) as connection:
        connection.settimeout(10.0)
        start_s = time.perf_counter()
        while time.perf_counter() - start_s < seconds:
            connection.sendall(block)
        connection.shutdown(socket.SHUT_WR)
        arrived = int.from_bytes(connection.recv(8, socket.MSG_WAITALL), "big")
        took_s = time.perf_counter() - start_s
    print(json.dumps({"bytes": arrived, "seconds": took_s}))


def main(what: str, *arguments: str) -> None:
    """The program."""
    if what == "sink":
        _sink(int(arguments[0]))
    else:
        address, port, seconds, *cpus = arguments
        os.sched_setaffinity(0, map(int, cpus))
        _send(address, int(port), float(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
