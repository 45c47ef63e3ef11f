"""Attendants: files, commands and mail beside a director that never waits for them."""

from __future__ import annotations

import asyncio
import logging
import smtplib
import socket
import time
from collections.abc import Iterator
from email.message import EmailMessage, Message
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler

from dr_forwarder.attendants import mail as mails
from dr_forwarder.attendants import readiness
from dr_forwarder.attendants.alerts import Mail
from dr_forwarder.attendants.background import Background
from dr_forwarder.attendants.commands import Commands, commanding, fallback_command
from dr_forwarder.attendants.file_watch import begin, look
from dr_forwarder.attendants.log_file import LineFormatter, handler
from dr_forwarder.attendants.mail import mailing
from dr_forwarder.attendants.monitor_file import line, monitoring
from dr_forwarder.checks.model import Result
from dr_forwarder.config.model import Alert, Check, CheckType, Config, ConfigError, Real, Virtual
from dr_forwarder.director import Director
from dr_forwarder.events import (
    FallbackEvent,
    Happening,
    Phase,
    Reloaded,
    ServerEvent,
    Started,
    Step,
    Stopped,
)
from dr_forwarder.table import Key, Server

VIP, FIRST = IPv4Address("10.9.0.100"), IPv4Address("10.9.0.11")
KEY, MARK = Key("tcp", VIP, 80), Key("fwm", IPv4Address(7), 0)
AT = time.struct_time((2026, 11, 22, 14, 14, 45, 6, 326, 0))


def config(**more: object) -> Config:
    check = Check(type=CheckType.CONNECT, receive="", request="/")
    virtual = Virtual("tcp", VIP, 80, (Real(FIRST, 8080, 5),), check=check, **more)  # type: ignore[arg-type]
    mark = Virtual("fwm", None, 0, (Real(FIRST, 0),), fwmark=7, fallback_command="/x")
    return Config("a.cf", (virtual, mark))


# ---- Files ----


def test_a_change_counts_once_it_has_stood_still_and_only_if_the_text_differs(
    tmp_path: Path,
) -> None:
    file = tmp_path / "a.cf"
    file.write_text("one")
    watch = begin(look((file,)))

    def after() -> bool:
        nonlocal watch
        watch, changed = watch.after(look((file,), watch.last))
        return changed

    assert not after()
    file.write_text("another")
    assert [after(), after(), after()] == [False, True, False]
    file.unlink()
    assert [after(), after()] == [False, False]
    file.write_text("another")
    assert [after(), after()] == [False, False]


def record(text: str) -> logging.LogRecord:
    made = logging.LogRecord("n", logging.INFO, "f", 1, text, None, None)
    made.created = time.mktime(AT)
    return made


def test_a_line_of_the_log_has_ldirectords_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getpid", lambda: 42)
    text = LineFormatter("www.cf").format(record("Added real server"))
    assert text == "[Sun Nov 22 14:14:45 2026|www.cf|42] Added real server"
    assert LineFormatter(None).format(record("a\nb")) == "[Sun Nov 22 14:14:45 2026] a | b"


def test_the_log_file_is_opened_for_each_line_so_that_it_may_be_rotated(tmp_path: Path) -> None:
    file, rotated = tmp_path / "log", tmp_path / "log.1"
    to_file = handler(Config("a.cf", log_file=str(file)))
    to_file.emit(record("one"))
    to_file.flush()
    file.rename(rotated)
    to_file.emit(record("two"))
    to_file.flush()
    assert (rotated.read_text()[-4:], file.read_text()[-4:]) == ("one\n", "two\n")


