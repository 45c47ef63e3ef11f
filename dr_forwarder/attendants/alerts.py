"""Alerts: which mail is due, from what happens to a director. No I/O, no clock.

ldirectord sends a mail for every single step, those that it undoes in the next moment too, and at
the start several for each server. Here a server's change is mailed once it has settled, and what
happens while starting or stopping is one mail. A server that goes up and down so fast that it never
settles is mailed as flapping, and when it has calmed down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from ..config.model import Address, Alert, Config, Virtual
from ..config.table_keys import key_of, server_of
from ..events import (
    Happening,
    HealthEvent,
    Phase,
    ServerEvent,
    ServerFlapping,
    ServiceEvent,
    Started,
    Step,
    Stopped,
)
from ..ldirectord.phrases import phrase
from ..table import Key

SETTLE_S = 2.0
"""A change that is undone within this time is not worth a mail."""
START_LIMIT_S = 30.0
"""So long the first mail waits for the first result of every check."""

_INACCESSIBLE = "inaccessible"
_FLAPPING, _CALM = "flapping", "calm again"
_DOWN = {Step.QUIESCENT, Step.READDED, Step.DELETED}
_WITH_REASON = {_INACCESSIBLE, _FLAPPING, _CALM, *(step.value for step in _DOWN)}

_Who = tuple[Key, Address]


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail to one recipient."""

    to: str
    subject: str
    body: str
    sender: str | None
    """What the From header says; None: whoever runs the director."""
    smtp: str | None
    """The server to send it by; None: the local sendmail program."""


@dataclass(frozen=True, slots=True)
class _Message:
    """What there is to say of one server."""

    who: _Who
    text: str
    word: str
    """In one word, to be counted."""
    phase: Phase
    at_s: float


