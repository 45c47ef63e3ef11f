"""Runner: a director as a service: with its signals, control socket, log file and attendants."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from . import early_signals
from .attendants import readiness
from .attendants.background import Background
from .attendants.commands import Commands, commanding
from .attendants.flight_recorder import recording
from .attendants.losses_watch import watching
from .attendants.mail import mailing
from .attendants.maintenance_watch import maintaining
from .attendants.monitor_file import monitoring
from .attendants.reloading import reloading
from .config import Config, ConfigError
from .config.support import nothing_served
from .director import Director
from .errors import SetupError
from .events import Happening, Listener, ReloadFailed, Started
from .table import Stats

_log = logging.getLogger(__name__)

LogFor = Callable[[Config], logging.Handler | None]
"""Where a configuration wants its log; raises ConfigError if that cannot be had."""


class Runner:
    """Runs one director for a configuration that ``read`` reads, anew at each reload."""

    def __init__(
        self,
        config: Config,
        directory: Path,
        read: Callable[[], Config],
        *,
        files: tuple[Path, ...] = (),
        kept: Path | None = None,
        log_for: LogFor = lambda _: None,
    ) -> None:
        self._director = Director(config, state_dir=directory, kept=kept)
        self._director.events.listen(readiness.tell)
        self._director.events.listen(self._started)
        self._asked_early = False
        self._directory = directory
        self._read = read
        self._files = files
        self._log_for = log_for
        self._log: logging.Handler | None = None
        self._reloads: set[asyncio.Task[None]] = set()
        self._one_at_a_time = asyncio.Lock()
        self._reading = Background("configuration")

    def listen(self, listener: Listener) -> None:
        """Calls the listener with what happens to the director."""
        self._director.events.listen(listener)

    async def run(self) -> Stats:
        """Until SIGTERM, SIGINT or SIGQUIT; returns the counters."""
        loop = asyncio.get_running_loop()
        for number in early_signals.ENDING:
            loop.add_signal_handler(number, self._end, number)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        early_signals.release()
        with self._logging():
            async with readiness.turning(), Commands() as commands, mailing(self._director):
                with (
                    commanding(self._director, commands),
                    monitoring(self._director),
                    recording(self._director),
                ):
                    async with (
                        maintaining(self._director),
                        reloading(self._director, self._files, self._reload),
                    ):
                        return await self._director.run(self._answering)

    @contextlib.asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        """The control socket, the page and the metrics: frames do not wait for what they import."""
        await asyncio.to_thread(importlib.import_module, f"{__package__}.api.server")
        from .api import serving
        from .web import serving as listening

        async with (
            serving(self._director, self._directory, reload=self.reload),
            listening(self._director),
            watching(self._director),
        ):
            yield

    def _end(self, number: signal.Signals) -> None:
        if number == signal.SIGINT:
            # Whoever presses Ctrl-C again does not want to wait for what the end waits for.
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        _log.info("Linux Director Daemon terminated on signal: %s", number.name.removeprefix("SIG"))
        self._director.stop()

    # ---- The log ----

    @contextlib.contextmanager
    def _logging(self) -> Iterator[None]:
        self._use_log(self._log_for(self._director.config))
        if self._files:
            report(self._director.config)
        try:
            yield
            _log.info("Exiting with exit_status 0")
        finally:
            if self._log is not None:
                self._log.flush()
            self._use_log(None)

    def _use_log(self, handler: logging.Handler | None) -> None:
        root = logging.getLogger()
        if self._log is not None:
            root.removeHandler(self._log)
            self._log.close()
        if handler is not None:
            root.addHandler(handler)
        self._log = handler

    # ---- Reload ----

    def _hang_up(self) -> None:
        if not self._director.ready:
            _log.info("The configuration is read again as soon as the director runs")
            self._asked_early = True
            return
        self._reload_soon()

    def _started(self, happening: Happening) -> None:
        """Does what was asked for by SIGHUP while the director was still starting."""
        if isinstance(happening.event, Started) and self._asked_early:
            self._reload_soon()

    def _reload_soon(self) -> None:
        task = asyncio.get_running_loop().create_task(self._reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _reload(self) -> None:
        with contextlib.suppress(ConfigError, SetupError):
            await self.reload()

    async def reload(self) -> Config:
        """Reads the configuration again; raises ConfigError or SetupError, and tells of it."""
        async with self._one_at_a_time:
            if not self._director.ready:
                _log.error("Not reloaded: the director is still starting")
                raise SetupError("the director is still starting")
            readiness.reloading()
            try:
                config, log = await asyncio.wrap_future(self._reading.ask(self._read_anew))
                await self._director.reload(config)
            except (ConfigError, SetupError) as error:
                path = self._director.config.path
                self._director.events.emit(ReloadFailed(path, str(error)))
                raise
            self._use_log(log)
            report(config)
            return config

    def _read_anew(self) -> tuple[Config, logging.Handler | None]:
        """Waits for files and names, which a hung disk or resolver can take long to give."""
        config = self._read()
        return config, self._log_for(config)


def report(config: Config) -> None:
    """Logs what the reader of a configuration should know."""
    for notice in (*config.notices, *nothing_served(config)):
        _log.warning("%s: %s", notice.at(config.path), notice.reason)
