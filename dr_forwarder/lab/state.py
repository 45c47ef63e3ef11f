"""State: the small file by which other commands find a lab that is up."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any

from dr_forwarder.lab.errors import LabError
from dr_forwarder.lab.topology import Host, Topology


@dataclass(frozen=True, slots=True)
class State:
    """A lab that is up: its process, and where that holds each host."""

    pid: int
    started: int
    """The process's start in clock ticks since boot: with the pid, it is one process for ever."""
    topology: Topology
    namespace_fds: dict[str, int]
    web_pids: dict[str, int]

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        return start_of(self.pid) == self.started

    def namespace(self, name: str) -> Path:
        """Where the namespace of a host can be opened."""
        fd = self.namespace_fds.get(name)
        if fd is None:
            known = ", ".join(self.namespace_fds)
            raise LabError(f"the lab has no host {name!r}; it has: {known}")
        return Path(f"/proc/{self.pid}/fd/{fd}")


def start_of(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when there is none."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # proc(5): field 22; the name in field 2 may hold spaces and parentheses.
    fields = line.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def load(path: Path) -> State:
    """Read the file of a lab that is up; LabError when none is."""
    try:
        state = _from_json(json.loads(path.read_text()))
    except FileNotFoundError:
        raise LabError("no lab is up; start one: dr-forwarder lab up") from None
    except PermissionError as error:
        raise LabError(f"{path} belongs to somebody else's lab") from error
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(f"{path} is not the state of a lab ({error}); remove it") from error
    if not state.alive:
        raise LabError(f"no lab is up any more ({path} is of pid {state.pid}, which is gone)")
    return state


def save(path: Path, state: State) -> None:
    """Write the file in one step, for the owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(_to_json(state), file, indent=1)
    draft.replace(path)


def _to_json(state: State) -> dict[str, object]:
    topology = state.topology
    return {
        "pid": state.pid,
        "started": state.started,
        "hosts": {
            host.name: {
                "addresses": [str(interface) for interface in host.interfaces],
                "mac": host.mac,
                "namespace_fd": state.namespace_fds[host.name],
                "web_pid": state.web_pids.get(host.name),
            }
            for host in topology.hosts
        },
        "client": topology.client.name,
        "director": topology.director.name,
        "vips": [str(vip) for vip in topology.vips],
    }


def _from_json(data: Any) -> State:
    hosts = {
        name: Host(name, tuple(ip_interface(text) for text in host["addresses"]))
        for name, host in data["hosts"].items()
    }
    fds = {name: int(host["namespace_fd"]) for name, host in data["hosts"].items()}
    pids = {name: host["web_pid"] for name, host in data["hosts"].items()}
    topology = Topology(
        client=hosts.pop(data["client"]),
        director=hosts.pop(data["director"]),
        servers=tuple(hosts.values()),
        vips=tuple(ip_address(text) for text in data["vips"]),
    )
    web_pids = {name: int(pid) for name, pid in pids.items() if pid is not None}
    return State(int(data["pid"]), int(data["started"]), topology, fds, web_pids)
