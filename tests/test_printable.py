"""What strangers wrote commands no terminal; and whose socket a command believes."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dr_forwarder.attendants.log_file import LineFormatter
from dr_forwarder.client import Client
from dr_forwarder.errors import NotRunning
from dr_forwarder.printable import printable

NASTY = [
    pytest.param("\x1b[2J", "\\x1b[2J", id="an escape"),
    pytest.param("\x9b2J", "\\x9b2J", id="the same in one byte, C1"),
    pytest.param("\x7f\x00\r", "\\x7f\\x00\\r", id="controls"),
    pytest.param("a\u202eb", "a\\u202eb", id="right to left"),
    pytest.param("a\u2066b", "a\\u2066b", id="isolated"),
    pytest.param("a\u200bb", "a\\u200bb", id="invisible"),
    pytest.param("\udce9", "\\udce9", id="a byte that is no text"),
    pytest.param("gr\u00fcn \u4e2d\t\n", "gr\u00fcn \u4e2d\t\n", id="any script stays"),
]


@pytest.mark.parametrize(("text", "shown"), NASTY)
def test_a_text_commands_no_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_line_of_the_log_has_nothing_unprintable() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s", ("a\x1b[2Jb\x9b\u202e",), None)
    assert LineFormatter("a").format(record).isprintable()


@pytest.mark.parametrize("command", ["check", "import"])
def test_what_a_file_says_commands_no_terminal(tmp_path: Path, command: str) -> None:
    path = tmp_path / "a.cf"
    path.write_text("no\x1b[2Jsense\x9b = \u202e\nvirtual=10.0.0.1:80\n\treal=\x1b]0;a\x07 gate\n")
    ended = subprocess.run(
        [sys.executable, "-m", "dr_forwarder", command, str(path)],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    said = (ended.stdout + ended.stderr).decode()
    assert "sense" in said
    assert all(line.isprintable() for line in said.replace("\t", " ").split("\n"))


# ---- Whose socket it is ----


@pytest.fixture
def somebody(tmp_path: Path) -> Path:
    """A director's directory, whose socket answers anything."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "control"))
    listening.listen()

    def answer() -> None:
        connected, _ = listening.accept()
        with connected, listening:
            if connected.recv(1 << 16):
                connected.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")

    threading.Thread(target=answer, daemon=True).start()
    return tmp_path


def told_of(user: int, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = b"".join(each.to_bytes(4, sys.byteorder) for each in (1, user, user))
    monkeypatch.setattr("dr_forwarder.exchange._credentials", lambda _: raw)


@pytest.mark.parametrize("user", [4711, 65534])
def test_a_strangers_socket_is_not_believed(
    somebody: Path, user: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_of(user, monkeypatch)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NotRunning, match=f"user {user} listens at its socket"):
        Client(somebody).get("services")


@pytest.mark.parametrize(("me", "user"), [(1000, 1000), (1000, 0), (0, 1000)])
def test_roots_and_ones_own_are_believed_and_root_asks_anybodys(
    somebody: Path, me: int, user: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_of(user, monkeypatch)
    monkeypatch.setattr(os, "geteuid", lambda: me)
    assert Client(somebody).get("services") == []
