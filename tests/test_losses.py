"""Frames that found no room: told at once, then once a minute with their number, and at the end."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from dr_forwarder import event_log
from dr_forwarder.attendants import losses_watch
from dr_forwarder.border import VERDICTS
from dr_forwarder.config.model import Config
from dr_forwarder.director import Director
from dr_forwarder.events import FramesLost, FramesLostNoMore, Happening, Phase, Room
from dr_forwarder.losses import Losses
from dr_forwarder.table import Counters, Stats

NONE = Stats(
    frames=0,
    bytes=0,
    verdicts=dict.fromkeys(VERDICTS, 0),
    created=0,
    expired=0,
    connections=8,
    services=0,
    servers=0,
    ring_dropped=0,
    counters=Counters(0, 0, 0),
    rates=Counters(0, 0, 0),
    workers=(),
)
FULL = "8 of 8 connections"


def counted(*, table: int = 0, ring: int = 0) -> Stats:
    return replace(NONE, verdicts={**NONE.verdicts, "table_full": table}, ring_dropped=ring)


def test_a_flood_is_told_at_once_then_once_a_minute_and_when_it_is_over() -> None:
    losses, told = Losses(8), {}
    for second in range(400):
        if events := losses.look(counted(table=7 + 3 * min(second, 150)), float(second)):
            told[second] = events
    assert told == {
        1: [FramesLost(Room.TABLE, 3, 0.0, FULL)],
        61: [FramesLost(Room.TABLE, 180, 60.0, FULL)],
        121: [FramesLost(Room.TABLE, 180, 60.0, FULL)],
        181: [FramesLost(Room.TABLE, 87, 60.0, FULL)],
        210: [FramesLostNoMore(Room.TABLE, 450)],
    }


def test_the_ring_is_told_by_itself() -> None:
    losses = Losses(8)
    assert losses.look(counted(ring=5), 0.0) == []
    assert losses.look(counted(ring=6), 1.0) == [FramesLost(Room.RING, 1, 0.0)]
    assert losses.look(counted(ring=6, table=1), 2.0) == [FramesLost(Room.TABLE, 1, 0.0, FULL)]
    assert losses.look(counted(ring=6, table=1), 61.0) == [FramesLostNoMore(Room.RING, 1)]


def test_a_flood_that_displaces_is_told_with_what_it_displaced() -> None:
    losses = Losses(8)
    losses.look(counted(), 0.0)
    flooded = replace(counted(), displaced=40, unproved=4, connections=6)
    (event,) = losses.look(flooded, 1.0)
    assert event == FramesLost(Room.UNPROVED, 40, 0.0, "4 of 6 connections are unproved")
    line = event_log.text(Happening(1, 0.0, Phase.RUNNING, event))
    assert line is not None
    assert (
        "40 connections displaced, 4 of 6 connections are unproved; it looks like a flood" in line
    )


def test_a_loss_now_and_then_is_one_episode_with_few_events() -> None:
    losses = Losses(8)
    losses.look(counted(), 0.0)
    told = [losses.look(counted(ring=second // 30), float(second)) for second in range(3600)]
    assert sum(map(len, told)) <= 61
    assert sum(event.frames for events in told for event in events) == 119


def test_another_flood_after_the_end_is_told_at_once_again() -> None:
    losses = Losses(8)
    for second, table in ((0, 0), (1, 1), (61, 1)):
        losses.look(counted(table=table), float(second))
    assert losses.look(counted(table=3), 62.0) == [FramesLost(Room.TABLE, 2, 0.0, FULL)]


def test_what_an_earlier_process_lost_is_not_told() -> None:
    assert Losses(8).look(counted(table=1000, ring=1000), 0.0) == []


def test_a_director_s_counters_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter(range(1_000_000))
    director = Director(Config("a.cf"))
    monkeypatch.setattr(director, "stats", lambda: counted(table=next(looks)))
    monkeypatch.setattr(losses_watch, "_TICK_S", 0.0)
    heard = asyncio.Event()

    async def scenario() -> None:
        director.events.listen(lambda _: heard.set())
        async with losses_watch.watching(director):
            await asyncio.wait_for(heard.wait(), 30)

    asyncio.run(scenario())
    (happening,) = director.events.history()
    assert happening.kind == "frames_lost"
