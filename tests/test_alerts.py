"""Alerts: which mail is due when, told with a clock that the tests turn."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from dr_forwarder.attendants.alerts import SETTLE_S, START_LIMIT_S, Alerts, Mail
from dr_forwarder.config.model import Alert, Config, Fallback, Real, Virtual
from dr_forwarder.events import Event, Happening, HealthEvent, Phase, ServerEvent, Started, Step
from dr_forwarder.table import Key, Server

VIP, FIRST, SECOND, SPARE = (IPv4Address(f"10.9.0.{last}") for last in (100, 11, 12, 99))
KEY = Key("tcp", VIP, 80)
BOTH = ("a@example.net", "b@example.net")


def config(**alert: object) -> Config:
    to = {"to": BOTH[:1], **alert}
    virtual = Virtual(
        "tcp",
        VIP,
        80,
        (Real(FIRST, 80), Real(SECOND, 80)),
        fallback=Fallback(SPARE, 80),
        service_name="shop",
        comment="call Ann",
        alert=Alert(**to),  # type: ignore[arg-type]
    )
    return Config("a.cf", (virtual,))


class Story:
    """Events in order, and the mails that come of them."""

    def __init__(self, configured: Config, *, started: bool = True) -> None:
        self.alerts = Alerts("director.example.net")
        self.alerts.configure(configured)
        self.now_s = 1000.0
        if started:
            self.all_up()
            self.wait(SETTLE_S)

    def all_up(self) -> None:
        for address in (FIRST, SECOND):
            self.health(address, up=True, phase=Phase.STARTING)
            self.server(Step.ADDED, address, phase=Phase.STARTING)
        self.hear(Started(1), Phase.STARTING)

    def hear(self, event: Event, phase: Phase = Phase.RUNNING) -> None:
        self.alerts.heard(Happening(1, 0.0, phase, event), now_s=self.now_s)

    def health(
        self, address: IPv4Address, *, up: bool, reason: str = "r", phase: Phase = Phase.RUNNING
    ) -> None:
        self.hear(HealthEvent(address, 80, (KEY,), up, reason), phase)

    def server(self, step: Step, address: IPv4Address, *, phase: Phase = Phase.RUNNING) -> None:
        weight = 0 if step in (Step.QUIESCENT, Step.READDED) else 1
        server = Server(address, 80, weight)
        self.hear(ServerEvent(step, KEY, server, fallback=address == SPARE), phase)

    def dies(self, address: IPv4Address, reason: str = "connection refused") -> None:
        self.health(address, up=False, reason=reason)
        self.server(Step.DELETED, address)

    def returns(self, address: IPv4Address) -> None:
        self.health(address, up=True)
        self.server(Step.ADDED, address)

    def wait(self, seconds: float) -> list[Mail]:
        self.now_s += seconds
        return self.alerts.due(now_s=self.now_s)


def test_the_start_is_one_mail() -> None:
    story = Story(config(), started=False)
    story.all_up()
    (mail,) = story.wait(0)
    assert mail.subject == "starting: 2 added"
    assert "Log-Message: [shop] Added real server: 10.9.0.11:80 (10.9.0.100:80)" in mail.body
    assert mail.body.startswith("ldirectord host: director.example.net\n")
    assert "Daemon-Status: starting\n" in mail.body
    assert mail.body.endswith("Service name: shop\nComment: call Ann\n")
    assert story.wait(100) == []


def test_the_mail_of_the_start_waits_for_every_first_result() -> None:
    story = Story(config(), started=False)
    story.health(FIRST, up=True, phase=Phase.STARTING)
    story.server(Step.ADDED, FIRST, phase=Phase.STARTING)
    story.hear(Started(1), Phase.STARTING)
    assert story.wait(10) == []
    story.health(SECOND, up=False, reason="no answer within 5 s")
    (mail,) = story.wait(0)
    assert mail.subject == "starting: 1 added, 1 inaccessible"
    assert "Reason: no answer within 5 s\n" in mail.body


def test_a_result_that_never_comes_does_not_hold_the_mail_back_for_ever() -> None:
    story = Story(config(), started=False)
    story.server(Step.ADDED, FIRST, phase=Phase.STARTING)
    story.hear(Started(1), Phase.STARTING)
    assert story.wait(START_LIMIT_S - 1) == []
    assert len(story.wait(1)) == 1


def test_a_settled_change_is_one_mail_to_each_recipient() -> None:
    story = Story(config(to=BOTH))
    story.dies(FIRST)
    assert story.wait(SETTLE_S / 2) == []
    mails = story.wait(SETTLE_S / 2)
    assert [mail.to for mail in mails] == list(BOTH)
    assert {mail.subject for mail in mails} == {
        "[shop] Deleted real server: 10.9.0.11:80 (10.9.0.100:80)"
    }
    assert "Reason: connection refused\n" in mails[0].body
    assert story.wait(100) == []


def test_a_change_that_is_undone_at_once_is_no_mail() -> None:
    story = Story(config())
    story.dies(FIRST)
    story.wait(SETTLE_S / 2)
    story.returns(FIRST)
    assert story.wait(100) == []


def test_the_fallback_is_mailed_beside_the_last_server() -> None:
    story = Story(config())
    for address in (FIRST, SECOND):
        story.dies(address)
    story.server(Step.ADDED, SPARE)
    subjects = [mail.subject for mail in story.wait(SETTLE_S)]
    assert len(subjects) == 3
    assert "[shop] Added fallback server: 10.9.0.99:80 (10.9.0.100:80) (Weight set to 1)" in (
        subjects
    )


def test_reminders_come_until_the_server_is_back_and_never_for_the_fallback() -> None:
    story = Story(config(frequency_s=60))
    story.dies(FIRST)
    story.server(Step.DELETED, SPARE)
    story.wait(SETTLE_S)
    for _ in range(2):
        (mail,) = story.wait(60)
        assert mail.subject == "[shop] Inaccessible real server: 10.9.0.11:80 (10.9.0.100:80)"
    story.returns(FIRST)
    story.wait(SETTLE_S)
    assert story.wait(600) == []


STATUSES = [
    pytest.param({"running"}, [], 1, id="running only: no mail at the start"),
    pytest.param({"starting"}, [""], 0, id="starting only"),
    pytest.param({"none"}, [], 0, id="none"),
    pytest.param({"all"}, [""], 1, id="all"),
]


@pytest.mark.parametrize(("status", "start", "later"), STATUSES)
def test_emailalertstatus_chooses(status: set[str], start: list[str], later: int) -> None:
    story = Story(config(status=frozenset(status)), started=False)
    story.all_up()
    assert len(story.wait(SETTLE_S)) == len(start)
    story.dies(FIRST)
    assert len(story.wait(SETTLE_S)) == later


def test_without_emailalert_there_is_no_mail() -> None:
    story = Story(config(to=()))
    story.dies(FIRST)
    assert story.wait(100) == []


def test_the_end_is_one_mail() -> None:
    story = Story(config())
    for address in (FIRST, SECOND):
        story.server(Step.PURGED, address, phase=Phase.STOPPING)
    (mail,) = story.wait(0)
    assert mail.subject == "stopping: 2 purged"
    assert "Purged real server (stop): 10.9.0.12:80" in mail.body


def test_a_server_that_a_reload_took_out_is_not_reminded_of() -> None:
    story = Story(config(frequency_s=60))
    story.dies(FIRST)
    story.wait(SETTLE_S)
    story.alerts.configure(Config("a.cf"))
    assert story.wait(600) == []
