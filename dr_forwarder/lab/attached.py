"""Attached: a way into a lab that another process holds up."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from dr_forwarder.lab import state as states
from dr_forwarder.lab.errors import LabError
from dr_forwarder.lab.namespace import Namespace
from dr_forwarder.lab.privilege import CLONE_NEWNET, CLONE_NEWUSER, setns
from dr_forwarder.lab.state import State
from dr_forwarder.lab.topology import Topology


class Attached:
    """The network of the lab behind a state file, inside ``with Attached(path) as network:``.

    Entering a lab made without root moves this process into the lab's user namespace, for good.
    """

    def __init__(self, state_file: Path) -> None:
        self._state = states.load(state_file)
        self._namespaces: dict[str, Namespace] = {}
        self._open = ExitStack()

    @property
    def topology(self) -> Topology:
        """Who is on the network."""
        return self._state.topology

    def namespace(self, name: str) -> Namespace:
        """Give the namespace of a host, entered at its first use."""
        if name not in self._namespaces:
            entered = Namespace(name, self._state.namespace(name))
            self._namespaces[name] = self._open.enter_context(entered)
        return self._namespaces[name]

    def stop_web(self, name: str) -> None:
        """Kill the web server of a real server."""
        pid = self._state.web_pids.get(name)
        if pid is None:
            raise LabError(f"{name!r} is no real server; there are: {list(self._state.web_pids)}")
        # Dead or alive it is the lab's child until the lab ends: the pid cannot be another's.
        os.kill(pid, signal.SIGKILL)

    def __enter__(self) -> Attached:
        join_user_namespace(self._state)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()
        self._namespaces.clear()


def join_user_namespace(state: State) -> None:
    """Enter the user namespace of the lab's process, if it is not ours already."""
    theirs = Path(f"/proc/{state.pid}/ns/user")
    try:
        if theirs.samefile("/proc/self/ns/user"):
            return
        with theirs.open("rb") as file:
            setns(file.fileno(), CLONE_NEWUSER)
    except OSError as error:
        raise LabError(
            f"the lab of pid {state.pid} cannot be entered ({error.strerror}): "
            "use the account that started it"
        ) from error


def become_host(state: State, name: str) -> None:
    """Move the calling thread into the network namespace of a host."""
    with state.namespace(name).open("rb") as file:
        setns(file.fileno(), CLONE_NEWNET)
