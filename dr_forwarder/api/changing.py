"""Changing: the calls that change something; those for orders are in `ordering`."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..daemons import SyncDaemon
from ..table import Applied
from . import examples
from .bodies import AskedChanges, Errno, Reloading, Standby, Timeouts
from .calls import Call, Served


async def change(served: Served, asked: AskedChanges) -> Applied:
    """In one piece."""
    return await served.director.apply(asked.read(), stop=asked.stop)


async def set_timeouts(served: Served, asked: Timeouts) -> Timeouts:
    """Those that are then in force."""
    tcp_s, tcp_fin_s, udp_s = asked.tcp_s, asked.tcp_fin_s, asked.udp_s
    await served.director.set_timeouts(tcp_s=tcp_s, tcp_fin_s=tcp_fin_s, udp_s=udp_s)
    return Timeouts(*served.director.timeouts())


async def start_daemon(served: Served, asked: SyncDaemon) -> Errno:
    """As ipvsadm does."""
    return Errno(served.director.sync.start(asked))


@dataclass(frozen=True, slots=True)
class Role:
    """Which synchronisation daemon."""

    role: str = field(metadata={"choices": ("master", "backup")})


async def stop_daemon(served: Served, which: Role) -> Errno:
    """As ipvsadm does."""
    return Errno(served.director.sync.stop(which.role))


async def stand_by(served: Served, asked: Standby) -> Standby:
    """Leaves the VIPs, or takes them over."""
    served.director.stand_by(standby=asked.standby)
    return Standby(served.director.standby)


async def reload(served: Served) -> Reloading:
    """As SIGHUP does, with an answer."""
    config = await served.reload()
    notices = (f"{each.at(config.path)}: {each.reason}" for each in config.notices)
    return Reloading(config.path, tuple(notices))


CHANGING = (
    Call(
        "POST",
        "/changes",
        "Change services and servers, in one piece",
        Applied,
        change,
        examples.CHANGES,
        body=AskedChanges,
        details="Every change is tried, in its order, and has its result: 0, or the errno that"
        " kernel IPVS would give. What goes with `ipvsadm -A -E -D -a -e -d -C -Z` goes here.",
    ),
    Call(
        "PUT",
        "/timeouts",
        "Set time-outs; answers with those in force",
        Timeouts,
        set_timeouts,
        examples.SET_TIMEOUTS,
        body=Timeouts,
        details="As `ipvsadm --set`.",
    ),
    Call(
        "POST",
        "/daemons",
        "Start a synchronisation daemon",
        Errno,
        start_daemon,
        examples.START_DAEMON,
        body=SyncDaemon,
    ),
    Call(
        "DELETE",
        "/daemons/{role}",
        "Stop a synchronisation daemon",
        Errno,
        stop_daemon,
        examples.STOP_DAEMON,
        parameters=Role,
    ),
    Call(
        "PUT",
        "/standby",
        "Leave the VIPs to another director, or take them over",
        Standby,
        stand_by,
        examples.STAND_BY,
        body=Standby,
    ),
    Call(
        "POST",
        "/reload",
        "Read the configuration file again",
        Reloading,
        reload,
        examples.RELOAD,
        details="If it cannot be used the answer is 422, with the file, the line and the reason,"
        " and nothing has changed; 409 if the host cannot run it.",
        refusals={409: "The host cannot run it.", 422: "The file cannot be used."},
    ),
)
"""In the order of the documentation."""
