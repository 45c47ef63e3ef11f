"""A real server that is any kind of server but a good one: on each of its ports, by chance.

    python pretending.py PORT PLAIN TLS SEED

Listens on so many ports from PORT on, for TCP and UDP, and on so many more that speak TLS first.
It is the hostile servers of the tests of checks, a client of which meets another one each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
import sys
import warnings
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from servers import Handler
from test_hostile import ONCE, _Storm, authority, handlers

LONGEST_S = 20.0
"""For which a client that does not go away is kept."""


def by_chance(chance: random.Random) -> Handler:
    """Another one of all for each client."""
    every = [handler for _, handler in handlers()]

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, TimeoutError, ssl.SSLError):
            async with asyncio.timeout(LONGEST_S):
                await chance.choice(every)(reader, writer)
        writer.transport.abort()

    return handle


async def main(first: int, plain: int, tls: int, chance: random.Random) -> None:
    """The program."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)  # of clients that are gone
    logging.disable()
    handler, within = by_chance(chance), authority()
    for port in range(first, first + plain + tls):
        context = within if port >= first + plain else None
        await asyncio.start_server(handler, None, port, ssl=context, backlog=128)
        answer, times = chance.choice([*ONCE.values()]), chance.choice((1, 20))
        make = partial(_Storm, answer, times)
        await loop.create_datagram_endpoint(make, ("0.0.0.0", port))
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    asyncio.run(main(*map(int, sys.argv[1:4]), random.Random(sys.argv[4])))
