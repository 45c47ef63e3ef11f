"""Log file: lines in ldirectord's form, into a file that is opened for each, or to syslog."""

from __future__ import annotations

import logging
import logging.handlers
import os
import socket
import time
from pathlib import Path

from ..config.model import Config, ConfigError
from ..printable import printable
from .log_queue import QueuedHandler, Write

SYSLOG = "/dev/log"
_MOST_SYSLOG_BYTES = 8192
"""What the usual loggers take as one message."""


class LineFormatter(logging.Formatter):
    """``[Sun Nov 22 14:14:45 2026|CFGNAME|PID] text``."""

    def __init__(self, name: str | None) -> None:
        super().__init__()
        self._name = name

    def format(self, record: logging.LogRecord) -> str:
        """One line for one record."""
        stamp = time.asctime(time.localtime(record.created))
        if self._name is not None:
            stamp = f"{stamp}|{self._name}|{os.getpid()}"
        return f"[{stamp}] {_text(record)}"


class _SyslogFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"ldirectord[{os.getpid()}]: {_text(record)}"


def _to_file(path: str) -> Write:
    """Opens the file for each line, so that a rotated log needs no signal."""

    def write(line: str) -> None:
        with open(path, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(line + "\n")

    return write


def _to_syslog(path: str, facility: str) -> Write:
    """A datagram a line, all with the priority info, as ldirectord does (RFC 3164, 4.1)."""
    number = logging.handlers.SysLogHandler.facility_names[facility]
    priority = number << 3 | logging.handlers.SysLogHandler.LOG_INFO

    def write(line: str) -> None:
        said = f"<{priority}>{line}".encode(errors="backslashreplace")[:_MOST_SYSLOG_BYTES]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as logger:
            logger.connect(path)
            logger.send(said)

    return write


def handler(config: Config, *, syslog: str = SYSLOG) -> QueuedHandler:
    """What writes to the configured place; raises ConfigError if that cannot be had."""
    where, line = config.log_file, config.line_of("logfile")
    if where.startswith("/"):
        try:
            with open(where, "a"):
                pass
        except OSError as error:
            raise ConfigError(
                f"logfile {where} cannot be opened: {error.strerror}", file=config.path, line=line
            ) from error
        made = QueuedHandler(_to_file(where), where)
        made.setFormatter(LineFormatter(Path(config.path).name))
        return made
    made = QueuedHandler(_to_syslog(syslog, where), syslog)
    made.setFormatter(_SyslogFormatter())
    return made


def _text(record: logging.LogRecord) -> str:
    """A record as one line; a traceback is put into it."""
    text = record.getMessage()
    if record.exc_info:
        text += " " + logging.Formatter().formatException(record.exc_info)
    return printable(" | ".join(text.splitlines())) or "-"
