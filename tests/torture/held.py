"""Many connections that stay open, at both ends; a program that needs nothing but Python.

    python held.py serve NAME PORT                   says each line back, behind its name
    python held.py hold ADDRESS PORT COUNT PERIOD_S  asks by each connection once a period

The holding end opens its connections, prints ``held``, and then answers each line on its standard
input with a line of JSON, a `Report`.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from dataclasses import asdict, dataclass

SILENT_S = 120.0
"""A connection without an answer for so long counts as broken; TCP itself tries for longer."""
_AT_ONCE = 50
_CONNECT_S = 20.0


async def serve(name: str, port: int) -> None:
    """Answers for ever."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(name.encode() + b" " + line)
        except OSError:
            pass
        writer.close()

    server = await asyncio.start_server(talk, None, port, backlog=4096)
    print("ready", flush=True)
    await server.serve_forever()


@dataclass
class Report:
    """What became of the connections so far."""

    alive: int = 0
    broken: int = 0
    moved: int = 0
    """Answered by another server than before."""
    wrong: int = 0
    """Answers with a byte that is not what was asked."""
    answered: int = 0
    """Questions, of all connections."""
    silent_s: float = 0.0
    """Since when one connection or other has had no answer."""
    slowest_s: float = 0.0
    """The longest time from a question to its answer."""


class Holding:
    """The connections of one client."""

    def __init__(self, address: str, port: int, count: int, period_s: float) -> None:
        self._to = (address, port)
        self._count = count
        self._period_s = period_s
        self._report = Report()
        self._answered_s: dict[int, float] = {}
        self.faults: list[str] = []

    async def run(self) -> None:
        """Opens all of them, then asks until standard input ends."""
        places = asyncio.Semaphore(_AT_ONCE)
        streams = await asyncio.gather(*(self._open(places) for _ in range(self._count)))
        self._report.alive = len(streams)
        print("held", flush=True)
        asking = [
            asyncio.create_task(self._hold(number, *each)) for number, each in enumerate(streams)
        ]
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(asdict(self._now()) | {"faults": self.faults[:5]}), flush=True)
        for each in asking:
            each.cancel()

    async def _open(
        self, places: asyncio.Semaphore
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with places, asyncio.timeout(_CONNECT_S):
            return await asyncio.open_connection(*self._to)

    async def _hold(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await asyncio.sleep(self._period_s * number / self._count)
        server = b""
        try:
            while True:
                now_by = await self._ask(number, reader, writer)
                self._report.moved += bool(server) and now_by != server
                server = now_by
                await asyncio.sleep(self._period_s)
        except (OSError, EOFError) as error:
            self._report.alive -= 1
            self._report.broken += 1
            self._answered_s[number] = float("inf")
            self.faults.append(f"{number}: {error!r}")

    async def _ask(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bytes:
        """The server's name."""
        began_s = time.monotonic()
        question = b"%d of connection %d\n" % (self._report.answered, number)
        writer.write(question)
        async with asyncio.timeout(SILENT_S):
            answer = await reader.readline()
        if not answer:
            raise EOFError("closed by the server")
        self._answered_s[number] = now_s = time.monotonic()
        self._report.answered += 1
        self._report.slowest_s = max(self._report.slowest_s, now_s - began_s)
        name, _, rest = answer.partition(b" ")
        self._report.wrong += rest != question
        return name

    def _now(self) -> Report:
        now_s = time.monotonic()
        last = [self._answered_s.get(number, 0.0) for number in range(self._count)]
        self._report.silent_s = now_s - min(last, default=now_s)
        return self._report


def main(what: str, *arguments: str) -> None:
    """The program."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if what == "serve":
        name, port = arguments
        asyncio.run(serve(name, int(port)))
    else:
        address, port, count, period_s = arguments
        asyncio.run(Holding(address, int(port), int(count), float(period_s)).run())


if __name__ == "__main__":
    main(*sys.argv[1:])
