"""Newcomers: so many honest connections a second; a program that needs nothing but Python.

    python calling.py PER_SECOND PORT ADDRESS [ADDRESS ...]

Prints a line of JSON for each when it is over: when it began on the monotonic clock, how long
until it was open, and what became of it. It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from itertools import cycle

LIMIT_S = 20.0
QUESTION = b"anybody there?\n"


async def call(address: str, port: int) -> None:
    """One newcomer, who asks, is answered, and leaves."""
    began_s = time.monotonic()
    open_s = None
    try:
        async with asyncio.timeout(LIMIT_S):
            reader, writer = await asyncio.open_connection(address, port)
            open_s = time.monotonic() - began_s
            writer.write(QUESTION)
            answer = await reader.readline()
            writer.close()
        outcome = "served" if answer.endswith(QUESTION) else "wrong"
    except TimeoutError:
        outcome = "late"
    except OSError:
        outcome = "refused"
    said = {"began_s": began_s, "open_s": open_s, "outcome": outcome, "to": address}
    print(json.dumps(said), flush=True)


async def call_for_ever(per_second: int, port: int, addresses: tuple[str, ...]) -> None:
    """Evenly spread, each address in turn."""
    calling: set[asyncio.Task[None]] = set()
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    for address in cycle(addresses):
        if ended.done():
            break
        task = asyncio.create_task(call(address, port))
        calling.add(task)
        task.add_done_callback(calling.discard)
        await asyncio.sleep(1 / per_second)
    await asyncio.gather(*calling)


if __name__ == "__main__":
    asyncio.run(call_for_ever(int(sys.argv[1]), int(sys.argv[2]), tuple(sys.argv[3:])))
