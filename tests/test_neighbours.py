"""Neighbours: which MAC address is believed, told as stories and tried on a small network."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dr_forwarder.neighbours import TICK_S, Ask, Neighbour

PATIENT = settings(deadline=None)
"""A busy machine is no fault of the code."""

MACS = {letter: bytes([2, 0, 0, 0, 0, ord(letter)]) for letter in "ABC"}
LETTERS = {mac: letter for letter, mac in MACS.items()}
MARKS = {Ask.NOTHING: "-", Ask.AT_ITS_MAC: "!", Ask.EVERYBODY: "*"}

# Each word is an event, what is asked then, and whose MAC address is believed after it.
# Events: "." half a second has passed, a letter: this MAC address was heard.
# Asked: "-" nothing, "!" the server at its MAC address, "*" everybody.
STORIES = [
    pytest.param(".*0 .-0 .*0 .-0 .*0", id="nobody there: everybody is asked once a second"),
    pytest.param(".*0 A-A .-A .!A A-A .-A", id="the first answer is believed"),
    pytest.param("A-A .!A A-A .-A .!A A-A", id="heard before it was asked"),
    pytest.param(".*0 .-0 A-A .!A", id="the first answer comes late"),
    pytest.param("A-A .!A A-A .-A .!A A-A .-A .!A", id="one that answers is asked once a second"),
    pytest.param("A-A .!A .*A .!A .*A .!A .*A", id="silent: asked at its MAC, then everybody"),
    pytest.param("A-A .!A .*A .!A .*A A-A .!A A-A .-A", id="silent, then back at the same MAC"),
    pytest.param("A-A .!A .*A B-B .!B B-B .-B", id="moved, found by asking everybody"),
    pytest.param("A-A .!A .*A .!A B!A .-A .-B .!B", id="moved, the answer comes late"),
    pytest.param("A-A .!A A-A .-A B!A .-A .-B .!B", id="moved and said so before it was asked"),
    pytest.param("A-A .!A B!A .-A .-B B-B .!B", id="moved and said so while it was asked"),
    pytest.param("A-A .!A A-A B!A .-A .-B .!B", id="moved and said so just after answering"),
    pytest.param("A-A .!A B!A A-A .-A .!A A-A .-A", id="a rival while the known one is asked"),
    pytest.param("A-A .!A A-A .-A B!A A-A .-A .!A", id="a rival while the known one rests"),
    pytest.param("A-A .!A B!A C!A A-A .-A .!A", id="two rivals"),
    pytest.param("A-A .!A A-A .-A B!A .-A A-A .-A .!A", id="a rival, and it answers in the grace"),
    pytest.param("A-A .!A A-A .-A B!A .-A B-A .-B", id="a rival that says so twice gains no grace"),
    pytest.param("A-A .!A B!A C!A .-A .-C .!C", id="moved twice: the last one heard is believed"),
    pytest.param("A-A .!A .*A B-B A!B B-B .-B", id="missed once, the other was faster"),
    pytest.param("A-A .!A .*A A-A B!A A-A .-A", id="missed once, but faster than the other"),
]


def believed(neighbour: Neighbour) -> str:
    return "0" if neighbour.mac is None else LETTERS[neighbour.mac]


def told(story: str) -> tuple[Neighbour, str]:
    """Plays the events of a story; returns the end and what really happened."""
    neighbour, words = Neighbour(), []
    for word in story.split():
        event = word[0]
        neighbour, ask = neighbour.tick() if event == "." else neighbour.heard(MACS[event])
        words.append(f"{event}{MARKS[ask]}{believed(neighbour)}")
    return neighbour, " ".join(words)


@pytest.mark.parametrize("story", STORIES)
def test_a_story(story: str) -> None:
    assert told(story)[1] == story


def test_half_a_second_is_what_a_server_has_to_answer() -> None:
    assert TICK_S == 0.5


def test_a_rival_is_not_believed_before_the_known_one_could_answer() -> None:
    story = "A-A .!A A-A .-A B!A"
    assert told(story)[1] == story
    neighbour, _ = told(story + " .")
    assert believed(neighbour) == "A"


# ---- Duplicates are named ----

DUPLICATES = [
    pytest.param("A . A . B A .", "B", id="the known one still answers"),
    pytest.param("A . B A .", "B", id="it was being asked just then"),
    pytest.param("A . A . B C A .", "C", id="the last of two"),
    pytest.param("A . A . B A", None, id="not before the half second is over"),
    pytest.param("A . A . B .", None, id="not a server that has moved"),
    pytest.param("A . A . A .", None, id="not a server that says so twice"),
    pytest.param("A . A . B A . . A .", None, id="not when nobody else speaks any more"),
    pytest.param("A . . B A B .", "A", id="the known one missed a question and lost"),
]


@pytest.mark.parametrize(("story", "named"), DUPLICATES)
def test_a_duplicate_is_named(story: str, named: str | None) -> None:
    neighbour, _ = told(story)
    assert neighbour.duplicate == (MACS[named] if named else None)


# ---- On a network ----


class Network:
    """Who answers what, at once; the prober's part is to ask what it is told to."""

    def __init__(self, *answering: str) -> None:
        self.neighbour = Neighbour()
        self.answering = answering

    def tick(self) -> None:
        self._follow(self.neighbour.tick())

    def say(self, letter: str) -> None:
        self._follow(self.neighbour.heard(MACS[letter]))

    def _follow(self, step: tuple[Neighbour, Ask]) -> None:
        self.neighbour, ask = step
        for letter in self.answering:
            at_it = ask is Ask.AT_ITS_MAC and self.neighbour.mac == MACS[letter]
            if ask is Ask.EVERYBODY or at_it:
                self.say(letter)


