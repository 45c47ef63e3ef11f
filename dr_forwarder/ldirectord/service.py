"""Service: one configuration's director, as a daemon or in the foreground."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from .. import early_signals, listen
from .. import state_dir as state_dirs
from ..attendants import log_file
from ..attendants.log_queue import QueuedHandler, to_descriptor
from ..config import Config, ConfigError, load
from ..config.draft import Resolver
from ..config.names import resolve
from ..config.needs import HERE, metrics_missing
from ..errors import DataplaneError, ForwarderError
from ..events import Happening, Started
from ..patience import Names
from ..runner import LogFor, Runner
from . import daemon
from .pid_file import PidFile

INTERFACE_VARIABLE = "DR_FORWARDER_INTERFACE"
MARKS_VARIABLE = "DR_FORWARDER_MARKS"
SKIP_VARIABLE = "DR_FORWARDER_SKIP_UNSUPPORTED"
LISTEN_VARIABLE = "DR_FORWARDER_LISTEN"


def read(path: Path, resolver: Resolver = resolve) -> Config:
    """The configuration, with what the environment says beside it; raises ConfigError."""
    config = load(
        path,
        rules=_rules(),
        skip_unsupported=os.environ.get(SKIP_VARIABLE) == "yes",
        resolver=resolver,
    )
    settings = replace(
        config.settings,
        interface=os.environ.get(INTERFACE_VARIABLE) or config.settings.interface,
        listen=_listen() or config.settings.listen,
    )
    if reason := metrics_missing(settings, HERE):
        raise ConfigError(reason, file=config.path)
    return replace(config, settings=settings)


def _listen() -> listen.Listen | None:
    written = os.environ.get(LISTEN_VARIABLE)
    try:
        return listen.parse(written) if written else None
    except ValueError as error:
        raise ConfigError(str(error), file=LISTEN_VARIABLE) from error


def _rules() -> Path | None:
    written = os.environ.get(MARKS_VARIABLE)
    return Path(written).absolute() if written else None


def in_daemon(path: Path, config: Config, pid_file: PidFile) -> tuple[int, str]:
    """Starts a daemon; returns 0 once it is up, or an exit status and the reason."""

    def serve(report: daemon.Report) -> int:
        def heard(happening: Happening) -> None:
            if isinstance(happening.event, Started):
                report.up()

        status, reason = _serve(path, config, pid_file.held(), log_file.handler, heard)
        report.failed(status, reason)
        return status

    return daemon.start(serve)


def in_foreground(path: Path, config: Config, *, debug: bool) -> tuple[int, str]:
    """Runs until told to stop, without a pid file, as ldirectord does: debugging or supervised."""
    early_signals.hold()
    name = "standard error" if debug else "standard output"
    to = QueuedHandler(to_descriptor(2 if debug else 1), name)
    to.setFormatter(log_file.LineFormatter(None))

    def log_for(config: Config) -> logging.Handler:
        return to

    level = logging.DEBUG if debug else logging.INFO
    return _serve(path, config, contextlib.nullcontext(), log_for, lambda _: None, level=level)


def _serve(
    path: Path,
    config: Config,
    held: contextlib.AbstractContextManager[None],
    log_for: LogFor,
    listener: Callable[[Happening], None],
    *,
    level: int = logging.INFO,
) -> tuple[int, str]:
    """Exit status and, unless that is 0, the reason."""
    logging.getLogger().setLevel(level)
    for talkative in ("asyncio", "pyroute2"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    directory = config.settings.state_dir or state_dirs.default()
    marks = _rules()
    files = (path,) if marks is None else (path, marks)
    try:
        # The directory first: one that runs already keeps its pid file.
        with state_dirs.held(directory), held:
            runner = Runner(
                config, directory, lambda: read(path, Names(0)), files=files, log_for=log_for
            )
            runner.listen(listener)
            asyncio.run(runner.run())
    except ConfigError as error:
        return 2, str(error)
    except (ForwarderError, DataplaneError) as error:
        return 1, str(error)
    return 0, ""
