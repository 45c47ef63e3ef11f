"""The log: whoever writes a line never waits, whatever is wrong with the place it goes to."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dr_forwarder.attendants.log_file import handler
from dr_forwarder.attendants.log_queue import QueuedHandler, to_descriptor
from dr_forwarder.config.model import Config

LIMIT_S = 20.0
ENOUGH = 10_000


def record(text: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("n", logging.INFO, "f", 1, text, arguments, None)


def until(condition: Callable[[], bool]) -> None:
    ended_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < ended_s
        time.sleep(0.005)


class Place:
    """Where lines go; it can be made to hang, or to refuse."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.open = threading.Event()
        self.open.set()
        self.refusal: int | None = None
        self.tries = 0

    def __call__(self, line: str) -> None:
        self.tries += 1
        assert self.open.wait(LIMIT_S)
        if self.refusal is not None:
            raise OSError(self.refusal, os.strerror(self.refusal))
        self.lines.append(line)


@contextlib.contextmanager
def queued(place: Place, **more: float) -> Iterator[QueuedHandler]:
    made = QueuedHandler(place, "the place", **more)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        place.open.set()
        made.close()


def test_lines_come_in_order_and_are_all_there_after_a_flush() -> None:
    place = Place()
    with queued(place) as to:
        for number in range(ENOUGH):
            to.emit(record("line %d", number))
        to.flush()
        assert place.lines == [f"line {number}" for number in range(ENOUGH)]


def test_a_place_that_hangs_holds_up_nobody_and_what_is_lost_is_counted() -> None:
    place = Place()
    place.open.clear()
    with queued(place, room_bytes=100) as to:
        for number in range(50):
            to.emit(record("line %05d", number))
        to.flush(limit_s=0)
        place.open.set()
        until(lambda: len(place.lines) == 11)
    assert place.lines[:10] == [f"line {number:05}" for number in range(10)]
    assert place.lines[10] == "40 log lines were dropped: the place was too slow, or gone"


def test_after_lines_were_dropped_the_next_ones_are_written_again() -> None:
    place = Place()
    place.open.clear()
    with queued(place, room_bytes=100) as to:
        for _ in range(20):
            to.emit(record("ten bytes."))
        place.open.set()
        until(lambda: len(place.lines) == 11)
        to.emit(record("after"))
        to.flush()
        assert place.lines[-1] == "after"


def test_a_place_that_refuses_is_told_of_once_and_has_its_lines_when_it_is_well_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = Place()
    place.refusal = errno.ENOSPC
    with queued(place, retry_s=0.01) as to:
        to.emit(record("one"))
        to.emit(record("two"))
        until(lambda: place.tries > 5)
        to.flush()  # does not wait for what cannot be
        assert [each.getMessage() for each in caplog.records] == [
            "The log cannot be written to the place: No space left on device;"
            " it is tried again each 0.01 s"
        ]
        place.refusal = None
        until(lambda: place.lines == ["one", "two"])


def test_a_closed_handler_whose_place_refuses_ends_its_thread() -> None:
    place = Place()
    place.refusal = errno.EIO
    before = threading.active_count()
    with queued(place) as to:
        to.emit(record("one"))
        until(lambda: place.tries > 0)
    until(lambda: threading.active_count() == before)


def test_a_line_that_cannot_be_put_together_is_told_of_in_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = Place()
    with queued(place) as to:
        to.emit(record("%d servers", "two"))
        to.flush()
    assert place.lines[0].startswith("INFO '%d servers' ('two',): ")
    assert capsys.readouterr() == ("", "")


# ---- The places ----


def test_a_log_whose_directory_goes_and_comes_back_has_all_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "log"
    directory.mkdir()
    to = handler(Config("a.cf", log_file=str(directory / "file")))
    (directory / "file").unlink()
    directory.rmdir()
    to.emit(record("one"))
    to.flush()
    directory.mkdir()
    until((directory / "file").exists)
    to.flush()
    assert (directory / "file").read_text().endswith("] one\n")
    assert capsys.readouterr() == ("", "")


def test_without_dev_log_nothing_is_printed_and_lines_wait(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = str(tmp_path / "log")
    to = handler(Config("a.cf", log_file="local0"), syslog=path)
    for _ in range(3):
        to.emit(record("said"))
    to.flush()
    until(lambda: len(caplog.records) == 1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as logger:
        logger.bind(path)
        logger.settimeout(LIMIT_S)
        assert [logger.recv(100)[-6:] for _ in range(3)] == [b": said"] * 3
    to.close()
    assert capsys.readouterr() == ("", "")


def test_a_full_disk_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    to = handler(Config("a.cf", log_file="/dev/full"))
    for _ in range(3):
        to.emit(record("said"))
    to.flush()
    until(lambda: len(caplog.records) == 1)
    to.close()
    assert "No space left on device" in caplog.text


def test_a_pipe_whose_reader_stops_holds_up_neither_the_log_nor_the_end() -> None:
    """As `dr-forwarder run 2>&1 | pager`, with the pager stopped: a process of its own ends."""
    program = (
        "import logging, resource;"
        "from dr_forwarder.attendants.log_queue import QueuedHandler, to_descriptor;"
        "to = QueuedHandler(to_descriptor(2), 'standard error');"
        "logging.basicConfig(handlers=[to], level=logging.INFO);"
        "[logging.info('x' * 1000) for _ in range(10_000)];"
        "print('done', flush=True)"
    )
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, resource.getpagesize())
    try:
        ended = subprocess.run(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            stderr=writing,
            timeout=LIMIT_S,
            check=False,
        )
    finally:
        os.close(writing)
        os.close(reading)
    assert (ended.returncode, ended.stdout) == (0, b"done\n")


def test_a_reader_that_has_left_is_no_trouble() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN
        to = QueuedHandler(to_descriptor(writing), "a pipe")
        to.emit(record("one"))
        to.flush()
        to.close()
    finally:
        os.close(writing)
