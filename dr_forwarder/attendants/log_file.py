"""Log file: lines in ldirectord's form, into a file that is opened for each, or to syslog."""

from __future__ import annotations

import logging
import logging.handlers
import os
import time
from pathlib import Path

from ..config.model import Config, ConfigError

SYSLOG = "/dev/log"


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


class _FileHandler(logging.Handler):
    """Opens the file for each line, so that a rotated log needs no signal."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        try:
            with open(self._path, "a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(self.format(record) + "\n")
        except OSError:
            self.handleError(record)


class _SyslogHandler(logging.handlers.SysLogHandler):
    """ldirectord logs everything with priority info."""

    append_nul = False

    def mapPriority(self, levelName: str) -> str:  # noqa: N802, N803 - the library's names
        return "info"


def handler(config: Config, *, syslog: str = SYSLOG) -> logging.Handler:
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
        made: logging.Handler = _FileHandler(where)
        made.setFormatter(LineFormatter(Path(config.path).name))
        return made
    made = _SyslogHandler(syslog, logging.handlers.SysLogHandler.facility_names[where])
    made.setFormatter(_SyslogFormatter())
    return made


def _text(record: logging.LogRecord) -> str:
    """A record as one line; a traceback is put into it."""
    text = record.getMessage()
    if record.exc_info:
        text += " " + logging.Formatter().formatException(record.exc_info)
    return " | ".join(text.splitlines()) or "-"