PHASES = st.integers(0, 6)


@PATIENT
@given(PHASES, st.booleans(), st.booleans())
def test_a_moved_mac_is_followed_within_four_ticks(
    phase: int, spoke: bool, announced: bool
) -> None:
    network = Network("A")
    network.tick()
    for _ in range(phase):
        network.tick()
    if spoke:
        network.say("A")
    assert believed(network.neighbour) == "A"
    network.answering = ("B",)
    if announced:
        network.say("B")
    for _ in range(4):
        network.tick()
    assert believed(network.neighbour) == "B"


@PATIENT
@given(PHASES, st.integers(1, 9), st.booleans())
def test_a_server_that_was_silent_and_moved_is_followed_too(
    phase: int, silence: int, announced: bool
) -> None:
    network = Network("A")
    for _ in range(1 + phase):
        network.tick()
    network.answering = ()
    for _ in range(silence):
        network.tick()
    assert believed(network.neighbour) == "A"
    network.answering = ("B",)
    if announced:
        network.say("B")
    for _ in range(4):
        network.tick()
    assert believed(network.neighbour) == "B"


EVENTS = st.lists(st.sampled_from([".", ".", "B", "C"]), max_size=30)


@PATIENT
@given(EVENTS)
def test_a_known_server_that_answers_is_never_given_up(events: list[str]) -> None:
    network = Network("A", "B", "C")
    network.tick()
    for event in events:
        network.tick() if event == "." else network.say(event)
        assert believed(network.neighbour) == "A"


@PATIENT
@given(st.lists(st.sampled_from(["B", "C", "BC", "CB", ""]), max_size=8))
@example(["B", "C", "B", "C"])
def test_a_server_that_has_gone_is_given_up_however_many_claim_its_address(
    claims: list[str],
) -> None:
    network = Network("A")
    network.tick()
    network.answering = ()
    network.say("B")
    for claim in claims:
        for letter in claim:
            network.say(letter)
        network.tick()
    if len(claims) >= 4:
        assert believed(network.neighbour) != "A"


@PATIENT
@given(EVENTS)
def test_a_rival_is_named_at_the_next_tick(events: list[str]) -> None:
    network = Network("A", "B", "C")
    network.tick()
    for event in events:
        network.tick() if event == "." else network.say(event)
    network.say("B")
    network.tick()
    assert network.neighbour.duplicate == MACS["B"]


@PATIENT
@given(st.lists(st.sampled_from([".", "A", "B", "C"]), max_size=40))
def test_whatever_happens_a_known_mac_is_never_forgotten(events: list[str]) -> None:
    neighbour = Neighbour()
    for event in events:
        known = neighbour.mac
        neighbour, ask = neighbour.tick() if event == "." else neighbour.heard(MACS[event])
        assert known is None or neighbour.mac is not None
        assert ask is not Ask.AT_ITS_MAC or neighbour.mac is not None
        assert neighbour.duplicate is None or neighbour.duplicate != neighbour.mac


@PATIENT
@given(st.lists(st.sampled_from([".", "A", "B", "C"]), max_size=20))
def test_somebody_is_asked_at_least_once_a_second(events: list[str]) -> None:
    """Or, while a rival's claim is looked at, half a second later."""
    neighbour = Neighbour()
    for event in events:
        neighbour, _ = neighbour.tick() if event == "." else neighbour.heard(MACS[event])
    asked = []
    for _ in range(3 if neighbour.rival else 2):
        neighbour, ask = neighbour.tick()
        asked.append(ask)
    assert set(asked) != {Ask.NOTHING}