def test_syslog_has_ldirectords_name_and_the_facility_that_the_file_names(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        to_syslog = handler(Config("a.cf", log_file="local0"), syslog=path)
        to_syslog.emit(record("one"))
        to_syslog.flush()
        to_syslog.close()
        said = listener.recv(1000)
    assert said.startswith(b"<134>ldirectord[")
    assert said.endswith(b"]: one")


BROKEN_LOGS = [
    pytest.param("/nowhere/log", "logfile /nowhere/log cannot be opened: No such", id="path"),
]


@pytest.mark.parametrize(("where", "reason"), BROKEN_LOGS)
def test_a_log_that_cannot_be_had_is_an_error_of_the_file(where: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        handler(Config("a.cf", log_file=where), syslog="/nowhere/syslog")


RESULTS = [
    pytest.param(Result(True, "200 OK", 0.0), "[up] 200 OK", id="up"),
    pytest.param(Result(False, "a|b%\r\n", 0.0), "[down] a%7Cb%25%0D%0A", id="escaped"),
    pytest.param(Result(False, "", 0.0), "[down] -", id="nothing to say"),
]


@pytest.mark.parametrize(("result", "end"), RESULTS)
def test_a_line_of_a_monitorfile(result: Result, end: str) -> None:
    text = line("connect tcp", result, at=AT, pid=42)
    assert text == f"[Sun Nov 22 14:14:45 2026] [42] connect tcp {end}"


def test_each_check_is_a_line_of_the_monitorfile(tmp_path: Path) -> None:
    file = tmp_path / "monitor"
    director = Director(config(monitor_file=str(file)))
    first, second = director.watch.follow(director.config)
    with monitoring(director, clock=lambda: AT):
        director.watch.result(first, Result(True, "connected", 0.0))
        director.watch.result(second, Result(True, "of a service without one", 0.0))
        director.maintain({(KEY, FIRST, 8080): "/m/web1"})
        director.watch.result(first, Result(True, "connected", 0.0))
    lines = file.read_text().splitlines()
    assert [each.partition("] [")[2].partition("] ")[2] for each in lines] == [
        "connect tcp 10.9.0.11 8080 5 gate / [up] connected",
        "connect tcp 10.9.0.11 8080 5 gate / [down] Server in maintenance",
    ]


# ---- Commands ----

FALLBACKS = [
    pytest.param(KEY, True, "/f -x start 10.9.0.100:80 tcp", id="start"),
    pytest.param(KEY, False, "/f -x stop 10.9.0.100:80 tcp", id="stop"),
    pytest.param(MARK, True, "/x start 7:0 fwm", id="a mark says which"),
]


@pytest.mark.parametrize(("key", "on", "expected"), FALLBACKS)
def test_the_line_of_a_fallbackcommand(key: Key, on: bool, expected: str) -> None:
    configured = config(fallback_command="/f -x")
    assert fallback_command(FallbackEvent(key, on), configured) == expected
    assert fallback_command(FallbackEvent(key, on), Config("a.cf")) is None


def test_commands_of_one_service_run_in_order_and_the_callback_gets_the_path(
    tmp_path: Path,
) -> None:
    script, told = tmp_path / "script", tmp_path / "told"
    script.write_text(f'#!/bin/sh\n[ "$1" = start ] && sleep 0.2\necho "$*" >> {told}\n')
    script.chmod(0o755)
    configured = config(fallback_command=str(script))
    director = Director(
        Config("a.cf", configured.virtuals, callback=str(script)), clock=lambda: 0.0
    )

    async def story() -> None:
        async with Commands() as commands:
            with commanding(director, commands):
                director.events.emit(FallbackEvent(KEY, on=True))
                director.events.emit(FallbackEvent(KEY, on=False))
        async with Commands() as commands:
            with commanding(director, commands):
                director.events.emit(Reloaded("/etc/a.cf"))

    asyncio.run(story())
    assert told.read_text().splitlines() == [
        "start 10.9.0.100:80 tcp",
        "stop 10.9.0.100:80 tcp",
        "/etc/a.cf",
    ]


@pytest.mark.parametrize(
    ("at_stop", "fallen", "expected"),
    [
        pytest.param(True, False, ["start"], id="asked for"),
        pytest.param(True, True, ["start"], id="not a second time"),
        pytest.param(False, False, [], id="not asked for"),
    ],
)
def test_the_end_of_the_director_may_run_the_fallbackcommand(
    at_stop: bool, fallen: bool, expected: list[str], tmp_path: Path
) -> None:
    script, told = tmp_path / "script", tmp_path / "told"
    script.write_text(f'#!/bin/sh\necho "$1" >> {told}\n')
    script.chmod(0o755)
    told.touch()
    configured = config(fallback_command=str(script), fallback_at_stop=at_stop)
    # The mark of this configuration has a command of its own, and does not ask for it.
    director = Director(configured, clock=lambda: 0.0)

    async def story() -> None:
        async with Commands() as commands:
            with commanding(director, commands):
                if fallen:
                    director.events.emit(FallbackEvent(KEY, on=True))
                director.events.emit(Stopped())

    asyncio.run(story())
    assert told.read_text().split() == expected


BAD_COMMANDS = [
    pytest.param("exit 3", "system(exit 3) failed: exit status 3", id="status"),
    pytest.param("kill -9 $$", "failed: killed by signal 9", id="signal"),
    pytest.param("sleep 30 & sleep 30", "failed: not done within 0.2 s, killed", id="too long"),
]


@pytest.mark.parametrize(("shell", "said"), BAD_COMMANDS)
def test_a_command_that_fails_is_said_and_one_that_hangs_is_ended(
    shell: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with Commands(limit_s=0.2) as commands:
            commands.shell("key", shell)

    asyncio.run(run())
    assert said in caplog.text


def test_a_program_that_is_not_there_is_said(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with Commands() as commands:
            commands.program("key", ("/nowhere/program",))

    asyncio.run(run())
    assert "system(/nowhere/program) failed: No such file or directory" in caplog.text


def test_a_job_that_hangs_does_not_keep_the_program_from_ending() -> None:
    background = Background("test")
    background.do(lambda: time.sleep(60))
    assert not background.close(limit_s=0.05)


# ---- Mail ----


class Box(MessageHandler):
    """A mail server's one mailbox."""

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Message] = []

    def handle_message(self, message: Message) -> None:
        self.mails.append(message)


@pytest.fixture
def server() -> Iterator[tuple[Box, str]]:
    box = Box()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]  # the library connects to the very port it was given
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield box, f"127.0.0.1:{port}"
    controller.stop()


def test_mail_goes_out_one_recipient_each(server: tuple[Box, str]) -> None:
    box, where = server
    both = ("a@example.net", "b@example.net")
    director = Director(config(alert=Alert(to=both, sender="ha@example.net", smtp=where)))

    async def story() -> None:
        async with mailing(director):
            server = Server(FIRST, 80, 5)
            director.events.emit(ServerEvent(Step.ADDED, KEY, server))
            director.events.emit(Started(1))
            director.events.emit(ServerEvent(Step.DELETED, KEY, server))
            director.events.phase = Phase.STOPPING
            director.events.emit(Stopped())

    asyncio.run(story())
    assert sorted(mail["X-RcptTo"] for mail in box.mails) == list(both)
    first = box.mails[0]
    assert first["From"] == "ha@example.net"
    assert first["Subject"] == "Deleted real server: 10.9.0.11:80 (10.9.0.100:80)"
    assert first["Auto-Submitted"] == "auto-generated"


def test_a_server_that_does_not_answer_is_said_and_holds_nobody_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mail = Mail("a@example.net", "subject", "body", None, "127.0.0.1:1")
    mails._reported(mail, mails.send)
    assert "e-mail to a@example.net could not be sent" in caplog.text


def test_sendmail_is_given_the_mail_and_its_one_recipient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "sendmail"
    program.write_text(f'#!/bin/sh\necho "$*" > {tmp_path}/arguments\ncat > {tmp_path}/mail\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    mails.send(Mail("a@example.net", "subject", "body\n", "ha@example.net", None))
    assert (tmp_path / "arguments").read_text().endswith("-- a@example.net\n")
    assert "Subject: subject\n" in (tmp_path / "mail").read_text()


SERVERS = [
    pytest.param("mail", ("mail", smtplib.SMTP_PORT), id="host"),
    pytest.param("mail:2525", ("mail", 2525), id="host and port"),
    pytest.param("[::1]:2525", ("::1", 2525), id="IPv6 and port"),
    pytest.param("[::1]", ("::1", smtplib.SMTP_PORT), id="IPv6 in brackets"),
    pytest.param("::1", ("::1", smtplib.SMTP_PORT), id="bare IPv6"),
]


@pytest.mark.parametrize(("written", "expected"), SERVERS)
def test_a_mail_server_may_have_a_port(written: str, expected: tuple[str, int]) -> None:
    assert mails._server(written) == expected


def test_a_subject_is_one_line_whatever_a_server_answered() -> None:
    mail = Mail("a@example.net", "a\r\nBcc: b@example.net", "body", None, None)
    written: EmailMessage = mails.message(mail, "root@host")
    assert written["Subject"] == "a Bcc: b@example.net"
    assert written["Bcc"] is None


# ---- The service manager ----

STATES = [
    pytest.param(Started(2), ["READY=1", "STATUS=2 virtual servers"], id="up"),
    pytest.param(Stopped(), ["STOPPING=1"], id="ends"),
]


@pytest.mark.parametrize("abstract", [False, True])
@pytest.mark.parametrize(("event", "expected"), STATES)
def test_the_service_manager_is_told(
    event: Started | Stopped,
    expected: list[str],
    abstract: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = f"@{tmp_path}/notify" if abstract else f"{tmp_path}/notify"
    monkeypatch.setenv(readiness.SOCKET_VARIABLE, name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0"))
        readiness.tell(Happening(1, 0.0, Phase.RUNNING, event))
        assert manager.recv(1000).decode().splitlines() == expected


def test_without_a_service_manager_nobody_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(readiness.SOCKET_VARIABLE, raising=False)
    readiness.reloading()
    assert caplog.text == ""
    monkeypatch.setenv(readiness.SOCKET_VARIABLE, "/nowhere/notify")
    readiness.reloading()
    assert "The service manager could not be told" in caplog.text


def test_a_service_manager_that_does_not_read_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(readiness.SOCKET_VARIABLE, f"{tmp_path}/notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{tmp_path}/notify")
        while not caplog.records:
            readiness.reloading()
    assert "The service manager could not be told" in caplog.text


def test_the_service_manager_hears_that_the_event_loop_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(readiness.SOCKET_VARIABLE, f"{tmp_path}/notify")
    monkeypatch.setenv(readiness.WATCHDOG_VARIABLE, "20000")

    async def scenario() -> list[bytes]:
        loop = asyncio.get_running_loop()
        async with readiness.turning():
            return [await loop.sock_recv(manager, 100) for _ in range(3)]

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{tmp_path}/notify")
        manager.setblocking(False)
        assert asyncio.run(scenario()) == [b"WATCHDOG=1"] * 3


WATCHDOGS = [
    pytest.param("30000000", None, 30.0, id="ours"),
    pytest.param("30000000", "1", None, id="another process's"),
    pytest.param("", None, None, id="none"),
    pytest.param("0", None, None, id="0"),
    pytest.param("-1", None, None, id="no number"),
]


@pytest.mark.parametrize(("written", "pid", "seconds"), WATCHDOGS)
def test_whether_the_service_manager_waits_for_a_word_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, written: str, pid: str | None, seconds: float | None
) -> None:
    monkeypatch.setenv(readiness.WATCHDOG_VARIABLE, written)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    if pid is not None:
        monkeypatch.setenv("WATCHDOG_PID", pid)
    assert readiness.watchdog_s() == seconds
