"""Commands: what `dr-forwarder lab up`, `exec` and `down` do. The caller parses and prints."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from dr_forwarder.lab import state as states
from dr_forwarder.lab.attached import become_host, join_user_namespace
from dr_forwarder.lab.errors import LabError
from dr_forwarder.lab.lab import Lab
from dr_forwarder.lab.picture import draw
from dr_forwarder.lab.state import State
from dr_forwarder.lab.topology import Topology

_TUTORIAL = Topology()
_END_LIMIT_S = 15.0


def up(
    state_file: Path,
    topology: Topology = _TUTORIAL,
    *,
    say: Callable[[str], None],
    then: Callable[[Lab], None] | None = None,
) -> None:
    """Hold a lab up in the foreground until SIGINT, SIGTERM or SIGHUP.

    `then` is called once it is up, to start a director in it for example.
    """
    _refuse_second(state_file)
    with _stop_signals() as stopped:
        with Lab(topology) as lab:
            try:
                states.save(state_file, _state_of(lab))
                if then is not None:
                    then(lab)
                say(_announcement(topology))
                stopped.recv(1)
            finally:
                state_file.unlink(missing_ok=True)
        say("The lab is down.")


def execute(state_file: Path, host: str, argv: Sequence[str]) -> int:
    """Become the program `argv` on a host of the lab that is up.

    Returns only when there is no such program to run, with a shell's status for that, and says so.
    """
    state = states.load(state_file)
    join_user_namespace(state)
    become_host(state, host)
    try:
        os.execvp(argv[0], list(argv))
    except OSError as error:
        print(f"dr-forwarder: {argv[0]}: {error.strerror}", file=sys.stderr)
        return 127 if isinstance(error, FileNotFoundError) else 126


def down(state_file: Path) -> None:
    """End the lab that is up, and wait until it is gone."""
    state = states.load(state_file)
    process = os.pidfd_open(state.pid)
    try:
        # From here on the pidfd is one process; was it still the lab when we took hold of it?
        if not state.alive:
            raise LabError("no lab is up any more")
        signal.pidfd_send_signal(process, signal.SIGTERM)
        if not select.select([process], [], [], _END_LIMIT_S)[0]:
            raise LabError(f"the lab (pid {state.pid}) does not end within {_END_LIMIT_S:.0f} s")
    except PermissionError as error:
        raise LabError(f"the lab of pid {state.pid} belongs to somebody else") from error
    finally:
        os.close(process)


def _refuse_second(state_file: Path) -> None:
    try:
        running = states.load(state_file)
    except LabError:
        return
    raise LabError(f"a lab is up already (pid {running.pid}); end it: dr-forwarder lab down")


def _state_of(lab: Lab) -> State:
    pid = os.getpid()
    return State(
        pid=pid,
        started=states.start_of(pid) or 0,
        topology=lab.topology,
        namespace_fds={host.name: lab.namespace(host.name).fd for host in lab.topology.hosts},
        web_pids={host.name: lab.web_pid(host.name) for host in lab.topology.servers},
    )


def _announcement(topology: Topology) -> str:
    url = f"http://{topology.vip}/" if topology.vip.version == 4 else f"http://[{topology.vip}]/"
    server = topology.servers[0]
    return "\n".join(
        (
            draw(topology),
            "",
            "The lab is up. From another terminal:",
            f"  dr-forwarder lab exec {topology.client.name} -- curl {url}",
            f"  dr-forwarder lab exec {topology.director.name} -- curl http://{server.address}/",
            "  dr-forwarder lab check",
            "Ctrl-C here, or `dr-forwarder lab down`, ends it.",
        )
    )


@contextmanager
def _stop_signals() -> Iterator[socket.socket]:
    """Turn the signals that end a program into a byte on the socket given.

    Between asking "did one come?" and going to sleep none can be lost, and none breaks off the
    setting up or the cleaning up half-way.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    with reader, writer:
        handlers = {number: signal.signal(number, _noted) for number in numbers}
        wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _noted(number: int, frame: FrameType | None) -> None:
    """Do nothing: the interpreter has written the byte already."""
