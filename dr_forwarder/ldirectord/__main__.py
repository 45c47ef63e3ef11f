"""The command `dr-ldirectord`: ldirectord's actions, messages and exit statuses.

Other than ldirectord: `start` returns when the director is up, or says why it is not; `stop` when
it has ended; a broken file is no reason for `stop` and `status` not to do what they are asked for.
"""

from __future__ import annotations

import importlib.metadata
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

from .. import standard_files
from ..config import Config, ConfigError
from ..errors import TryAgain
from ..printable import printable
from . import pid_file
from .command_line import HELP, USAGE, Action, Invocation, UsageError, parse
from .others import command_of, environment_of, is_asked
from .pid_file import PidFile

_STOP_LIMIT_S = 60.0
"""What a director may wait for at its end, mail and commands, has shorter limits of its own."""
_USAGE, _TEMPORARY, _BROKEN, _STOPPED, _FAILED, _DONE = 255, 75, 2, 3, 1, 0


def main() -> None:
    """The entry point."""
    standard_files.settle()
    try:
        sys.exit(run(sys.argv[1:]))
    finally:
        standard_files.drop_what_nobody_reads()


def run(arguments: list[str]) -> int:
    """The exit status."""
    try:
        asked = parse(arguments)
    except UsageError as error:
        _say(f"ldirectord: {error}\n{USAGE}".rstrip())
        return _USAGE
    if asked.action is Action.HELP:
        print(HELP, end="")
        return _DONE
    if asked.action is Action.VERSION:
        version = importlib.metadata.version("dr-forwarder")
        print(f"dr-ldirectord {version}, in the place of ldirectord v1.186-ha")
        return _DONE
    path = next((Path(name) for name in asked.candidates if _is_file(name)), None)
    pids = pid_file.of(asked.name)
    if path is None and not (asked.action is Action.STOP and pids.running):
        _say(f"ldirectord: no such configuration file: {', '.join(asked.candidates)}")
        return _FAILED
    try:
        return _do(asked, (path or Path(asked.candidates[-1])).absolute(), pids)
    except ConfigError as error:
        _say(str(error))
        return _BROKEN
    except TryAgain as error:
        _say(str(error))
        return _TEMPORARY


def _is_file(name: str) -> bool:
    """Also one in a folder that must not be looked into: reading it says so."""
    try:
        return Path(name).is_file()
    except PermissionError:
        return True


def _do(asked: Invocation, path: Path, pids: PidFile) -> int:
    match asked.action:
        case Action.START:
            return _DONE if pids.running else _start(asked, path, pids)
        case Action.STOP:
            return _stop(pids)
        case Action.RESTART | Action.TRY_RESTART:
            config = _read(path)
            if asked.action is Action.TRY_RESTART and not pids.running:
                return _DONE
            return _stop(pids) or _start(asked, path, pids, config)
        case Action.RELOAD | Action.FORCE_RELOAD:
            return _reload(path, pids)
    return _status(path, pids)


def _start(asked: Invocation, path: Path, pids: PidFile, config: Config | None = None) -> int:
    from ..patience import at_start
    from . import service  # late: `status` must not wait for what a director needs

    config = config or at_start(partial(service.read, path))
    if asked.debug or config.supervised:
        status, reason = service.in_foreground(path, config, debug=asked.debug)
    else:
        status, reason = service.in_daemon(path, config, pids)
    if reason:
        _say(f"ldirectord: {reason}")
    return status


def _stop(pids: PidFile) -> int:
    pid = pids.running
    if pid is None:
        pids.remove_stale()
        return _DONE
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return _DONE
    except PermissionError:
        _say(f"ldirectord: process {pid} is another user's")
        return _FAILED
    if pids.gone(pid, limit_s=_STOP_LIMIT_S):
        return _DONE
    _say(f"ldirectord: process {pid} has not ended within {_STOP_LIMIT_S:g} s")
    return _FAILED


def _reload(path: Path, pids: PidFile) -> int:
    _read(path)
    pid = pids.running
    if pid is None:
        _say(f"ldirectord is not running for {path}")
        return _FAILED
    os.kill(pid, signal.SIGHUP)
    return _DONE


def _status(path: Path, pids: PidFile) -> int:
    if (pid := pids.running) is not None:
        try:
            _execute_status(_read(path))
        except ConfigError as error:
            # The director goes on with what it has read: no reason for an agent to restart it.
            _say(str(error))
        _say(f"ldirectord for {path} is running with pid: {pid}")
        return _DONE
    _execute_status(_read(path))
    print(f"ldirectord is stopped for {path}")
    if (stale := pids.written) is not None:
        _say(f"ldirectord stale pid file {pids.path}: there is no ldirectord with pid {stale}")
        return _FAILED
    return _STOPPED


def _read(path: Path) -> Config:
    from . import service

    return service.read(path)


def _execute_status(config: Config) -> None:
    """The other configurations say how they are; that of this one is what counts."""
    for name in () if is_asked() else config.execute:
        subprocess.run(command_of(name, "status"), env=environment_of(name), check=False)


def _say(text: str) -> None:
    print(printable(text), file=sys.stderr)


if __name__ == "__main__":
    main()
