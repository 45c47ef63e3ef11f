"""An event loop that does not turn is noticed, and where it is is said once."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from servers import PATIENCE_S

from dr_forwarder.stalls import Stalls


def stuck_in_the_mud(stalls: Stalls) -> None:
    """Blocks until that is noticed."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not stalls.count and time.monotonic() < deadline_s:
        time.sleep(0.01)


def test_a_loop_that_does_not_turn_is_said_once_with_its_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stalls = Stalls(every_s=0.01, limit_s=0.05)

    async def stall() -> None:
        with stalls.watching():
            stuck_in_the_mud(stalls)
            async with asyncio.timeout(PATIENCE_S):
                while len(caplog.records) < 2:  # noqa: ASYNC110 -- another thread's
                    await asyncio.sleep(0.01)

    asyncio.run(stall())
    first, second = (record.getMessage() for record in caplog.records[:2])
    assert first.startswith("The event loop has not turned for ")
    assert "stuck_in_the_mud (test_stalls.py:" in first
    assert "\n" not in first
    assert second.startswith("The event loop turns again, after ")
    assert stalls.count >= 1


def test_a_loop_that_turns_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    stalls = Stalls(every_s=0.001, limit_s=PATIENCE_S)

    async def turn() -> None:
        with stalls.watching():
            await asyncio.sleep(0.05)

    asyncio.run(turn())
    assert (stalls.count, caplog.records) == (0, [])
    assert "stalls" not in {thread.name for thread in threading.enumerate()}