@dataclass(slots=True)
class Alerts:
    """What has been mailed, what waits, and who is down."""

    host: str
    _virtuals: dict[Key, Virtual] = field(default_factory=dict)
    _unchecked: set[_Who] = field(default_factory=set)
    """Whose first result the first mail still waits for."""
    _starting: bool = True
    _started_s: float | None = None
    _waiting: dict[_Who, _Message] = field(default_factory=dict)
    _mailed: dict[_Who, str] = field(default_factory=dict)
    _reasons: dict[_Who, str] = field(default_factory=dict)
    _flapping: set[_Who] = field(default_factory=set)
    """Of whose single changes nothing is mailed."""
    _down: dict[_Who, tuple[str, float]] = field(default_factory=dict)
    """A real server's name, and when it was last spoken of."""

    def configure(self, config: Config) -> None:
        """Takes another configuration; who is not in it any more is forgotten."""
        self._virtuals = {key_of(virtual): virtual for virtual in config.virtuals}
        known = {(key, real.address) for key, v in self._virtuals.items() for real in v.real}
        if self._starting:
            self._unchecked = known - self._reasons.keys()
        self._down = {who: down for who, down in self._down.items() if who in known}
        self._flapping &= known
        self._reasons = {who: why for who, why in self._reasons.items() if who in known}

    def heard(self, happening: Happening, *, now_s: float) -> None:
        """Takes an event."""
        phase = Phase.STARTING if self._starting else happening.phase
        match happening.event:
            case ServerEvent() as event:
                self._server(event, phase, now_s)
            case HealthEvent(address, _, services, up, reason):
                for key in services:
                    self._health((key, address), phase, now_s, up=up, reason=reason)
            case ServerFlapping(address, _, services, on, _, _, reason):
                for key in services:
                    self._flap((key, address), phase, now_s, on=on, reason=reason)
            case ServiceEvent(Step.PURGED, service):
                for who in [each for each in self._mailed if each[0] == service]:
                    del self._mailed[who]
            case Started():
                self._started_s = now_s
            case Stopped():
                self._starting = False

    def due(self, *, now_s: float) -> list[Mail]:
        """The mail that is due by now: the start as a whole, settled changes, reminders."""
        if self._starting and self._started_s is not None:
            late = now_s - self._started_s >= START_LIMIT_S
            self._starting = bool(self._unchecked) and not late
        if self._starting:
            return []
        waiting = list(self._waiting.values())
        mails: list[Mail] = []
        for gathered in (Phase.STARTING, Phase.STOPPING):
            mails += self._together(m for m in waiting if m.phase is gathered)
        for message in waiting:
            settled = now_s - message.at_s >= SETTLE_S
            if settled and message.phase in (Phase.RUNNING, Phase.RELOADING):
                mails += self._together([message])
        return [*mails, *self._reminders(now_s)]

    # ---- Gathering ----

    def _server(self, event: ServerEvent, phase: Phase, now_s: float) -> None:
        who = (event.service, event.server.address)
        if who in self._flapping and phase in (Phase.STARTING, Phase.RUNNING):
            return
        text = phrase(event, phase) or ""
        self._waiting[who] = _Message(who, text, event.step.value, phase, now_s)
        if event.step in _DOWN and not event.fallback:
            self._down[who] = (event.server.name, now_s)
        else:
            self._down.pop(who, None)

    def _health(self, who: _Who, phase: Phase, now_s: float, *, up: bool, reason: str) -> None:
        self._unchecked.discard(who)
        self._reasons[who] = reason
        waiting = self._waiting.get(who)
        if up:
            self._down.pop(who, None)
            if waiting and waiting.word == _INACCESSIBLE:
                del self._waiting[who]
        elif (name := self._name(who)) is not None:
            # If it is in the table its removal follows at once, and is what is mailed.
            text = f"Inaccessible real server: {name} ({who[0].name})"
            self._waiting[who] = _Message(who, text, _INACCESSIBLE, phase, now_s)
            self._down[who] = (name, now_s)

    def _flap(self, who: _Who, phase: Phase, now_s: float, *, on: bool, reason: str) -> None:
        (self._flapping.add if on else self._flapping.discard)(who)
        self._reasons[who] = reason
        if (name := self._name(who)) is not None:
            word = _FLAPPING if on else _CALM
            text = f"{word.capitalize()} real server: {name} ({who[0].name})"
            self._waiting[who] = _Message(who, text, word, phase, now_s)
            self._down.pop(who, None)

    def _name(self, who: _Who) -> str | None:
        virtual = self._virtuals.get(who[0])
        for real in virtual.real if virtual else ():
            if virtual and real.address == who[1]:
                return server_of(virtual, real, weight=real.weight).name
        return None

    # ---- Writing ----

    def _together(self, messages: Iterable[_Message]) -> Iterator[Mail]:
        """One mail for each group of recipients, of what they have not been told yet."""
        fresh = []
        for message in messages:
            del self._waiting[message.who]
            if self._mailed.get(message.who) != message.text:
                self._mailed[message.who] = message.text
                fresh.append(message)
        yield from self._grouped(fresh)

    def _reminders(self, now_s: float) -> Iterator[Mail]:
        due = []
        for who, (name, spoken_s) in self._down.items():
            every_s = self._alert(who).frequency_s
            if every_s and now_s - spoken_s >= every_s:
                self._down[who] = (name, now_s)
                text = f"Inaccessible real server: {name} ({who[0].name})"
                due.append(_Message(who, text, _INACCESSIBLE, Phase.RUNNING, now_s))
        yield from self._grouped(due)

    def _grouped(self, messages: Iterable[_Message]) -> Iterator[Mail]:
        groups: dict[Alert, list[_Message]] = {}
        for message in messages:
            alert = self._alert(message.who)
            if alert.to and alert.status & {"all", message.phase.value}:
                where = replace(alert, frequency_s=0, status=frozenset())
                groups.setdefault(where, []).append(message)
        for where, told in groups.items():
            subject, body = self._text(told)
            for to in where.to:
                yield Mail(to, subject, body, where.sender, where.smtp)

    def _text(self, told: list[_Message]) -> tuple[str, str]:
        """Subject and body."""
        phase = told[0].phase.value
        lines = [f"ldirectord host: {self.host}"]
        for message in told:
            lines.append(f"Log-Message: {self._subject(message)}")
            reason = self._reasons.get(message.who)
            if reason is not None and message.word in _WITH_REASON:
                lines.append(f"Reason: {reason}")
        lines.append(f"Daemon-Status: {phase}")
        for key in dict.fromkeys(message.who[0] for message in told):
            lines += _signature(self._virtuals.get(key))
        body = "\n".join(lines) + "\n"
        if len(told) == 1:
            return self._subject(told[0]), body
        counts = Counter(message.word for message in told)
        return f"{phase}: " + ", ".join(f"{n} {word}" for word, n in counts.items()), body

    def _subject(self, message: _Message) -> str:
        virtual = self._virtuals.get(message.who[0])
        name = virtual.service_name if virtual else None
        return f"[{name}] {message.text}" if name else message.text

    def _alert(self, who: _Who) -> Alert:
        virtual = self._virtuals.get(who[0])
        return virtual.alert if virtual else Alert()


def _signature(virtual: Virtual | None) -> Iterator[str]:
    if virtual and virtual.service_name:
        yield f"Service name: {virtual.service_name}"
    if virtual and virtual.comment:
        yield f"Comment: {virtual.comment}"
